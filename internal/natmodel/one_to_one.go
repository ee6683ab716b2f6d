package natmodel

import (
	"net/netip"
	"slices"

	"github.com/hostnat/hostnat/internal/model"
)

const dccp, udpLite = 33, 136

// hasPorts: the rest is translated by its address alone, if at all.
func (p *packet) hasPorts() bool {
	return p.protocol == model.TCP || p.protocol == model.UDP || p.protocol == model.ICMP
}

// basic replaces an address of a packet without ports. Two such protocols count
// the addresses in their checksums (RFC 3828 section 3.1, RFC 4340 section 9).
func (p *packet) basic(end side, a netip.Addr) {
	before := slices.Clone(p.frame[ethernet+12 : ethernet+20])
	p.readdress(end, a)
	if at := p.l4 + 6; (p.protocol == dccp || p.protocol == udpLite) && !p.isLaterFragment() && p.length >= at+2-ethernet {
		after := p.frame[ethernet+12 : ethernet+20]
		if p.protocol == udpLite {
			p.put16(at, adjustUDP(p.u16(at), before, after))
		} else {
			p.put16(at, adjust(p.u16(at), before, after))
		}
	}
}

// oneToOneOutward is Basic NAT (RFC 3022 section 2.1): it needs an external address
// that is the endpoint's alone.
func (m *Model) oneToOneOutward(p *packet, from sender) Result {
	w, has := m.oneToOneOf(from.Compartment, p.source.Addr())
	far, across := m.oneToOneAt(p.dest.Addr())
	switch {
	case !across && m.config.isHost(p.dest.Addr()):
		return passed()
	case !has:
		return dropped(Protocol)
	case m.config.isolates(from.Compartment, p.dest.Addr()):
		return m.refuse(p, from, Isolated)
	case p.ttl <= 1:
		return m.refuse(p, from, HopLimit)
	case across && !far.admits(w.External):
		return dropped(RemoteNotAllowed)
	case !across && p.wireLength() > m.config.MTU:
		return m.tooBig(p, from)
	}
	p.forward()
	p.basic(sourceSide, w.External)
	if !across {
		return Result{Verdict: Outward, Frame: p.frame}
	}
	p.basic(destSide, far.Internal)
	return m.deliver(p, far.Compartment, far.Network, far.Internal)
}

// admits: no list of remotes admits all.
func (w OneToOne) admits(remote netip.Addr) bool {
	return len(w.From) == 0 || slices.ContainsFunc(w.From, func(f netip.Prefix) bool { return f.Contains(remote) })
}

func (m *Model) oneToOneOf(compartment uint32, internal netip.Addr) (OneToOne, bool) {
	for _, w := range m.config.OneToOne {
		if w.Compartment == compartment && w.Internal == internal {
			return w, true
		}
	}
	return OneToOne{}, false
}

func (m *Model) oneToOneAt(external netip.Addr) (OneToOne, bool) {
	for _, w := range m.config.OneToOne {
		if w.External == external {
			return w, true
		}
	}
	return OneToOne{}, false
}

// oneToOneErrorInward is an error about a packet without ports (RFC 3022 section 4.3).
func (m *Model) oneToOneErrorInward(p *packet, q *quote) Result {
	w, has := m.oneToOneAt(q.source.Addr())
	switch {
	case !has:
		return m.foreign(p)
	case m.impossible(p.source.Addr()):
		return dropped(InsideFromOutside)
	case p.ttl <= 1:
		return dropped(HopLimit)
	}
	q.translate(sourceSide, netip.AddrPortFrom(w.Internal, 0), p.l4+2)
	p.hop(destSide, w.Internal)
	return m.deliver(p, w.Compartment, w.Network, w.Internal)
}

func (m *Model) oneToOneErrorOutward(p *packet, q *quote, compartment uint32) Result {
	w, has := m.oneToOneOf(compartment, q.dest.Addr())
	switch {
	case !has:
		return dropped(ICMPErrorInvalid)
	case p.ttl <= 1:
		return dropped(HopLimit)
	}
	q.translate(destSide, netip.AddrPortFrom(w.External, 0), p.l4+2)
	p.hop(sourceSide, w.External)
	return Result{Verdict: Outward, Frame: p.frame}
}

func (m *Model) oneToOneInward(p *packet) Result {
	w, has := m.oneToOneAt(p.dest.Addr())
	switch {
	case !has:
		return m.foreign(p)
	case m.impossible(p.source.Addr()) || m.config.isNear(w.Compartment, w.Internal, p.source.Addr()):
		return dropped(InsideFromOutside)
	case !w.admits(p.source.Addr()):
		return dropped(RemoteNotAllowed)
	case p.ttl <= 1 && len(w.From) == 0:
		return m.refuse(p, outsider(p), HopLimit)
	case p.ttl <= 1:
		return dropped(HopLimit)
	case p.hasSourceRoute():
		return dropped(SourceRoute)
	}
	p.forward()
	p.basic(destSide, w.Internal)
	return m.deliver(p, w.Compartment, w.Network, w.Internal)
}
