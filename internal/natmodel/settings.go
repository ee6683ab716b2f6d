package natmodel

import (
	"time"

	"github.com/hostnat/hostnat/internal/model"
)

// SetNAT changes a NAT's settings, which count for its live sessions too: one
// that is over by them ends.
func (m *Model) SetNAT(id uint32, n NAT) {
	m.config.NATs[id] = n
	for key, s := range m.sessions {
		if s.NAT == id {
			s.Lifetime = currentLifetime(key.Protocol, s, n.Timeouts)
		}
	}
	m.Advance(m.now)
}

func currentLifetime(p model.Protocol, s *Session, t model.Timeouts) time.Duration {
	switch {
	case p != model.TCP:
		return firstLifetime(p, t)
	case s.halfOpen:
		return t.TCPTransitory.Duration()
	}
	return lifetime(s.State, t)
}
