package natmodel

import (
	"net/netip"
	"slices"

	"github.com/hostnat/hostnat/internal/model"
)

func (mapping Mapping) has(p model.Protocol, external netip.AddrPort) bool {
	a := mapping.External.Address
	return mapping.Protocol == p && (a.IsUnspecified() || a == external.Addr()) && mapping.External.Ports.Contains(external.Port())
}

// letsIn reports whether a remote may use the mapping.
func (mapping Mapping) letsIn(remote netip.Addr) bool {
	return len(mapping.From) == 0 || slices.ContainsFunc(mapping.From, func(f netip.Prefix) bool { return f.Contains(remote) })
}

// mappingOn returns the mapping that has a port on an address of the host, that
// address's own before one on any; 0: none has.
func (m *Model) mappingOn(p model.Protocol, external netip.AddrPort) uint32 {
	for id, mapping := range m.config.Mappings {
		if mapping.has(p, external) && !mapping.External.Address.IsUnspecified() {
			return id
		}
	}
	for id, mapping := range m.config.Mappings {
		if mapping.has(p, external) {
			return id
		}
	}
	return 0
}

// rangeFrom finds the port of a range, of several mappings the oldest's, that an
// internal port is the target of: its way out too (RFC 4787 REQ-1).
func (m *Model) rangeFrom(key SessionKey, pool []PoolAddress, paired netip.Addr) (found uint32, at BindingKey) {
	for id, mapping := range m.config.Mappings {
		a := mapping.External.Address
		inPool := slices.ContainsFunc(pool, func(p PoolAddress) bool { return p.Address == a })
		inside := mapping.Targets[0].Internal
		if !mapping.External.IsRange() || len(mapping.Targets) > 1 || mapping.Protocol != key.Protocol ||
			mapping.Compartment != key.Compartment || inside.Address != key.Internal.Addr() ||
			!inside.Ports.Contains(key.Internal.Port()) || !a.IsUnspecified() && !inPool || found != 0 && found < id {
			continue
		}
		port := mapping.External.Ports.Low + key.Internal.Port() - inside.Ports.Low
		if a.IsUnspecified() && m.mappingOn(key.Protocol, netip.AddrPortFrom(paired, port)) != id {
			continue // one on the address itself goes before it
		}
		found, at = id, BindingKey{key.Protocol, netip.AddrPortFrom(a, port)}
	}
	return found, at
}

// joinRange joins the binding of one port of a range, which is there while
// sessions use it. False: the table is full.
func (m *Model) joinRange(id uint32, at BindingKey, internal netip.AddrPort) bool {
	if m.bindings[at] == nil {
		if len(m.bindings) >= m.config.MaxBindings {
			return false
		}
		m.addBinding(id, at, internal)
		m.bindings[at].ofRange = true
		m.bindingEvent(BindingCreate, at, 0)
	}
	m.join(at)
	return true
}

// addBinding puts in the binding of a mapping's port. With several targets it
// leads to none: which a remote has is another matter.
func (m *Model) addBinding(id uint32, at BindingKey, internal netip.AddrPort) {
	mapping := m.config.Mappings[id]
	b := &Binding{
		NAT: mapping.NAT, Compartment: mapping.Compartment, Internal: netip.AddrPortFrom(netip.IPv4Unspecified(), 0),
		Configured: true, mapping: id,
	}
	if len(mapping.Targets) == 1 {
		b.Internal = internal
	}
	if len(mapping.Targets) == 1 || mapping.External.IsRange() {
		b.Network = mapping.Targets[0].Network
	}
	m.bindings[at] = b
}

func (m *Model) addMapping(id uint32, mapping Mapping) {
	if !mapping.External.IsRange() {
		m.addBinding(id, BindingKey{mapping.Protocol, mapping.External.First()}, mapping.Targets[0].Internal.First())
	}
}

// SetMappings changes the static mappings. It takes effect at once (design,
// rule 7): sessions by a mapping that is gone end, and so do dynamic ones on a
// port that is a mapping's now.
func (m *Model) SetMappings(want map[uint32]Mapping) {
	had := m.config.Mappings
	for id, old := range had {
		if _, stays := want[id]; stays {
			continue
		}
		m.endSessionsBy(func(_ SessionKey, s *Session) bool { return !s.dependent && m.bindings[s.binding].mapping == id })
		if !old.External.IsRange() {
			delete(m.bindings, BindingKey{old.Protocol, old.External.First()})
		}
	}
	m.config.Mappings = want
	for id, mapping := range want {
		if _, stays := had[id]; stays {
			continue
		}
		m.endSessionsBy(func(key SessionKey, s *Session) bool { return m.mappingOn(key.Protocol, s.External) == id })
		for at, b := range m.bindings {
			if b.HoldDown && mapping.has(at.Protocol, at.External) { // a mapping need not wait; another binding must
				m.givenUp[at] = b.until
				delete(m.bindings, at)
			}
		}
		m.addMapping(id, mapping)
	}
}

func (m *Model) endSessionsBy(picks func(SessionKey, *Session) bool) {
	for key, s := range m.sessions {
		if picks(key, s) {
			m.endSession(key)
		}
	}
}
