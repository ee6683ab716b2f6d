package sockets

import (
	"encoding/binary"
	"fmt"
	"net/netip"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/hostnat/hostnat/internal/model"
)

// UserOf returns whose TCP socket of this host is at local and connected to remote.
func UserOf(local, remote netip.AddrPort) (uid uint32, err error) {
	req := nl.NewNetlinkRequest(sockDiagByFamily, 0)
	req.AddData(diagOne{local, remote})
	messages, err := req.Execute(unix.NETLINK_SOCK_DIAG, 0)
	if err != nil {
		return 0, fmt.Errorf("look for the socket %s to %s: %w", local, remote, err)
	}
	if len(messages) != 1 || len(messages[0]) < sizeofDiagMsg {
		return 0, fmt.Errorf("look for the socket %s to %s: %d messages", local, remote, len(messages))
	}
	return binary.NativeEndian.Uint32(messages[0][64:]), nil // idiag_uid
}

// diagOne is struct inet_diag_req_v2 for one socket.
type diagOne struct{ local, remote netip.AddrPort }

func (r diagOne) Len() int { return sizeofDiagReq }

func (r diagOne) Serialize() []byte {
	b := make([]byte, r.Len())
	b[0], b[1] = unix.AF_INET, uint8(model.TCP)
	if r.local.Addr().Is6() {
		b[0] = unix.AF_INET6
	}
	binary.NativeEndian.PutUint32(b[4:], ^uint32(0)) // any state
	binary.BigEndian.PutUint16(b[8:], r.local.Port())
	binary.BigEndian.PutUint16(b[10:], r.remote.Port())
	copy(b[12:28], r.local.Addr().AsSlice())
	copy(b[28:44], r.remote.Addr().AsSlice())
	binary.NativeEndian.PutUint64(b[48:], ^uint64(0)) // INET_DIAG_NOCOOKIE
	return b
}
