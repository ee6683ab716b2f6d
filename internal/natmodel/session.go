package natmodel

import (
	"net/netip"
	"time"

	"github.com/hostnat/hostnat/internal/model"
)

// SessionKey is a session as its endpoint sees it. For ICMP the internal port
// is the query identifier and the remote's is 0.
type SessionKey struct {
	Compartment uint32
	Protocol    model.Protocol
	Internal    netip.AddrPort
	Remote      netip.AddrPort
}

// Session is a binding's conversation with one remote.
type Session struct {
	NAT, Network uint32
	External     netip.AddrPort
	State        model.TCPState
	Created      time.Duration
	Refreshed    time.Duration
	Lifetime     time.Duration
	PacketsOut   uint64
	BytesOut     uint64
	PacketsIn    uint64
	BytesIn      uint64

	binding   BindingKey
	dependent bool // no binding: its external port is for its remote alone
	hairpin   bool // its remote is another endpoint's external address
	spread    bool // its mapping has several targets
	halfOpen  bool // opened from outside, and no ACK has come from there yet
	guest     bool // from outside, and nothing has come from inside since: it does not keep its binding
}

// Sessions are the sessions that live. The caller must not change them.
func (m *Model) Sessions() map[SessionKey]*Session { return m.sessions }

// Bindings are the bindings that live. The caller must not change them.
func (m *Model) Bindings() map[BindingKey]*Binding { return m.bindings }

// open starts a session whose way out has been taken. Refused, it leaves nothing.
func (m *Model) open(key SessionKey, s Session) Reason {
	rules := m.config.NATs[s.NAT]
	if !m.mayOpen(key, rules.Limits) {
		m.release(key, &s, false)
		return m.refused(LimitReached, key, s.NAT, s.Network)
	}
	if len(m.sessions) >= m.config.MaxSessions { // RFC 6888 REQ-11: the old ones live on
		m.release(key, &s, false)
		m.refused(TableFull, key, s.NAT, s.Network)
		return SessionsFull
	}
	s.Created, s.Refreshed, s.Lifetime = m.now, m.now, firstLifetime(key.Protocol, rules.Timeouts)
	m.sessions[key] = &s
	m.event(SessionCreate, key, &s)
	return ""
}

// release gives up what a session has outside.
func (m *Model) release(key SessionKey, s *Session, used bool) {
	if !s.dependent {
		m.leave(s.binding, used)
	} else if m.dependentSessions(s.NAT) == 0 {
		m.refused(EndpointDependentEnd, key, s.NAT, 0)
	}
	m.forget(key.owner())
}

func firstLifetime(p model.Protocol, t model.Timeouts) time.Duration {
	switch p {
	case model.TCP:
		return lifetime(model.StateNone, t)
	case model.UDP:
		return t.UDP.Duration() // RFC 4787 REQ-5
	}
	return t.ICMP.Duration() // RFC 5508 REQ-2
}

// EndSession ends a session as its time would.
func (m *Model) EndSession(key SessionKey) { m.endSession(key) }

// endSession takes the session's dynamic binding along if it was its last.
func (m *Model) endSession(key SessionKey) {
	s := m.sessions[key]
	m.event(SessionDelete, key, s)
	delete(m.sessions, key)
	m.release(key, s, true)
}

// track notes what a translated packet means for its session.
func (m *Model) track(key SessionKey, s *Session, p *packet, outward bool) {
	rules := m.config.NATs[s.NAT]
	packets, bytes := p.counted()
	if outward {
		s.guest = false
		s.PacketsOut += packets
		s.BytesOut += bytes
	} else {
		s.PacketsIn += packets
		s.BytesIn += bytes
	}
	if p.protocol != model.TCP {
		// RFC 4787 REQ-6: outward always; inward is a choice, and never for ICMP.
		if outward || p.protocol == model.UDP && rules.UDPInboundRefresh {
			s.Refreshed = m.now
		}
		return
	}
	next := nextState(s.State, outward, p.tcpFlags)
	switch {
	case next != s.State:
		// A flood under forged sources gets no further than this: RFC 5382 REQ-5.
		s.halfOpen = (s.State == model.StateExternalSYN || s.State == model.StateBothFIN) && next == model.StateEstablished
		s.State, s.Lifetime, s.Refreshed = next, lifetime(next, rules.Timeouts), m.now
		if s.halfOpen {
			s.Lifetime = rules.Timeouts.TCPTransitory.Duration()
		}
		if isClosed(next) && !s.dependent {
			queue := queueOf(s.binding, s.NAT)
			m.closed[queue] = append(m.closed[queue], closedSession{key, s.binding, m.now})
		}
		m.event(SessionState, key, s)
	case s.halfOpen:
		if !outward && p.tcpFlags&flagACK != 0 {
			s.halfOpen, s.Lifetime, s.Refreshed = false, lifetime(next, rules.Timeouts), m.now
		}
	case keepsAlive(s.State, outward, p.tcpFlags):
		s.Refreshed = m.now
	}
}

// hosts is how many of a binding's sessions keep it: not those that remotes have
// opened and the inside has not answered (RFC 4787 REQ-6).
func (m *Model) hosts(at BindingKey) int {
	n := 0
	for _, s := range m.sessions {
		if s.binding == at && !s.dependent && !s.guest {
			n++
		}
	}
	return n
}

// isIdle reports whether a binding is there for guests alone.
func (m *Model) isIdle(at BindingKey) bool { return !m.bindings[at].Configured && m.hosts(at) == 0 }

// IsEndpointDependent reports whether the external port is the session's remote's alone.
func (s *Session) IsEndpointDependent() bool { return s.dependent }

// IsHairpin reports whether the remote is another endpoint's external address.
func (s *Session) IsHairpin() bool { return s.hairpin }

// IsSpread reports whether the session's mapping has several targets.
func (s *Session) IsSpread() bool { return s.spread }
