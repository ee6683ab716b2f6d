package natmodel

import (
	"net/netip"

	"github.com/hostnat/hostnat/internal/model"
)

// wayOut is what a flow from the inside has outside: a binding that it has
// joined, or a port for its remote alone.
type wayOut struct {
	external  netip.AddrPort
	binding   BindingKey
	dependent bool
}

// bind finds or makes the way out of a flow from the inside. One internal port
// keeps to one external port (RFC 4787 REQ-1), one internal address to one
// external address (REQ-2).
func (m *Model) bind(key SessionKey, network uint32) (wayOut, Reason) {
	id := m.config.Networks[network].NAT
	rules := m.config.NATs[id]
	if len(rules.Pool) == 0 || key.Remote.Addr() == m.config.Networks[network].Gateway { // the gateway has a pool of its own
		return wayOut{}, NoExternalAddress
	}
	paired := m.config.pairedAddress(rules.Pool, key)
	at, has := m.bindingOf(key, rules, paired.Address)
	if mapping, at := m.rangeFrom(key, rules.Pool, paired.Address); mapping != 0 && !has {
		if !m.joinRange(mapping, at, key.Internal) {
			return wayOut{}, m.refused(TableFull, key, id, network)
		}
		return wayBy(at, paired.Address), ""
	}
	if !has && rules.Pooling == model.Arbitrary {
		at, has = m.firstBinding(key, func(at BindingKey, _ *Binding) bool { return rules.has(at.External.Addr()) })
	}
	if !has {
		return m.bindNew(key, id, network, paired)
	}
	if m.bindings[at].HoldDown && m.tooManyPorts(key, rules.Limits) {
		return wayOut{}, m.refused(LimitReached, key, id, network)
	}
	m.join(at)
	return wayBy(at, paired.Address), ""
}

// wayBy is the way out by a binding: one on any address has the paired one.
func wayBy(at BindingKey, paired netip.Addr) wayOut {
	external := at.External
	if external.Addr().IsUnspecified() {
		external = netip.AddrPortFrom(paired, external.Port())
	}
	return wayOut{external: external, binding: at}
}

// bindingOf finds the binding of an internal address and port: that on its own
// external address, a mapping's on another (REQ-1 before REQ-2) or on any.
func (m *Model) bindingOf(key SessionKey, rules NAT, paired netip.Addr) (BindingKey, bool) {
	for _, fits := range []func(at BindingKey, b *Binding) bool{
		func(at BindingKey, b *Binding) bool { return at.External.Addr() == paired },
		func(at BindingKey, b *Binding) bool { return b.Configured && rules.has(at.External.Addr()) },
		func(at BindingKey, b *Binding) bool { // not where one on the address itself goes before it
			return at.External.Addr().IsUnspecified() && m.mappingOn(at.Protocol, netip.AddrPortFrom(paired, at.External.Port())) == b.mapping
		},
	} {
		if at, has := m.firstBinding(key, fits); has {
			return at, true
		}
	}
	return BindingKey{}, false
}

// firstBinding is a mapping, of several the oldest, before a dynamic one.
func (m *Model) firstBinding(key SessionKey, fits func(BindingKey, *Binding) bool) (found BindingKey, has bool) {
	for at, b := range m.bindings {
		if at.Protocol != key.Protocol || b.ofRange || b.Compartment != key.Compartment || b.Internal != key.Internal || !fits(at, b) {
			continue
		}
		if !has || b.before(m.bindings[found]) {
			found, has = at, true
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

// bindNew makes a binding with the port that the data path chose.
func (m *Model) bindNew(key SessionKey, id, network uint32, paired PoolAddress) (wayOut, Reason) {
	rules := m.config.NATs[id]
	if m.tooManyPorts(key, rules.Limits) {
		return wayOut{}, m.refused(LimitReached, key, id, network)
	}
	on := []PoolAddress{paired}
	if rules.Pooling == model.Arbitrary {
		on = rules.Pool
	}
	var free []netip.AddrPort
	for _, a := range on {
		free = append(free, m.freePorts(key.Protocol, a)...)
	}
	if len(free) == 0 {
		free = m.reclaim(key.Protocol, id, on)
	}
	switch { // RFC 6888 REQ-13: not before the last port is taken
	case len(free) == 0 && rules.EndpointDependent:
		return m.endpointDependent(key, id, network, paired)
	case len(free) == 0:
		return wayOut{}, m.refused(PortsExhausted, key, id, network)
	case len(m.bindings) >= m.config.MaxBindings:
		return wayOut{}, m.refused(TableFull, key, id, network)
	}
	at := BindingKey{key.Protocol, m.chosen(key, free)}
	m.bindings[at] = &Binding{NAT: id, Network: network, Compartment: key.Compartment, Internal: key.Internal}
	m.bindingEvent(BindingCreate, at, 0)
	m.join(at)
	return wayOut{external: at.External, binding: at}, ""
}

// endpointDependent has an external port for this flow's remote alone (RFC 7857 section
// 3), from a slice that no binding has (RFC 4787 REQ-11).
func (m *Model) endpointDependent(key SessionKey, id, network uint32, paired PoolAddress) (wayOut, Reason) {
	free := m.freeDependent(key, paired)
	if len(free) == 0 {
		free = m.reclaimDependent(key, paired)
	}
	if len(free) == 0 {
		return wayOut{}, m.refused(PortsExhausted, key, id, network)
	}
	if m.dependentSessions(id) == 0 {
		m.refused(EndpointDependentBegin, key, id, 0)
	}
	return wayOut{external: m.chosen(key, free), dependent: true}, ""
}

// dependentSessions is how many endpoint-dependent sessions a NAT has.
func (m *Model) dependentSessions(id uint32) int {
	count := 0
	for _, s := range m.sessions {
		if s.dependent && s.NAT == id {
			count++
		}
	}
	return count
}
