package natmodel

import (
	"net/netip"
	"time"

	"github.com/hostnat/hostnat/internal/model"
)

// State is what a NAT knew at some time, as far as it can be told from outside: that of
// a data path, whose packets the model is to follow from then on. Ports that wait in the
// order in which they may be had back are not part of it.
type State struct {
	Now       time.Duration
	Sessions  []KnownSession
	Bindings  []KnownBinding
	Holders   []KnownHolder
	Fragments []KnownFragment
	HostPorts map[BindingKey]time.Duration // when the host was last noted to talk from there
}

// KnownSession is a session with what else the NAT knows of it.
type KnownSession struct {
	Key     SessionKey
	Session Session
	Binding BindingKey
	// As of Session's own fields of these names.
	Dependent, Hairpin, Spread, HalfOpen, Guest bool
}

// KnownBinding is a binding with what else the NAT knows of it.
type KnownBinding struct {
	Key     BindingKey
	Binding Binding
	Mapping uint32
	OfRange bool
	Until   time.Duration // of one in hold-down
}

// KnownHolder is who has an address, of those at plugged-in ports.
type KnownHolder struct {
	Compartment uint32
	Address     netip.Addr
	MAC         MAC
}

// KnownFragment is how a datagram's first fragment was translated.
type KnownFragment struct {
	Outside              bool // it came from there; else from Realm, a compartment
	Realm                uint32
	From, To             netip.Addr
	ID                   uint16
	Protocol             model.Protocol
	Expires              time.Duration
	Address, Source      netip.Addr // what destination or source become, and the other one of a hairpin
	NewID                uint16
	Compartment, Network uint32
}

// Restore makes the model a NAT that knows this and nothing else. Its configuration stays.
// What does not fit is left out, and returned as the external ends that it has: sessions
// without their binding, and bindings of mappings that there are not. A data path has none
// of these, but who reads its tables while packets go on may have read them.
func (m *Model) Restore(s State) (left []BindingKey) {
	fresh := New(m.config)
	fresh.now = s.Now
	left = append(fresh.restoreBindings(s.Bindings), fresh.restoreSessions(s.Sessions)...)
	for _, h := range s.Holders {
		fresh.holders[place{h.Compartment, h.Address}] = holder{h.MAC}
	}
	for _, f := range s.Fragments {
		realm := f.Realm
		if f.Outside {
			realm = outsideRealm
		}
		fresh.fragments[fragmentKey{realm, f.From, f.To, f.ID, f.Protocol}] = fragment{
			expires: f.Expires, address: f.Address, source: f.Source, id: f.NewID, compartment: f.Compartment, network: f.Network,
		}
	}
	for at, when := range s.HostPorts {
		fresh.hostPorts[at] = when
	}
	*m = *fresh
	return left
}

// restoreBindings adds bindings to those that mappings have.
func (m *Model) restoreBindings(all []KnownBinding) (left []BindingKey) {
	for _, b := range all {
		_, mapped := m.config.Mappings[b.Mapping]
		if !mapped && (b.Mapping != 0 || b.OfRange) {
			left = append(left, b.Key)
			continue
		}
		one := b.Binding
		one.mapping, one.ofRange, one.until = b.Mapping, b.OfRange, b.Until
		m.bindings[b.Key] = &one
	}
	return left
}

// restoreSessions adds sessions. A binding counts those that it has, at the least, and is
// not in hold-down with any.
func (m *Model) restoreSessions(all []KnownSession) (left []BindingKey) {
	count := make(map[BindingKey]int)
	for _, k := range all {
		if !k.Dependent && m.bindings[k.Binding] == nil {
			left = append(left, BindingKey{k.Key.Protocol, k.Session.External})
			continue
		}
		one := k.Session
		one.binding, one.dependent, one.hairpin = k.Binding, k.Dependent, k.Hairpin
		one.spread, one.halfOpen, one.guest = k.Spread, k.HalfOpen, k.Guest
		m.sessions[k.Key] = &one
		if !k.Dependent {
			count[k.Binding]++
		}
	}
	for at, n := range count {
		b := m.bindings[at]
		b.Sessions, b.HoldDown = max(b.Sessions, n), false
	}
	return left
}
