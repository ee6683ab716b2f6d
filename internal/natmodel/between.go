package natmodel

import "net/netip"

// networkOf finds the network of a compartment that has an address.
func (m *Model) networkOf(compartment uint32, a netip.Addr) (uint32, bool) {
	for id, n := range m.config.Networks {
		if n.Compartment == compartment && n.Subnet.Contains(a) {
			return id, true
		}
	}
	return 0, false
}

func (m *Model) isOpen(compartment uint32, a netip.Addr) bool {
	id, has := m.networkOf(compartment, a)
	return has && m.config.Networks[id].Open && !m.config.isHost(a)
}

// between routes a packet to another network that is open to this one.
func (m *Model) between(p *packet, from sender) Result {
	to, _ := m.networkOf(from.Compartment, p.dest.Addr())
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
	return a == subnet.Masked().Addr() || !subnet.Contains(a.Next())
}
