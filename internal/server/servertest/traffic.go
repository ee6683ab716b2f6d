package servertest

import (
	"context"
	"time"

	"github.com/hostnat/hostnat/internal/model"
	"github.com/hostnat/hostnat/internal/traffic"
)

// Traffic compares the sessions with a second ago, when each had sent and got a packet less
// of 1,000 bytes.
func (s *Service) Traffic(_ context.Context, q traffic.Query) (traffic.Top, error) {
	if err := q.Check(); err != nil {
		return traffic.Top{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	const size = 1000
	at := time.Now()
	before := traffic.Reading{At: at.Add(-time.Second), Drops: map[string]uint64{"no-session": 10, "spoofed-source": 0}}
	now := traffic.Reading{At: at, Sessions: uint64(len(s.sessions)), Drops: map[string]uint64{"no-session": 12, "spoofed-source": 0}}
	for _, v := range s.sessions {
		before.Active = append(before.Active, v)
		now.Active = append(now.Active, sent(v, size))
		now.Holders = append(now.Holders, traffic.Holder{Endpoint: v.Endpoint, Network: v.Network, Compartment: v.Compartment, Address: v.Internal.Addr(), Sessions: 1})
	}
	return traffic.Between(before, now).Top(q), s.Err
}

// sent is a session that has sent and got one more packet.
func sent(s model.Session, size uint64) model.Session {
	s.PacketsOut, s.BytesOut, s.PacketsIn, s.BytesIn = s.PacketsOut+1, s.BytesOut+size, s.PacketsIn+1, s.BytesIn+size
	return s
}
