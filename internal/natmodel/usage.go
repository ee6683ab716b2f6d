package natmodel

import (
	"net/netip"
	"time"

	"github.com/hostnat/hostnat/internal/model"
)

// owned is whose sessions and ports are counted: RFC 6888 REQ-4, REQ-5.
type owned struct {
	compartment uint32
	address     netip.Addr
}

// rate is how many sessions an endpoint opened in a second of the clock.
type rate struct {
	second time.Duration
	opened uint32
}

func (key SessionKey) owner() owned { return owned{key.Compartment, key.Internal.Addr()} }

func (m *Model) sessionsOf(who owned) (count uint32) {
	for key := range m.sessions {
		if key.owner() == who {
			count++
		}
	}
	return count
}

// portsOf counts the dynamic bindings in use: not those that rest.
func (m *Model) portsOf(who owned) (count uint32) {
	for _, b := range m.bindings {
		if !b.Configured && !b.HoldDown && b.Compartment == who.compartment && b.Internal.Addr() == who.address {
			count++
		}
	}
	return count
}

func (m *Model) tooManyPorts(key SessionKey, limits model.Limits) bool {
	return limits.Ports > 0 && m.portsOf(key.owner()) >= limits.Ports
}

// mayOpen counts a session more, unless the endpoint has had enough.
func (m *Model) mayOpen(key SessionKey, limits model.Limits) bool {
	who := key.owner()
	r, second := m.rates[who], m.now.Truncate(time.Second)
	if r.second != second {
		r = rate{second: second}
	}
	if limits.Sessions > 0 && m.sessionsOf(who) >= limits.Sessions || limits.Rate > 0 && r.opened >= limits.Rate {
		return false
	}
	r.opened++
	m.rates[who] = r
	return true
}

// forget an endpoint that has nothing any more.
func (m *Model) forget(who owned) {
	if m.sessionsOf(who) == 0 && m.portsOf(who) == 0 {
		delete(m.rates, who)
	}
}
