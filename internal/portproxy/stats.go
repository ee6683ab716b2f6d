package portproxy

import (
	"sync"
	"sync/atomic"
	"time"
)

// stats counts what a rule does.
type stats struct {
	now, total atomic.Uint64 // connections, or UDP sessions
	in, out    atomic.Uint64 // bytes: from clients, to clients

	mu        sync.Mutex
	lastError string
	lastTime  time.Time
}

func (s *stats) begin() {
	s.now.Add(1)
	s.total.Add(1)
}

func (s *stats) end() { s.now.Add(^uint64(0)) }

func (s *stats) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lastError, s.lastTime = err.Error(), time.Now()
}
