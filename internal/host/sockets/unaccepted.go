package sockets

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/hostnat/hostnat/internal/host"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/hostnat/hostnat/internal/model"
)

const sockDestroy = 21 // SOCK_DESTROY (linux/sock_diag.h)

// Socket states (net/tcp_states.h).
const (
	stateEstablished = 1
	stateCloseWait   = 8
)

// ResetUnaccepted ends the TCP connections to ports of the host that a listener has
// not accepted. Who made one learns of it at once and may try again, where nobody
// is ever going to accept.
func ResetUnaccepted(ctx context.Context, low, high uint16) error {
	for _, family := range []uint8{unix.AF_INET, unix.AF_INET6} {
		sockets, err := host.Dump(ctx, func() ([][]byte, error) {
			req := nl.NewNetlinkRequest(sockDiagByFamily, unix.NLM_F_DUMP)
			req.AddData(diagRequest{family: family, protocol: model.TCP, states: 1<<stateEstablished | 1<<stateCloseWait})
			return req.Execute(unix.NETLINK_SOCK_DIAG, 0)
		})
		if err != nil {
			return fmt.Errorf("list connections: %w", err)
		}
		for _, m := range sockets {
			if !isUnaccepted(m, low, high) {
				continue
			}
			// ENOENT: it has ended meanwhile.
			if err := destroy(family, m); err != nil && !errors.Is(err, unix.ENOENT) {
				return fmt.Errorf("end a connection to port %d: %w", binary.BigEndian.Uint16(m[4:]), err)
			}
		}
	}
	return nil
}

// isUnaccepted looks at a struct inet_diag_msg: a connection has no inode until
// somebody has accepted it.
func isUnaccepted(m []byte, low, high uint16) bool {
	if len(m) < sizeofDiagMsg {
		return false
	}
	port := binary.BigEndian.Uint16(m[4:])
	return port >= low && port <= high && binary.NativeEndian.Uint32(m[68:]) == 0
}

// destroy ends the connection that a struct inet_diag_msg tells of.
func destroy(family uint8, m []byte) error {
	request := diagRequest{family: family, protocol: model.TCP, states: 1<<stateEstablished | 1<<stateCloseWait}.Serialize()
	copy(request[8:], m[4:52]) // struct inet_diag_sockid
	req := nl.NewNetlinkRequest(sockDestroy, unix.NLM_F_ACK)
	req.AddRawData(request)
	_, err := req.Execute(unix.NETLINK_SOCK_DIAG, 0)
	return err
}
