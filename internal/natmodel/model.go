package natmodel

import (
	"fmt"
	"net/netip"
	"time"
)

// Hook is where a packet is seen.
type Hook int

// The hooks of the data path.
const (
	FromEndpoint Hook = iota // on an endpoint's own link
	FromBridge               // what else comes up a network's bridge
	FromPort                 // on a port of the bridge that some tool plugged in
	FromOutside
	ToOutside // about to leave the host
)

// Arrival is a packet at a hook. Choice tells what the data path chose for it,
// if it had to.
type Arrival struct {
	Hook     Hook
	Endpoint int    // FromEndpoint: index in Config.Endpoints
	Network  uint32 // FromBridge, FromPort
	Frame    []byte // Ethernet
	Marked   bool   // ToOutside: translated by us
	Turns    int    // how often it was in the reassembly namespace
	Segments int    // 0, or how many the kernel cuts it into on its way out (GSO)
	Segment  int    // bytes of payload in each of these
	Choice   Choice
}

// Choice is what the RFCs leave to the NAT. What it chose for a flow that it
// refused in the end need not be told.
type Choice struct {
	External   netip.AddrPort // of a new binding or endpoint-dependent session
	FragmentID uint16         // identification of a datagram that goes out in fragments, or may become some
}

// Verdict is what becomes of a packet.
type Verdict int

// The verdicts.
const (
	Passed       Verdict = iota // not the NAT's: on to the host, unchanged
	Dropped                     // for a reason
	Answered                    // dropped, and its sender is told by ICMP
	Outward                     // translated, leaves the host
	Inward                      // translated, goes to an endpoint or its bridge
	ToReassembly                // unchanged to the reassembly namespace, from where it comes again
	ToSocket                    // on to the host, unchanged, for a socket that has the remote's address
)

func (v Verdict) String() string {
	return [...]string{"passed", "dropped", "answered", "outward", "inward", "to reassembly", "to a socket"}[v]
}

// Result is what a packet led to. Frame is what goes on or, if Answered, back;
// the Ethernet header is final only where the NAT writes it.
type Result struct {
	Verdict Verdict
	Reason  Reason // of Dropped and Answered
	Frame   []byte
	Events  []Event
}

// Model is a NAT's state. Its methods may not be used from several goroutines.
type Model struct {
	config    Config
	now       time.Duration
	sessions  map[SessionKey]*Session
	bindings  map[BindingKey]*Binding
	fragments map[fragmentKey]fragment
	hostPorts map[BindingKey]time.Duration
	rates     map[owned]rate
	givenUp   map[BindingKey]time.Duration   // ports in hold-down whose binding gave way to a mapping
	holders   map[place]holder               // who has which address, of those at plugged-in ports
	closed    map[spareQueue][]closedSession // the longest closed first
	holdDowns map[spareQueue][]holdDown      // ports in hold-down, the first to be free again first
	events    []Event
	choice    Choice
	problem   error // the data path's choice is not allowed
}

// place is an address in a compartment.
type place struct {
	compartment uint32
	address     netip.Addr
}

// holder is the MAC that was first to use an address.
type holder struct {
	mac MAC
}

// New returns a NAT without sessions.
func New(c Config) *Model {
	m := &Model{
		config:    c,
		sessions:  make(map[SessionKey]*Session),
		bindings:  make(map[BindingKey]*Binding),
		fragments: make(map[fragmentKey]fragment),
		hostPorts: make(map[BindingKey]time.Duration),
		rates:     make(map[owned]rate),
		givenUp:   make(map[BindingKey]time.Duration),
		holders:   make(map[place]holder),
		closed:    make(map[spareQueue][]closedSession),
		holdDowns: make(map[spareQueue][]holdDown),
	}
	for id, mapping := range c.Mappings {
		m.addMapping(id, mapping)
	}
	return m
}

// Step lets time pass until now and then handles one packet. The error says
// what the data path chose and should not have.
func (m *Model) Step(a Arrival, now time.Duration) (Result, error) {
	m.Advance(now)
	m.events, m.choice, m.problem = nil, a.Choice, nil
	p := &packet{frame: append([]byte(nil), a.Frame...), segments: a.Segments, segment: a.Segment, turns: a.Turns}
	result := Result{Verdict: Passed, Frame: a.Frame}
	switch a.Hook {
	case FromEndpoint:
		result = m.fromEndpoint(p, m.config.Endpoints[a.Endpoint])
	case FromBridge:
		result = m.fromBridge(p, a.Network)
	case FromPort:
		result = m.fromPort(p, a.Network)
	case FromOutside:
		result = m.fromOutside(p)
	case ToOutside:
		result = m.toOutside(p, a.Marked)
	}
	if result.Verdict == Passed {
		result.Frame = a.Frame
	}
	result.Events = m.events
	return result, m.problem
}

// Advance ends what is over by now.
func (m *Model) Advance(now time.Duration) {
	m.now = now
	for key, s := range m.sessions {
		if s.Refreshed+s.Lifetime <= now {
			m.event(SessionTimeout, key, s)
			m.endSession(key)
		}
	}
	m.endRests()
	for key, f := range m.fragments {
		if f.expires <= now {
			delete(m.fragments, key)
		}
	}
}

func (m *Model) refuseChoice(format string, args ...any) {
	if m.problem == nil {
		m.problem = fmt.Errorf(format, args...)
	}
}

func passed() Result            { return Result{Verdict: Passed} }
func dropped(why Reason) Result { return Result{Verdict: Dropped, Reason: why} }
