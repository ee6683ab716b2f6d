package pathmtu

import (
	"encoding/binary"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"
)

const (
	unreachable         = 3 // ICMP type (RFC 792)
	fragmentationNeeded = 4 // code of that (RFC 1191)
)

// icmpError reads one from the socket's error queue: struct sock_extended_err and the
// address of who has sent it, see ip(7).
func (s socket) icmpError() (answer, bool) {
	data, control := make([]byte, 512), make([]byte, 512)
	_, n, _, _, err := unix.Recvmsg(s.fd, data, control, unix.MSG_ERRQUEUE|unix.MSG_DONTWAIT)
	if err != nil {
		return answer{}, false
	}
	messages, err := unix.ParseSocketControlMessage(control[:n])
	if err != nil {
		return answer{}, false
	}
	for _, m := range messages {
		if m.Header.Level == unix.IPPROTO_IP && m.Header.Type == unix.IP_RECVERR {
			return readError(m.Data)
		}
	}
	return answer{}, false
}

func readError(b []byte) (a answer, is bool) {
	const size = 16 // errno, origin, type, code, pad, info, data; then a sockaddr_in
	if len(b) < size+8 || b[4] != unix.SO_EE_ORIGIN_ICMP {
		return a, false
	}
	from := netip.AddrFrom4([4]byte(b[size+4:]))
	if b[5] == unreachable && b[6] == fragmentationNeeded {
		return answer{tooBig: from, mtu: int(binary.NativeEndian.Uint32(b[8:]))}, true
	}
	return answer{refusal: fmt.Sprintf("%s answers with ICMP type %d, code %d", from, b[5], b[6])}, true
}
