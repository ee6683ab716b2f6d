package natmodel

import (
	"net/netip"
	"slices"
	"time"

	"github.com/hostnat/hostnat/internal/model"
)

// BindingKey is a binding's outside. Address 0.0.0.0: any of the host's.
type BindingKey struct {
	Protocol model.Protocol
	External netip.AddrPort
}

// Binding ties an internal address and port to an external one, for all remotes
// (RFC 4787 REQ-1, RFC 5382 REQ-1, RFC 5508 REQ-1).
type Binding struct {
	NAT, Network, Compartment uint32
	Internal                  netip.AddrPort // 0.0.0.0:0 if the mapping has several targets
	Sessions                  int
	Configured                bool // by a mapping
	HoldDown                  bool // without sessions: its port is in hold-down, and is its internal port's still

	mapping uint32
	ofRange bool // one port of a mapping's range, here while sessions use it
	until   time.Duration
}

// hostPortMemory is how long a port from which the host talked stays its own, at
// least: that it still does is noted once in hostPortPrecision.
const (
	hostPortMemory    = 300 * time.Second
	hostPortPrecision = 10 * time.Second
)

// join adds a session to a binding. One in hold-down is taken up again.
func (m *Model) join(at BindingKey) {
	b := m.bindings[at]
	if b.HoldDown {
		b.HoldDown = false
		m.bindingEvent(BindingCreate, at, 0)
	}
	b.Sessions++
	m.bindingEvent(BindingSessions, at, b.Sessions)
}

// leave takes a session from a binding. The last one takes along what is not a
// mapping's own; a port that was used is in hold-down before another may have it (RFC 6888
// REQ-8), but not TCP's: its closing states have waited already.
func (m *Model) leave(at BindingKey, used bool) {
	b := m.bindings[at]
	b.Sessions--
	m.bindingEvent(BindingSessions, at, b.Sessions)
	if b.Sessions > 0 || b.Configured && !b.ofRange {
		return
	}
	m.bindingEvent(BindingDelete, at, 0)
	rest := m.config.NATs[b.NAT].HoldDown
	if b.Configured || !used || at.Protocol == model.TCP || rest == 0 {
		delete(m.bindings, at)
		return
	}
	b.HoldDown, b.until = true, m.now+rest
	queue := queueOf(at, b.NAT)
	m.holdDowns[queue] = append(m.holdDowns[queue], holdDown{at, m.now, b.until})
}

// endRests frees the ports that have rested.
func (m *Model) endRests() {
	for at, b := range m.bindings {
		if b.HoldDown && b.until <= m.now {
			delete(m.bindings, at)
		}
	}
	for queue, held := range m.holdDowns {
		m.holdDowns[queue] = slices.DeleteFunc(held, func(h holdDown) bool { return h.until <= m.now })
	}
	for at, until := range m.givenUp {
		if until <= m.now {
			delete(m.givenUp, at)
		}
	}
}

// IsWayOut reports whether flows of the internal port have this external one by
// the binding itself.
func (b *Binding) IsWayOut() bool { return !b.ofRange && !b.Internal.Addr().IsUnspecified() }
