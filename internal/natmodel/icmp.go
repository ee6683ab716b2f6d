package natmodel

import (
	"encoding/binary"
	"net/netip"
	"slices"

	"github.com/hostnat/hostnat/internal/model"
)

// quote is the packet inside an ICMP error, of which no more than 8 bytes behind
// the IP header need be there (RFC 792).
type quote struct {
	packet     // its frame is the whole error's, its l4 an offset there
	at     int // where its IP header is
	end    int // of what belongs to the error: bytes behind are the link's
}

// parseQuote reads the quoted packet (RFC 5508 section 4: options are skipped).
func (p *packet) parseQuote() (*quote, bool) {
	q := &quote{at: p.l4 + 8, end: min(len(p.frame), ethernet+p.length)}
	q.frame = p.frame
	if q.end < q.at+20 {
		return nil, false
	}
	ip := p.frame[q.at:]
	q.l4 = q.at + int(ip[0]&15)*4
	q.protocol = model.Protocol(ip[9])
	laterFragment := binary.BigEndian.Uint16(ip[6:])&0x1fff != 0
	if ip[0]>>4 != 4 || ip[0]&15 < 5 || laterFragment || q.end < q.l4+8 {
		return nil, false
	}
	from, to := p.u16(q.l4), p.u16(q.l4+2)
	switch q.protocol {
	case model.TCP, model.UDP:
	case model.ICMP: // only queries have sessions
		if t := p.frame[q.l4]; t != echoRequest && t != echoReply {
			return nil, false
		}
		from = p.u16(q.l4 + 4)
		to = from
	}
	q.source = netip.AddrPortFrom(p.address(q.at+12), from)
	q.dest = netip.AddrPortFrom(p.address(q.at+16), to)
	return q, true
}

// translate turns one end of the quote back to what the error's receiver knows,
// with the quote's checksums and the error's own (RFC 5508 section 4).
func (q *quote) translate(end side, to netip.AddrPort, errorSum int) {
	before := slices.Clone(q.frame[:q.end])
	whole := func(frame []byte) []byte { return frame[q.at:q.end] }
	addresses := func(frame []byte) []byte { return frame[q.at+12 : q.at+20] }
	copy(q.frame[q.at+end.address:], to.Addr().AsSlice())
	q.put16(q.at+10, adjust(q.u16(q.at+10), addresses(before), addresses(q.frame)))
	switch {
	case q.protocol == model.ICMP:
		q.put16(q.l4+4, to.Port())
		q.put16(q.l4+2, adjust(q.u16(q.l4+2), before[q.l4+4:q.l4+6], q.frame[q.l4+4:q.l4+6]))
	case q.hasPorts():
		q.put16(q.l4+end.port, to.Port())
		covered := func(frame []byte) []byte { return slices.Concat(addresses(frame), frame[q.l4:q.l4+4]) }
		switch {
		case q.protocol == model.UDP:
			q.put16(q.l4+6, adjustUDP(q.u16(q.l4+6), covered(before), covered(q.frame)))
		case q.end >= q.l4+18: // else the checksum was not quoted
			q.put16(q.l4+16, adjust(q.u16(q.l4+16), covered(before), covered(q.frame)))
		}
	}
	q.put16(errorSum, adjust(q.u16(errorSum), whole(before), whole(q.frame)))
}

// errorInward is an error about what an endpoint sent (RFC 5508 REQ-4). Errors
// never refresh or end a session (REQ-6, RFC 4787 REQ-12, RFC 5382 REQ-10).
func (m *Model) errorInward(p *packet) Result {
	q, ok := p.parseQuote()
	if !ok {
		return m.foreign(p)
	}
	if !q.hasPorts() {
		return m.oneToOneErrorInward(p, q)
	}
	o, found := m.ownerOf(q.protocol, q.source, q.dest)
	if !found {
		return m.foreign(p)
	}
	key := SessionKey{o.compartment, q.protocol, o.internal, q.dest}
	if q.protocol == model.ICMP {
		key.Remote = netip.AddrPortFrom(q.dest.Addr(), 0)
	}
	s, known := m.sessions[key]
	if !known || s.External != q.source {
		return m.foreign(p)
	}
	if m.impossible(p.source.Addr()) || s.hairpin { // of a hairpin nobody outside has seen a packet
		return dropped(InsideFromOutside)
	}
	if p.ttl <= 1 {
		return dropped(HopLimit)
	}
	q.translate(sourceSide, o.internal, p.l4+2)
	p.hop(destSide, o.internal.Addr())
	return m.deliver(p, key.Compartment, s.Network, o.internal.Addr())
}

// errorOutward is an error of an endpoint about what a session brought it (RFC
// 5508 REQ-5). The outside sees the NAT's address alone.
func (m *Model) errorOutward(p *packet, compartment uint32) Result {
	q, ok := p.parseQuote()
	if !ok {
		return dropped(ICMPErrorInvalid)
	}
	key := SessionKey{compartment, q.protocol, q.dest, q.source}
	if q.protocol == model.ICMP {
		key.Remote = netip.AddrPortFrom(q.source.Addr(), 0)
	}
	if q.dest.Addr() != p.source.Addr() || q.source.Addr() != p.dest.Addr() {
		return dropped(ICMPErrorNoSession)
	}
	if !q.hasPorts() {
		return m.oneToOneErrorOutward(p, q, compartment)
	}
	s, known := m.sessions[key]
	if !known {
		return dropped(ICMPErrorNoSession)
	}
	if p.ttl <= 1 {
		return dropped(HopLimit)
	}
	q.translate(destSide, s.External, p.l4+2)
	p.hop(sourceSide, s.External.Addr())
	return Result{Verdict: Outward, Frame: p.frame}
}
