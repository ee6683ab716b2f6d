package natmodel

import (
	"net/netip"
	"time"

	"github.com/hostnat/hostnat/internal/nat"
)

// SessionKey is a session as its endpoint sees it. For ICMP the internal port
// is the query identifier and the remote's is 0.
type SessionKey struct {
	Compartment uint32
	Protocol    nat.Protocol
	Internal    netip.AddrPort
	Remote      netip.AddrPort
}

// Session is a binding's conversation with one remote.
type Session struct {
	NAT, Network uint32
	External     netip.AddrPort
	State        nat.TCPState
	Created      time.Duration
	Refreshed    time.Duration
	Lifetime     time.Duration
	PacketsOut   uint64
	BytesOut     uint64
	PacketsIn    uint64
	BytesIn      uint64

	binding BindingKey
}

// Sessions are the sessions that live. The caller must not change them.
func (m *Model) Sessions() map[SessionKey]*Session { return m.sessions }

// Bindings are the bindings that live. The caller must not change them.
func (m *Model) Bindings() map[BindingKey]*Binding { return m.bindings }

// open makes a session of a binding that has been found or made for it.
func (m *Model) open(key SessionKey, network uint32, b BindingKey, external netip.AddrPort) Reason {
	binding := m.bindings[b]
	rules := m.config.NATs[binding.NAT]
	if len(m.sessions) >= m.config.MaxSessions { // RFC 6888 REQ-11: the old ones live on
		m.refused(TableFull, key, binding.NAT, network)
		return SessionsFull
	}
	binding.Sessions++
	m.bindingEvent(BindingSessions, b, binding.Sessions)
	s := &Session{
		NAT: binding.NAT, Network: network, External: external, Created: m.now, Refreshed: m.now,
		Lifetime: firstLifetime(key.Protocol, rules.Timeouts), binding: b,
	}
	m.sessions[key] = s
	m.event(SessionCreate, key, s)
	return ""
}

func firstLifetime(p nat.Protocol, t nat.Timeouts) time.Duration {
	switch p {
	case nat.TCP:
		return lifetime(nat.StateNone, t)
	case nat.UDP:
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
	b := m.bindings[s.binding]
	b.Sessions--
	m.bindingEvent(BindingSessions, s.binding, b.Sessions)
	if b.Sessions == 0 && !b.Configured {
		m.endBinding(s.binding)
	}
}

// track notes what a translated packet means for its session.
func (m *Model) track(key SessionKey, s *Session, p *packet, outward bool) {
	rules := m.config.NATs[s.NAT]
	packets, bytes := p.counted()
	if outward {
		s.PacketsOut += packets
		s.BytesOut += bytes
	} else {
		s.PacketsIn += packets
		s.BytesIn += bytes
	}
	if p.protocol != nat.TCP {
		// RFC 4787 REQ-6: outward always; inward is a choice, and never for ICMP.
		if outward || p.protocol == nat.UDP && rules.UDPInboundRefresh {
			s.Refreshed = m.now
		}
		return
	}
	next := nextState(s.State, outward, p.tcpFlags)
	if next != s.State {
		s.State, s.Lifetime, s.Refreshed = next, lifetime(next, rules.Timeouts), m.now
		m.event(SessionState, key, s)
	} else if keepsAlive(s.State, outward, p.tcpFlags) {
		s.Refreshed = m.now
	}
}
