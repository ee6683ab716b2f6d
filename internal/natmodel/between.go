package natmodel

import "net/netip"

// networkOf finds the network of a compartment that has an address.
func (m *Model) networkOf(compartment uint32, a netip.Addr) (uint32, bool) {
	return m.config.networkOf(compartment, a)
}

// isRouted reports whether an address is of another network that is open to this one,
// or behind an endpoint of this one.
func (m *Model) isRouted(from sender, a netip.Addr) bool {
	to, has := m.networkOf(from.Compartment, a)
	return has && !m.config.isHost(a) && (to == from.network || from.Open && m.config.Networks[to].Open)
}

// between routes a packet to another network, or to what is behind an endpoint.
func (m *Model) between(p *packet, from sender) Result {
	to, _ := m.networkOf(from.Compartment, p.dest.Addr())
	if to == from.network && from.EndpointsIsolated {
		return m.refuse(p, from, Isolated)
	}
	if isEnd(m.config.Networks[to].Subnet, p.dest.Addr()) {
		return dropped(Isolated) // what is for one does not become what is for all: RFC 2644
	}
	if p.ttl <= 1 {
		return m.refuse(p, from, HopLimit)
	}
	p.hop(sourceSide, p.source.Addr())
	return m.deliver(p, from.Compartment, to, p.dest.Addr())
}

// isEnd: the first and the last address of a subnet are nobody's own.
func isEnd(subnet netip.Prefix, a netip.Addr) bool {
	return a == subnet.Masked().Addr() || subnet.Contains(a) && !subnet.Contains(a.Next())
}
