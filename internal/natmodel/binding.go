package natmodel

import (
	"net/netip"
	"slices"
	"time"

	"github.com/hostnat/hostnat/internal/nat"
)

// BindingKey is a binding's outside. Address 0.0.0.0: any of the host's.
type BindingKey struct {
	Protocol nat.Protocol
	External netip.AddrPort
}

// Binding ties an internal address and port to an external one, for all remotes
// (RFC 4787 REQ-1, RFC 5382 REQ-1, RFC 5508 REQ-1).
type Binding struct {
	NAT, Network, Compartment uint32
	Internal                  netip.AddrPort
	Sessions                  int
	Configured                bool

	mapping uint32
}

// pair is an internal address whose sessions share an external one.
type pair struct {
	nat, compartment uint32
	internal         netip.Addr
}

// hostPortMemory is how long a port from which the host talked stays its own.
const hostPortMemory = 300 * time.Second

func (m *Model) addMapping(id uint32, mapping Mapping) {
	m.bindings[BindingKey{mapping.Protocol, mapping.External}] = &Binding{
		NAT: mapping.NAT, Network: mapping.Network, Compartment: m.config.Networks[mapping.Network].Compartment,
		Internal: mapping.Internal, Configured: true, mapping: id,
	}
}

// bindingTo finds the binding of an external address and port.
func (m *Model) bindingTo(p nat.Protocol, external netip.AddrPort) (BindingKey, *Binding) {
	key := BindingKey{p, external}
	if b, has := m.bindings[key]; has {
		return key, b
	}
	key.External = netip.AddrPortFrom(netip.IPv4Unspecified(), external.Port())
	return key, m.bindings[key]
}

// bind finds or makes the binding for a flow from the inside. External is what
// the packet gets.
func (m *Model) bind(key SessionKey, network uint32) (b BindingKey, external netip.AddrPort, why Reason) {
	id := m.config.Networks[network].NAT
	pool := m.config.NATs[id].Pool
	if len(pool) == 0 {
		return b, external, NoExternalAddress
	}
	addresses := m.paired(pair{id, key.Compartment, key.Internal.Addr()}, pool)
	for _, a := range pool { // REQ-1 before REQ-2: a mapping may be on another address
		if b, has := m.bindingOf(key, a.Address); has {
			return b, b.External, ""
		}
	}
	if b, has := m.bindingOf(key, netip.IPv4Unspecified()); has {
		a := m.pairedNow(pair{id, key.Compartment, key.Internal.Addr()}, addresses)
		return b, netip.AddrPortFrom(a, b.External.Port()), ""
	}
	return m.bindNew(key, network, addresses)
}

// bindingOf finds the binding of an internal address and port on an external
// address: a mapping, of several the oldest, before a dynamic one.
func (m *Model) bindingOf(key SessionKey, external netip.Addr) (found BindingKey, has bool) {
	for k, b := range m.bindings {
		if k.Protocol != key.Protocol || k.External.Addr() != external ||
			b.Compartment != key.Compartment || b.Internal != key.Internal {
			continue
		}
		if !has || b.before(m.bindings[found]) {
			found, has = k, true
		}
	}
	return found, has
}

func (b *Binding) before(other *Binding) bool {
	if b.Configured != other.Configured {
		return b.Configured
	}
	return b.mapping < other.mapping
}

// paired returns which external addresses an internal one may have: the one it
// has already, if any (RFC 4787 REQ-2).
func (m *Model) paired(p pair, pool []PoolAddress) []netip.Addr {
	if a, has := m.pairs[p]; has {
		return []netip.Addr{a}
	}
	var all []netip.Addr
	for _, a := range pool {
		all = append(all, a.Address)
	}
	return all
}

// pairedNow settles on what the data path chose. Where it refused the flow its
// choice does not show.
func (m *Model) pairedNow(p pair, allowed []netip.Addr) netip.Addr {
	a := m.choice.External.Addr()
	if len(allowed) == 1 || !m.choice.External.IsValid() {
		return allowed[0]
	}
	if !slices.Contains(allowed, a) {
		m.refuseChoice("external address %v is not one of %v", a, allowed)
		return allowed[0]
	}
	m.pairs[p] = a
	return a
}

// bindNew makes a binding with the port that the data path chose.
func (m *Model) bindNew(key SessionKey, network uint32, addresses []netip.Addr) (b BindingKey, external netip.AddrPort, why Reason) {
	n := m.config.Networks[network]
	a := m.pairedNow(pair{n.NAT, key.Compartment, key.Internal.Addr()}, addresses)
	free := m.freePorts(n.NAT, key.Protocol, a)
	if !m.choice.External.IsValid() { // refused: for which address does not show
		for _, other := range addresses {
			if len(free) > 0 {
				free = m.freePorts(n.NAT, key.Protocol, other)
			}
		}
	}
	switch {
	case len(free) == 0: // RFC 6888 REQ-13: not before the last port is taken
		m.refused(PortsExhausted, key, n.NAT, network)
		return b, external, OutOfPorts
	case len(m.bindings) >= m.config.MaxBindings:
		m.refused(TableFull, key, n.NAT, network)
		return b, external, BindingsFull
	case len(m.sessions) >= m.config.MaxSessions: // the binding goes with its session
		m.refused(TableFull, key, n.NAT, network)
		return b, external, SessionsFull
	}
	external = netip.AddrPortFrom(a, m.choice.External.Port())
	if !slices.Contains(free, external.Port()) || m.choice.External.Addr() != a {
		m.refuseChoice("binding %v %v to %v: free ports of %v are %v", key.Protocol, key.Internal, m.choice.External, a, free)
		external = netip.AddrPortFrom(a, free[0])
	}
	b = BindingKey{key.Protocol, external}
	m.bindings[b] = &Binding{NAT: n.NAT, Network: network, Compartment: key.Compartment, Internal: key.Internal}
	m.bindingEvent(BindingCreate, b, 0)
	return b, external, ""
}

// SetMappings changes the static mappings. It takes effect at once (design,
// rule 7): sessions by a mapping that is gone end, and so do dynamic ones on a
// port that is a mapping's now.
func (m *Model) SetMappings(want map[uint32]Mapping) {
	for id, old := range m.config.Mappings {
		if _, stays := want[id]; !stays {
			key := BindingKey{old.Protocol, old.External}
			m.endSessionsBy(func(s *Session) bool { return s.binding == key })
			delete(m.bindings, key)
		}
	}
	for id, mapping := range want {
		if _, has := m.config.Mappings[id]; has {
			continue
		}
		at := mapping.External
		m.endSessionsBy(func(s *Session) bool {
			return s.binding.Protocol == mapping.Protocol && s.External.Port() == at.Port() &&
				(at.Addr().IsUnspecified() || at.Addr() == s.External.Addr())
		})
		m.addMapping(id, mapping)
	}
	m.config.Mappings = want
}

func (m *Model) endSessionsBy(picks func(*Session) bool) {
	for key, s := range m.sessions {
		if picks(s) {
			m.endSession(key)
		}
	}
}

// freePorts are those of the pool that nobody has: no other binding (RFC 4787
// REQ-3), no mapping, no program of the host (design, rule 4).
func (m *Model) freePorts(id uint32, p nat.Protocol, a netip.Addr) []uint16 {
	var free []uint16
	for _, address := range m.config.NATs[id].Pool {
		if address.Address != a {
			continue
		}
		for _, r := range address.Ports {
			for port := int(r.Low); port <= int(r.High); port++ {
				external := netip.AddrPortFrom(a, uint16(port))
				_, taken := m.bindingTo(p, external)
				talked, hosts := m.hostPorts[BindingKey{p, external}]
				if taken == nil && !m.config.listens(p, external) && !(hosts && talked+hostPortMemory > m.now) {
					free = append(free, uint16(port))
				}
			}
		}
	}
	return free
}

func (m *Model) endBinding(key BindingKey) {
	m.bindingEvent(BindingDelete, key, 0)
	delete(m.bindings, key)
}
