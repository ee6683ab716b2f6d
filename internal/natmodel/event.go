package natmodel

import (
	"net/netip"
	"time"

	"github.com/hostnat/hostnat/internal/model"
)

// EventID is the number of a kind of event: WinNAT's.
type EventID uint16

// The events.
const (
	SessionCreate          EventID = 1001
	SessionState           EventID = 1003
	SessionTimeout         EventID = 1004
	SessionDelete          EventID = 1005
	BindingCreate          EventID = 1006
	BindingDelete          EventID = 1007
	BindingSessions        EventID = 1008
	TableFull              EventID = 1016
	PortsExhausted         EventID = 1033
	EndpointDependentBegin EventID = 2011 // the first endpoint-dependent session of a NAT
	EndpointDependentEnd   EventID = 2012 // the last
	LimitReached           EventID = 2013 // an endpoint's
)

// Event is something that happened to a session or a binding.
type Event struct {
	ID                         EventID
	NAT, Network, Compartment  uint32
	Protocol                   model.Protocol
	Internal, External, Remote netip.AddrPort
	State                      model.TCPState
	Lifetime                   time.Duration
	Sessions                   int
	Configured                 bool
}

func (m *Model) event(id EventID, key SessionKey, s *Session) {
	m.events = append(m.events, Event{
		ID: id, NAT: s.NAT, Network: s.Network, Compartment: key.Compartment, Protocol: key.Protocol,
		Internal: key.Internal, External: s.External, Remote: key.Remote, State: s.State, Lifetime: s.Lifetime,
	})
}

func (m *Model) bindingEvent(id EventID, key BindingKey, sessions int) {
	b := m.bindings[key]
	m.events = append(m.events, Event{
		ID: id, NAT: b.NAT, Network: b.Network, Compartment: b.Compartment, Protocol: key.Protocol,
		Internal: b.Internal, External: key.External, Sessions: sessions, Configured: b.Configured,
	})
}

// refused tells of a flow that there was no room for, and returns why.
func (m *Model) refused(id EventID, key SessionKey, natID, network uint32) Reason {
	m.events = append(m.events, Event{
		ID: id, NAT: natID, Network: network, Compartment: key.Compartment, Protocol: key.Protocol,
		Internal: key.Internal, Remote: key.Remote,
	})
	return map[EventID]Reason{PortsExhausted: OutOfPorts, TableFull: BindingsFull, LimitReached: EndpointLimit}[id]
}
