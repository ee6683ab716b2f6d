package natmodel

import (
	"cmp"
	"net/netip"
	"slices"
	"time"

	"github.com/hostnat/hostnat/internal/model"
)

// closedSession is a connection that both ends have closed, or one has reset.
type closedSession struct {
	key   SessionKey
	at    BindingKey // the connection may have come again since, with another port
	since time.Duration
}

func isClosed(s model.TCPState) bool { return s == model.StateBothFIN || s == model.StateTimeWait }

// reclaims is how many ports are had back for one flow: other connections may be on
// one, or it is the host's now.
const reclaims = 8

// holdDown is a port in hold-down.
type holdDown struct {
	at          BindingKey
	from, until time.Duration
}

// spareQueue is whose ports, on which address and of which protocol, wait in a
// queue: what is spare for longest is in front.
type spareQueue struct {
	nat      uint32
	address  netip.Addr
	protocol model.Protocol
}

func queueOf(at BindingKey, nat uint32) spareQueue {
	return spareQueue{nat, at.External.Addr(), at.Protocol}
}

// reclaim has ports of a NAT back that nobody uses any more: of the connections that
// have been closed for longest, or for other protocols those that have been in
// hold-down for longest (RFC 6888 REQ-8). It returns the one that is free then; on
// is where it may be.
func (m *Model) reclaim(p model.Protocol, nat uint32, on []PoolAddress) []netip.AddrPort {
	for range reclaims {
		take := m.reclaimClosed
		if p != model.TCP {
			take = m.reclaimHeld
		}
		at, had := take(p, nat, on)
		if !had {
			return nil
		}
		if m.bindings[at] == nil && !m.isReserved(at) {
			return []netip.AddrPort{at.External}
		}
	}
	return nil
}

func (a PoolAddress) has(port uint16) bool {
	return slices.ContainsFunc(a.Ports, func(r model.PortRange) bool { return r.Low <= port && port <= r.High })
}

// reclaimClosed ends the connection that has been closed for longest.
func (m *Model) reclaimClosed(p model.Protocol, nat uint32, on []PoolAddress) (at BindingKey, had bool) {
	var oldest *closedSession
	for _, a := range on {
		queue := spareQueue{nat, a.Address, p}
		waiting := m.closed[queue]
		for len(waiting) > 0 && !m.isStillClosed(waiting[0], a) {
			waiting = waiting[1:]
		}
		m.closed[queue] = waiting
		if len(waiting) > 0 && (oldest == nil || waiting[0].since < oldest.since) {
			oldest = &waiting[0]
		}
	}
	if oldest == nil {
		return BindingKey{}, false
	}
	at = m.sessions[oldest.key].binding
	m.endSession(oldest.key)
	return at, true
}

func (m *Model) isStillClosed(c closedSession, on PoolAddress) bool {
	s := m.sessions[c.key]
	if s == nil || !isClosed(s.State) || s.Refreshed != c.since || s.binding != c.at || !on.has(c.at.External.Port()) {
		return false
	}
	b := m.bindings[c.at]
	return b != nil && !b.Configured
}

// reclaimHeld ends the hold-down that has lasted for longest; of those on several
// addresses by the second, as the data path counts.
func (m *Model) reclaimHeld(p model.Protocol, nat uint32, on []PoolAddress) (at BindingKey, had bool) {
	var oldest *holdDown
	for _, a := range on {
		queue := spareQueue{nat, a.Address, p}
		waiting := m.holdDowns[queue]
		for len(waiting) > 0 && !m.isStillHeld(waiting[0], a) {
			m.endHold(waiting[0])
			waiting = waiting[1:]
		}
		m.holdDowns[queue] = waiting
		if len(waiting) > 0 && (oldest == nil || waiting[0].until.Truncate(time.Second) < oldest.until.Truncate(time.Second)) {
			oldest = &waiting[0]
		}
	}
	if oldest == nil {
		return BindingKey{}, false
	}
	delete(m.bindings, oldest.at)
	return oldest.at, true
}

func (m *Model) isStillHeld(h holdDown, on PoolAddress) bool {
	b := m.bindings[h.at]
	return b != nil && b.HoldDown && b.until == h.until && on.has(h.at.External.Port())
}

// endHold lets go of a port whose place in the queue says nothing any more: a mapping
// has had it since, or it is in use again.
func (m *Model) endHold(h holdDown) {
	switch b := m.bindings[h.at]; {
	case b == nil || b.Configured:
		delete(m.givenUp, h.at)
	case b.HoldDown && b.until == h.until:
		delete(m.bindings, h.at)
	}
}

// OrderHolds says in which order ports came into hold-down that did so at the same moment,
// since sessions that end together do so in any: position is higher for what came later.
func (m *Model) OrderHolds(position map[BindingKey]int) {
	for _, held := range m.holdDowns {
		slices.SortStableFunc(held, func(a, b holdDown) int {
			return cmp.Or(cmp.Compare(a.from, b.from), cmp.Compare(position[a.at], position[b.at]))
		})
	}
}

// reclaimDependent ends the connection to a remote that has been closed for longest,
// of those with an endpoint-dependent port on this address, and returns that port.
func (m *Model) reclaimDependent(key SessionKey, a PoolAddress) []netip.AddrPort {
	var found SessionKey
	var oldest *Session
	for k, s := range m.sessions {
		if key.Protocol != model.TCP || !s.dependent || k.Protocol != model.TCP || k.Remote != key.Remote || s.External.Addr() != a.Address ||
			s.External.Port() < a.Dependent.Low || s.External.Port() > a.Dependent.High || !isClosed(s.State) || m.isReserved(BindingKey{k.Protocol, s.External}) {
			continue
		}
		if oldest == nil || s.Refreshed < oldest.Refreshed || s.Refreshed == oldest.Refreshed && s.External == m.choice.External {
			found, oldest = k, s
		}
	}
	if oldest == nil {
		return nil
	}
	m.endSession(found)
	return []netip.AddrPort{oldest.External}
}
