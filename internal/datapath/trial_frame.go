package datapath

import (
	"cmp"
	"encoding/binary"
	"net/netip"
	"slices"

	"github.com/hostnat/hostnat/internal/model"
)

const (
	ethernetHeader = 14
	ipv4Header     = 20
)

// trialFrame is the first packet of a flow: a SYN, a datagram of four bytes, an echo
// request. Its checksums are 0: the programs adjust them and verify none.
func trialFrame(t Trial, e entry) []byte {
	l4 := trialSegment(t)
	frame := slices.Concat(e.to[:], e.from[:], []byte{0x08, 0x00}, make([]byte, ipv4Header), l4)
	ip := frame[ethernetHeader:]
	ip[0] = 0x45
	binary.BigEndian.PutUint16(ip[2:], uint16(ipv4Header+len(l4)))
	binary.BigEndian.PutUint16(ip[6:], 0x4000) // may not be fragmented
	ip[8], ip[9] = 64, uint8(t.Protocol)
	copy(ip[12:], t.From.Addr().AsSlice())
	copy(ip[16:], t.To.Addr().AsSlice())
	return frame
}

func trialSegment(t Trial) []byte {
	ports := binary.BigEndian.AppendUint16(nil, t.From.Port())
	ports = binary.BigEndian.AppendUint16(ports, t.To.Port())
	switch t.Protocol {
	case model.TCP: // RFC 9293 section 3.1: five words of header, SYN, a window
		const flagSYN = 0x02
		return slices.Concat(ports, make([]byte, 8), []byte{5 << 4, cmp.Or(t.TCPFlags, flagSYN), 0xff, 0xff, 0, 0, 0, 0})
	case model.UDP:
		return slices.Concat(ports, []byte{0, 12, 0, 0, 0, 0, 0, 0})
	}
	const echoRequest = 8 // RFC 792
	return slices.Concat([]byte{echoRequest, 0, 0, 0}, ports[:2], make([]byte, 6))
}

// isEchoReply reports whether the frame of a trial's request is the answer to it.
func isEchoReply(frame []byte, t Trial) bool {
	const echoReply, at = 0, ethernetHeader + ipv4Header
	return t.Protocol == model.ICMP && len(frame) > at && frame[at] == echoReply
}

// addressesIn reads whom a frame is from and for; as t has them if that cannot be
// read.
func addressesIn(frame []byte, t Trial) (from, to netip.AddrPort) {
	from, to = t.From, t.To
	if len(frame) < ethernetHeader+ipv4Header+8 {
		return from, to
	}
	ip := frame[ethernetHeader:]
	source, _ := netip.AddrFromSlice(ip[12:16])
	destination, _ := netip.AddrFromSlice(ip[16:20])
	l4 := ip[ipv4Header:]
	if t.Protocol == model.ICMP {
		return netip.AddrPortFrom(source, binary.BigEndian.Uint16(l4[4:])), netip.AddrPortFrom(destination, t.To.Port())
	}
	return netip.AddrPortFrom(source, binary.BigEndian.Uint16(l4)), netip.AddrPortFrom(destination, binary.BigEndian.Uint16(l4[2:]))
}
