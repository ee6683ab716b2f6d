package wire

import (
	"encoding/binary"
	"net/netip"

	"github.com/hostnat/hostnat/internal/model"
)

// ICMPError is an IP packet with an error about a packet: type, code, and the
// 4 bytes that depend on these, then as much of the packet as is quoted.
type ICMPError struct {
	From, To   netip.Addr
	Kind, Code byte
	Rest       [4]byte
	Quote      []byte
}

func (e ICMPError) IP() []byte {
	s := Segment{Protocol: model.ICMP, From: netip.AddrPortFrom(e.From, 0), To: netip.AddrPortFrom(e.To, 0), Payload: e.Quote}
	ip := s.IP()
	icmp := ip[20:]
	icmp[0], icmp[1], icmp[2], icmp[3] = e.Kind, e.Code, 0, 0
	copy(icmp[4:], e.Rest[:])
	binary.BigEndian.PutUint16(icmp[2:], ^Checksum(0, icmp))
	return ip
}
