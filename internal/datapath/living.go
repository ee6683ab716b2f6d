package datapath

import (
	"cmp"
	"slices"
)

// living is what lives in the tables: sessions and bindings, and what follows
// from them. Read one after the other while packets come in, they do not quite
// fit together; settle makes them.
type living struct {
	sessions  map[bpfSessionKey]bpfSession
	bindings  map[bpfBindingKey]bpfBinding
	index     map[bpfBindingIndexKey]bpfWayOut
	contacts  map[bpfFilterKey]bpfFilterEntry
	usages    map[bpfEndpointKey]bpfUsage
	overflows map[bpfDependentPortKey]bpfDependentPort
	overflow  map[uint32]uint64 // endpoint-dependent sessions of a NAT
	bits      map[bpfPortBitsKey]bpfPortBits
	held      []bpfHoldDown // the first to be free again first
}

// settle leaves out sessions that have no binding and dynamic bindings that
// have no session, counts anew what is counted, and derives the rest. Only
// sessions and bindings are taken as they were.
func (l *living) settle() {
	for key, b := range l.bindings {
		b.Sessions = 0
		l.bindings[key] = b
	}
	l.contacts = make(map[bpfFilterKey]bpfFilterEntry)
	l.usages = make(map[bpfEndpointKey]bpfUsage)
	l.overflows = make(map[bpfDependentPortKey]bpfDependentPort)
	l.overflow = make(map[uint32]uint64)
	for key, s := range l.sessions {
		if !l.count(key, s) {
			delete(l.sessions, key)
		}
	}
	l.settleBindings()
}

// count enters a session wherever it counts. False if its binding is gone.
func (l *living) count(key bpfSessionKey, s bpfSession) bool {
	if s.Flags&sessionEndpointDependent != 0 {
		k, o := overflowOf(key, s)
		l.overflows[k] = o
		l.overflow[s.Nat]++
	} else {
		at := bindingOf(key, s)
		b, ok := l.bindings[at]
		if !ok || b.Flags&(bindingEnded|bindingHoldDown) != 0 {
			return false
		}
		b.Sessions++
		l.bindings[at] = b
	}
	if s.Flags&sessionFilterEntry != 0 {
		k, c := contactOf(key, s)
		c.Sessions += l.contacts[k].Sessions
		l.contacts[k] = c
	}
	if s.Flags&sessionCounted != 0 {
		k := bpfEndpointKey{Compartment: key.Compartment, Address: key.InternalAddress}
		u := l.usages[k]
		u.Sessions++
		l.usages[k] = u
	}
	return true
}

func (l *living) settleBindings() {
	l.bits = make(map[bpfPortBitsKey]bpfPortBits)
	ways := make(map[bpfBindingIndexKey]bpfWayOut)
	for key, b := range l.bindings {
		single := b.Flags&(bindingConfigured|bindingOfRange) == bindingConfigured
		if b.Sessions == 0 && !single && b.Flags&bindingHoldDown == 0 {
			delete(l.bindings, key)
			continue
		}
		if b.Flags&bindingConfigured != 0 {
			continue
		}
		ways[indexOf(key, b)] = bpfWayOut{Address: key.Address, Port: key.Port}
		setBit(l.bits, key)
		if b.Flags&bindingHoldDown != 0 {
			l.held = append(l.held, bpfHoldDown{Binding: key, Until: b.HoldUntil})
		}
		if b.Flags&bindingCounted != 0 {
			k := bpfEndpointKey{Compartment: b.Compartment, Address: b.InternalAddress}
			u := l.usages[k]
			u.Ports++
			l.usages[k] = u
		}
	}
	slices.SortFunc(l.held, func(a, b bpfHoldDown) int { return cmp.Compare(a.Until, b.Until) })
	l.settleIndex(ways)
}

// settleIndex keeps the ways out that there were, a mapping's before a dynamic
// one's, as far as they still lead somewhere.
func (l *living) settleIndex(ways map[bpfBindingIndexKey]bpfWayOut) {
	for key, way := range l.index {
		b := bpfBindingKey{Address: way.Address, Port: way.Port, Protocol: key.Protocol}
		if _, ok := l.bindings[b]; ok {
			ways[key] = way
		}
	}
	l.index = ways
}

func setBit(bits map[bpfPortBitsKey]bpfPortBits, key bpfBindingKey) {
	k := bpfPortBitsKey{Address: key.Address, Protocol: key.Protocol}
	b := bits[k]
	port := toPort(key.Port)
	b.Word[port/64] |= 1 << (port % 64)
	bits[k] = b
}

// bindingOf is the key of a session's binding.
func bindingOf(key bpfSessionKey, s bpfSession) bpfBindingKey {
	b := bpfBindingKey{Address: s.ExternalAddress, Port: s.ExternalPort, Protocol: key.Protocol}
	if s.Flags&sessionAnyAddress != 0 {
		b.Address = 0
	}
	return b
}

func contactOf(key bpfSessionKey, s bpfSession) (bpfFilterKey, bpfFilterEntry) {
	c := bpfFilterEntry{Sessions: 1}
	if s.Flags&sessionSpread != 0 {
		c.InternalAddress, c.InternalPort = key.InternalAddress, key.InternalPort
	}
	return bpfFilterKey{
		ExternalAddress: s.ExternalAddress, RemoteAddress: key.RemoteAddress,
		ExternalPort: s.ExternalPort, Protocol: key.Protocol,
	}, c
}

func overflowOf(key bpfSessionKey, s bpfSession) (bpfDependentPortKey, bpfDependentPort) {
	return bpfDependentPortKey{
			ExternalAddress: s.ExternalAddress, ExternalPort: s.ExternalPort,
			RemoteAddress: key.RemoteAddress, RemotePort: key.RemotePort, Protocol: key.Protocol,
		}, bpfDependentPort{
			Compartment: key.Compartment, InternalAddress: key.InternalAddress, InternalPort: key.InternalPort,
		}
}
