package upgrade

import (
	"cmp"
	"slices"

	"github.com/hostnat/hostnat/internal/datapath/kernel"
	"github.com/hostnat/hostnat/internal/model"
)

// living is what lives in the tables: sessions and bindings, and what follows
// from them. Read one after the other while packets come in, they do not quite
// fit together; settle makes them.
type living struct {
	sessions       map[kernel.SessionKey]kernel.Session
	bindings       map[kernel.BindingKey]kernel.Binding
	index          map[kernel.BindingIndexKey]kernel.WayOut
	contacts       map[kernel.FilterKey]kernel.FilterEntry
	usages         map[kernel.EndpointKey]kernel.Usage
	dependentPorts map[kernel.DependentPortKey]kernel.DependentPort
	dependentCount map[uint32]uint64 // endpoint-dependent sessions of a NAT
	bits           map[kernel.PortBitsKey]kernel.PortBits
	spares         map[kernel.SpareQueueKey][]kernel.Spare // those that have been spare for longest first
}

// settle leaves out sessions that have no binding and dynamic bindings that
// have no session, counts anew what is counted, and derives the rest. Only
// sessions and bindings are taken as they were.
func (l *living) settle() {
	for key, b := range l.bindings {
		b.Sessions, b.Hosts, b.Contacts = 0, 0, 0
		l.bindings[key] = b
	}
	l.contacts = make(map[kernel.FilterKey]kernel.FilterEntry)
	l.usages = make(map[kernel.EndpointKey]kernel.Usage)
	l.dependentPorts = make(map[kernel.DependentPortKey]kernel.DependentPort)
	l.dependentCount = make(map[uint32]uint64)
	for key, s := range l.sessions {
		if s, ok := l.count(key, s); ok {
			l.sessions[key] = s
		} else {
			delete(l.sessions, key)
		}
	}
	l.settleBindings()
}

// count enters a session wherever it counts, and returns it with what it has there.
// False if its binding is gone.
func (l *living) count(key kernel.SessionKey, s kernel.Session) (kernel.Session, bool) {
	if s.Flags&kernel.SessionEndpointDependent != 0 {
		k, o := dependentPortOf(key, s)
		l.dependentPorts[k] = o
		l.dependentCount[s.Nat]++
	} else {
		at := bindingOf(key, s)
		b, ok := l.bindings[at]
		if !ok || b.Flags&(kernel.BindingEnded|kernel.BindingHoldDown) != 0 {
			return s, false
		}
		b.Sessions++
		if s.Flags&kernel.SessionGuest == 0 {
			b.Hosts++
		}
		if s.Flags&kernel.SessionContact != 0 {
			s = l.contact(key, s, &b)
		}
		l.bindings[at] = b
	}
	if s.Flags&kernel.SessionFilterEntry != 0 {
		k, c := filterEntryOf(key, s)
		c.Sessions += l.contacts[k].Sessions
		l.contacts[k] = c
	}
	if s.Flags&kernel.SessionCounted != 0 {
		k := kernel.EndpointKey{Compartment: key.Compartment, Address: key.InternalAddress}
		u := l.usages[k]
		u.Sessions++
		l.usages[k] = u
	}
	return s, true
}

// contact counts a session among its binding's contacts; one with another remote than
// those gets a filter entry.
func (l *living) contact(key kernel.SessionKey, s kernel.Session, b *kernel.Binding) kernel.Session {
	remote, _ := filterEntryOf(key, s)
	if b.Contacts > 0 && b.Contact != remote.RemoteAddress {
		return withFilterEntry(s)
	}
	b.Contacts, b.Contact = b.Contacts+1, remote.RemoteAddress
	return s
}

// withFilterEntry is a session that counts in a filter entry, if it counted among its
// binding's contacts.
func withFilterEntry(s kernel.Session) kernel.Session {
	if s.Flags&kernel.SessionContact != 0 {
		s.Flags = s.Flags&^kernel.SessionContact | kernel.SessionFilterEntry
	}
	return s
}

func (l *living) settleBindings() {
	l.bits = make(map[kernel.PortBitsKey]kernel.PortBits)
	l.spares = make(map[kernel.SpareQueueKey][]kernel.Spare)
	ways := make(map[kernel.BindingIndexKey]kernel.WayOut)
	for key, b := range l.bindings {
		single := b.Flags&(kernel.BindingConfigured|kernel.BindingOfRange) == kernel.BindingConfigured
		if b.Sessions == 0 && !single && b.Flags&kernel.BindingHoldDown == 0 {
			delete(l.bindings, key)
			continue
		}
		if b.Flags&kernel.BindingConfigured != 0 {
			continue
		}
		ways[kernel.IndexOf(key, b)] = kernel.WayOut{Address: key.Address, Port: key.Port}
		setBit(l.bits, key)
		if b.Flags&kernel.BindingHoldDown != 0 {
			l.addSpare(key, b.Nat, kernel.Spare{Since: uint64(b.HoldUntil), Port: key.Port})
		}
		if b.Flags&kernel.BindingCounted != 0 {
			k := kernel.EndpointKey{Compartment: b.Compartment, Address: b.InternalAddress}
			u := l.usages[k]
			u.Ports++
			l.usages[k] = u
		}
	}
	l.settleIndex(ways)
	l.settleSpares()
}

// settleSpares adds the closed connections to what is in hold-down.
func (l *living) settleSpares() {
	for key, s := range l.sessions {
		closed := s.State == uint32(model.StateBothFIN) || s.State == uint32(model.StateTimeWait)
		at := bindingOf(key, s)
		if !closed || s.Flags&kernel.SessionEndpointDependent != 0 || at.Address == 0 {
			continue
		}
		l.addSpare(at, s.Nat, kernel.Spare{Since: s.LastRefreshed(), RemoteAddress: key.RemoteAddress, RemotePort: key.RemotePort, Port: at.Port})
	}
	for _, queue := range l.spares {
		slices.SortFunc(queue, func(a, b kernel.Spare) int { return cmp.Compare(a.Since, b.Since) })
	}
}

func (l *living) addSpare(at kernel.BindingKey, nat uint32, spare kernel.Spare) {
	key := kernel.SpareQueueKey{Nat: nat, Address: at.Address, Protocol: at.Protocol}
	l.spares[key] = append(l.spares[key], spare)
}

// spareTables are the queues' numbers and elements.
func (l *living) spareTables() (map[kernel.SpareQueueKey]kernel.SpareQueue, map[kernel.SpareKey]kernel.Spare) {
	queues, ports := make(map[kernel.SpareQueueKey]kernel.SpareQueue), make(map[kernel.SpareKey]kernel.Spare)
	for key, queue := range l.spares {
		queues[key] = kernel.SpareQueue{Next: uint64(len(queue))}
		for i, spare := range queue {
			ports[kernel.SpareKey{Queue: key, Number: uint32(i)}] = spare
		}
	}
	return queues, ports
}

// settleIndex keeps the ways out that there were, a mapping's before a dynamic
// one's, as far as they still lead somewhere.
func (l *living) settleIndex(ways map[kernel.BindingIndexKey]kernel.WayOut) {
	for key, way := range l.index {
		b := kernel.BindingKey{Address: way.Address, Port: way.Port, Protocol: key.Protocol}
		if _, ok := l.bindings[b]; ok {
			ways[key] = way
		}
	}
	l.index = ways
}

func setBit(bits map[kernel.PortBitsKey]kernel.PortBits, key kernel.BindingKey) {
	k := kernel.PortBitsKey{Address: key.Address, Protocol: key.Protocol}
	b := bits[k]
	port := kernel.ToPort(key.Port)
	if b.Word[port/64]>>(port%64)&1 == 0 {
		b.Used++
	}
	b.Word[port/64] |= 1 << (port % 64)
	bits[k] = b
}

// bindingOf is the key of a session's binding.
func bindingOf(key kernel.SessionKey, s kernel.Session) kernel.BindingKey {
	b := kernel.BindingKey{Address: s.ExternalAddress, Port: s.ExternalPort, Protocol: key.Protocol}
	if s.Flags&kernel.SessionAnyAddress != 0 {
		b.Address = 0
	}
	return b
}

func filterEntryOf(key kernel.SessionKey, s kernel.Session) (kernel.FilterKey, kernel.FilterEntry) {
	c := kernel.FilterEntry{Sessions: 1}
	if s.Flags&kernel.SessionSpread != 0 {
		c.InternalAddress, c.InternalPort = key.InternalAddress, key.InternalPort
	}
	return kernel.FilterKey{
		ExternalAddress: s.ExternalAddress, RemoteAddress: key.RemoteAddress,
		ExternalPort: s.ExternalPort, Protocol: key.Protocol,
	}, c
}

func dependentPortOf(key kernel.SessionKey, s kernel.Session) (kernel.DependentPortKey, kernel.DependentPort) {
	return kernel.DependentPortKey{
			ExternalAddress: s.ExternalAddress, ExternalPort: s.ExternalPort,
			RemoteAddress: key.RemoteAddress, RemotePort: key.RemotePort, Protocol: key.Protocol,
		}, kernel.DependentPort{
			Compartment: key.Compartment, InternalAddress: key.InternalAddress, InternalPort: key.InternalPort,
		}
}
