package natmodel

import (
	"net/netip"
	"slices"
	"time"

	"github.com/hostnat/hostnat/internal/model"
)

// closedSession is a connection that both ends have closed, or one has reset.
type closedSession struct {
	key   SessionKey
	since time.Duration
}

func isClosed(s model.TCPState) bool { return s == model.StateBothFIN || s == model.StateTimeWait }

// How much is looked at for one flow.
const (
	reclaimTries = 64 // closed connections, or ports in hold-down
	reclaims     = 8  // ports: other connections may be on one, or it is the host's now
)

// heldPort is a port in hold-down.
type heldPort struct {
	at    BindingKey
	until time.Duration
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

func hasPort(on []PoolAddress, external netip.AddrPort) bool {
	return slices.ContainsFunc(on, func(a PoolAddress) bool {
		return a.Address == external.Addr() && slices.ContainsFunc(a.Ports, func(r model.PortRange) bool {
			return r.Low <= external.Port() && external.Port() <= r.High
		})
	})
}

// reclaimClosed ends a closed connection. Others' go to the end of the queue.
func (m *Model) reclaimClosed(_ model.Protocol, nat uint32, on []PoolAddress) (BindingKey, bool) {
	for range reclaimTries {
		if len(m.closed) == 0 {
			break
		}
		c := m.closed[0]
		m.closed = m.closed[1:]
		s := m.sessions[c.key]
		if s == nil || !isClosed(s.State) || s.Refreshed != c.since {
			continue
		}
		if b := m.bindings[s.binding]; b == nil || b.Configured {
			continue
		}
		if s.NAT == nat && hasPort(on, s.binding.External) {
			at := s.binding
			m.endSession(c.key)
			return at, true
		}
		m.closed = append(m.closed, c)
	}
	return BindingKey{}, false
}

// reclaimHeld ends the hold-down of a port. Others' go to the end of the queue. Of
// several that went into it within a second any may be the first, since the data path
// counts in seconds: the one that it chose, then.
func (m *Model) reclaimHeld(p model.Protocol, nat uint32, on []PoolAddress) (BindingKey, bool) {
	stale := func(h heldPort) bool {
		b := m.bindings[h.at]
		return b == nil || !b.Held || b.until != h.until
	}
	fits := func(h heldPort) bool {
		return h.at.Protocol == p && m.bindings[h.at].NAT == nat && hasPort(on, h.at.External)
	}
	for range reclaimTries {
		if len(m.held) == 0 {
			break
		}
		h := m.held[0]
		m.held = m.held[1:]
		if stale(h) {
			if b := m.bindings[h.at]; b == nil || b.Configured {
				delete(m.resting, h.at) // a mapping has had it since
			}
			continue
		}
		if !fits(h) {
			m.held = append(m.held, h)
			continue
		}
		chosen := slices.IndexFunc(m.held, func(o heldPort) bool {
			return o.at.External == m.choice.External && o.until <= h.until+time.Second && !stale(o) && fits(o)
		})
		if h.at.External != m.choice.External && chosen >= 0 {
			h, m.held[chosen] = m.held[chosen], h
		}
		delete(m.bindings, h.at)
		return h.at, true
	}
	return BindingKey{}, false
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
