package natmodel

import (
	"net/netip"

	"github.com/hostnat/hostnat/internal/nat"
)

// sender is who is told if a packet cannot go on.
type sender struct {
	network uint32
	Network
}

// fromEndpoint handles what a managed endpoint sends. It may speak for itself
// alone: its own MAC, its own address.
func (m *Model) fromEndpoint(p *packet, e Endpoint) Result {
	n := m.config.Networks[e.Network]
	if MAC(p.frame[6:12]) != e.MAC {
		return dropped(SpoofedSource)
	}
	switch p.ether() {
	case etherIPv4:
	case etherARP:
		return checkARP(p, e)
	case etherIPv6:
		return dropped(IPv6)
	default:
		return dropped(Protocol)
	}
	if !p.parseIP() {
		return dropped(Malformed)
	}
	if p.source.Addr() != e.Address { // BCP 38
		return dropped(SpoofedSource)
	}
	if MAC(p.frame[:6]) != n.GatewayMAC {
		return passed() // switched, not routed
	}
	return m.routed(p, sender{e.Network, n})
}

// checkARP: an endpoint speaks of itself; RFC 5227 section 1.1's probe claims nothing.
func checkARP(p *packet, e Endpoint) Result {
	if len(p.frame) < ethernet+28 {
		return dropped(Malformed)
	}
	claims := p.address(ethernet + 14)
	if MAC(p.frame[ethernet+8:ethernet+14]) != e.MAC || claims != e.Address && !claims.IsUnspecified() {
		return dropped(SpoofedSource)
	}
	return passed()
}

// fromBridge handles what comes up a bridge from a port that is not managed. It
// needs an address of the subnet that is nobody else's.
func (m *Model) fromBridge(p *packet, network uint32) Result {
	n := m.config.Networks[network]
	if p.ether() != etherIPv4 || p.toGroup() {
		return passed()
	}
	if !p.parseIP() {
		return dropped(Malformed)
	}
	if m.config.isHost(p.dest.Addr()) || staysOnLink(p.dest.Addr()) {
		return passed()
	}
	_, managed := m.config.endpointAt(n.Compartment, p.source.Addr())
	if !n.Subnet.Contains(p.source.Addr()) || p.source.Addr() == n.Gateway || managed {
		return dropped(SpoofedSource)
	}
	return m.routed(p, sender{network, n})
}

// staysOnLink: no destination beyond the link (RFC 1812 section 5.3.7, RFC 6890).
func staysOnLink(a netip.Addr) bool {
	return a.IsMulticast() || a.As4()[0] >= 240 || a.IsLoopback() || a.As4()[0] == 0 || a.IsLinkLocalUnicast()
}

// routed handles a packet from the inside whose source has been checked.
func (m *Model) routed(p *packet, from sender) Result {
	switch {
	case from.Subnet.Contains(p.dest.Addr()) || staysOnLink(p.dest.Addr()):
		return passed()
	case from.NAT == 0:
		return m.refuse(p, from, NoNAT)
	case p.isLaterFragment():
		if m.config.isHost(p.dest.Addr()) {
			return passed()
		}
		return m.laterOutward(p, from.Compartment)
	}
	if why := p.parseL4(); why != "" {
		return dropped(why)
	}
	if p.isICMPError() {
		if m.config.isHost(p.dest.Addr()) {
			return passed()
		}
		return m.errorOutward(p, from.Compartment)
	}
	if p.protocol == nat.ICMP && p.icmpType != echoRequest { // RFC 5508 REQ-11: of the rest, requests alone have sessions
		if m.config.isHost(p.dest.Addr()) {
			return passed()
		}
		return dropped(NoSession)
	}
	return m.outward(p, from)
}

func outwardKey(p *packet, compartment uint32) SessionKey {
	key := SessionKey{compartment, p.protocol, p.source, p.dest}
	if p.protocol == nat.ICMP {
		key.Remote = netip.AddrPortFrom(p.dest.Addr(), 0)
	}
	return key
}

// outward translates a packet from the inside.
func (m *Model) outward(p *packet, from sender) Result {
	key := outwardKey(p, from.Compartment)
	s, known := m.sessions[key]
	if !known {
		switch {
		case m.config.isHost(p.dest.Addr()):
			return passed()
		case m.config.isInside(p.dest.Addr()):
			return m.refuse(p, from, Isolated)
		case !p.isFirst():
			return dropped(NoSession)
		case p.ttl <= 1:
			return m.refuse(p, from, HopLimit)
		}
		b, external, why := m.bind(key, from.network)
		if why == "" {
			why = m.open(key, from.network, b, external)
		}
		if why != "" {
			return m.refuse(p, from, why) // RFC 5508 REQ-8, RFC 6888 REQ-11
		}
		s = m.sessions[key]
	}
	// Before anything is rewritten, so that no answer shows what it must not.
	if p.ttl <= 1 {
		return m.refuse(p, from, HopLimit)
	}
	if p.wireLength() > m.config.MTU {
		return m.refuse(p, from, TooBig)
	}
	m.track(key, s, p, true)
	if p.isFragment() {
		m.firstOutward(p, from.Compartment, s)
	}
	p.translate(sourceSide, s.External)
	return Result{Verdict: Outward, Frame: p.frame}
}
