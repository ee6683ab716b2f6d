package natmodel

import (
	"encoding/binary"
	"net/netip"
	"slices"

	"github.com/hostnat/hostnat/internal/model"
)

const (
	ethernet = 14 // bytes of the header: where IP begins

	etherIPv4 = 0x0800
	etherARP  = 0x0806
	etherIPv6 = 0x86dd
)

// Flags of TCP (RFC 9293 section 3.1).
const (
	flagFIN = 0x01
	flagSYN = 0x02
	flagRST = 0x04
	flagACK = 0x10
)

// Types of ICMP (RFC 792).
const (
	echoReply        = 0
	unreachable      = 3
	echoRequest      = 8
	timeExceeded     = 11
	parameterProblem = 12
)

// packet is a frame and what was read from it. For ICMP both ports are the
// query identifier (RFC 5508 section 3.1).
type packet struct {
	frame    []byte
	l4       int // offset of the transport header
	protocol model.Protocol
	source   netip.AddrPort
	dest     netip.AddrPort
	length   int // of the IP datagram
	ttl      byte
	id       uint16
	fragment uint16 // flags and offset
	tcpFlags byte
	icmpType byte

	segments, segment int // of GSO, as in Arrival
	turns             int // as in Arrival
}

// isTo reports whether a frame is addressed to a link: what is for everybody (RFC
// 1812 section 5.3.4), or for another that the link only sees, is not forwarded.
func (p *packet) isTo(m MAC) bool { return MAC(p.frame[:6]) == m }

func (p *packet) ether() uint16     { return p.u16(12) }
func (p *packet) u16(at int) uint16 { return binary.BigEndian.Uint16(p.frame[at:]) }
func (p *packet) put16(at int, v uint16) {
	binary.BigEndian.PutUint16(p.frame[at:], v)
}

func (p *packet) address(at int) netip.Addr {
	return netip.AddrFrom4([4]byte(p.frame[at : at+4]))
}

// parseIP reads the IP header (RFC 791, RFC 1812 section 5.2.2) and reports
// whether there is one.
func (p *packet) parseIP() bool {
	if len(p.frame) < ethernet+20 {
		return false
	}
	ip := p.frame[ethernet:]
	header := int(ip[0]&15) * 4
	p.length = int(p.u16(ethernet + 2))
	if ip[0]>>4 != 4 || header < 20 || p.length < header || len(p.frame) < ethernet+p.length {
		return false
	}
	p.l4 = ethernet + header
	p.id, p.fragment = p.u16(ethernet+4), p.u16(ethernet+6)
	p.ttl, p.protocol = ip[8], model.Protocol(ip[9])
	p.source = netip.AddrPortFrom(p.address(ethernet+12), 0)
	p.dest = netip.AddrPortFrom(p.address(ethernet+16), 0)
	return true
}

// hasSourceRoute reports whether the sender wants to choose the way itself (RFC
// 7126 sections 4.3 and 4.4).
func (p *packet) hasSourceRoute() bool {
	const end, none, loose, strict = 0, 1, 131, 137
	options := p.frame[ethernet+20 : min(p.l4, len(p.frame))]
	for len(options) >= 2 {
		switch kind, length := options[0], int(options[1]); {
		case kind == none:
			options = options[1:]
		case kind == end || length < 2:
			return false
		case kind == loose || kind == strict:
			return true
		case length > len(options):
			return false
		default:
			options = options[length:]
		}
	}
	return false
}

// parseL4 reads ports, flags or the query identifier.
func (p *packet) parseL4() Reason {
	need := 8
	switch p.protocol {
	case model.TCP:
		need = 20
	case model.UDP, model.ICMP:
	default:
		return Protocol
	}
	if p.length-(p.l4-ethernet) < need || len(p.frame) < p.l4+need {
		return Malformed
	}
	from, to := p.u16(p.l4), p.u16(p.l4+2)
	if p.protocol == model.ICMP {
		p.icmpType = p.frame[p.l4]
		from = p.u16(p.l4 + 4)
		to = from
	}
	if p.protocol == model.TCP {
		p.tcpFlags = p.frame[p.l4+13]
	}
	p.source = netip.AddrPortFrom(p.source.Addr(), from)
	p.dest = netip.AddrPortFrom(p.dest.Addr(), to)
	return ""
}

// wireLength is the length of the largest datagram that leaves.
func (p *packet) wireLength() int {
	if p.segments == 0 {
		return p.length
	}
	header := p.l4 - ethernet + 8
	if p.protocol == model.TCP {
		header += int(p.frame[p.l4+12]>>4)*4 - 8
	}
	return header + p.segment
}

// counted is how many packets and bytes it is.
func (p *packet) counted() (packets, bytes uint64) {
	if p.segments == 0 {
		return 1, uint64(p.length) // the frame may be padded
	}
	return uint64(p.segments), uint64(len(p.frame) - ethernet)
}

func (p *packet) isFragment() bool      { return p.fragment&0x3fff != 0 }
func (p *packet) isLaterFragment() bool { return p.fragment&0x1fff != 0 }

func (p *packet) isICMPError() bool {
	return p.protocol == model.ICMP && isError(p.icmpType)
}

// isError names the errors that are translated (RFC 5508 section 7).
func isError(icmpType byte) bool {
	return icmpType == unreachable || icmpType == timeExceeded || icmpType == parameterProblem
}

// isFirst reports whether a packet may open a session: a SYN, a query from the
// inside, any datagram.
func (p *packet) isFirst() bool {
	switch p.protocol {
	case model.TCP:
		return p.tcpFlags&(flagSYN|flagACK|flagRST) == flagSYN
	case model.ICMP:
		return p.icmpType == echoRequest
	}
	return true
}

// editIP changes the IP header and keeps its checksum up to date.
func (p *packet) editIP(change func()) {
	before := slices.Clone(p.frame[ethernet:p.l4])
	change()
	p.put16(ethernet+10, adjust(p.u16(ethernet+10), before, p.frame[ethernet:p.l4]))
}

// hop replaces one address, and takes the hop off the TTL (RFC 1812 section
// 5.3.1): what there is to do for a packet whose ports are not at hand.
func (p *packet) hop(end side, a netip.Addr) {
	p.forward()
	p.readdress(end, a)
}

// forward takes one from the time to live.
func (p *packet) forward() { p.editIP(func() { p.frame[ethernet+8]-- }) }

func (p *packet) readdress(end side, a netip.Addr) {
	p.editIP(func() { copy(p.frame[ethernet+int(end.address):], a.AsSlice()) })
}

// side is an end of a packet: offsets in the IP and the transport header.
type side struct{ address, port int }

var (
	sourceSide = side{12, 0}
	destSide   = side{16, 2}
)

// translate replaces one end of a whole packet or first fragment, with all
// checksums (RFC 3022 section 4.1), and takes the hop off the TTL.
func (p *packet) translate(end side, to netip.AddrPort) {
	p.editIP(func() { p.frame[ethernet+8]-- })
	p.rewrite(end, to)
}

func (p *packet) rewrite(end side, to netip.AddrPort) {
	before := slices.Clone(p.frame)
	p.readdress(end, to.Addr())
	if p.protocol == model.ICMP { // no pseudo-header: RFC 792
		p.put16(p.l4+4, to.Port())
		p.put16(p.l4+2, adjust(p.u16(p.l4+2), before[p.l4+4:p.l4+6], p.frame[p.l4+4:p.l4+6]))
		return
	}
	p.put16(p.l4+end.port, to.Port())
	covered := func(frame []byte) []byte { // by the checksum, pseudo-header included
		return slices.Concat(frame[ethernet+12:ethernet+20], frame[p.l4:p.l4+4])
	}
	at := p.l4 + 16
	if p.protocol == model.UDP {
		at = p.l4 + 6
		p.put16(at, adjustUDP(p.u16(at), covered(before), covered(p.frame)))
		return
	}
	p.put16(at, adjust(p.u16(at), covered(before), covered(p.frame)))
}
