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
	refused    atomic.Uint64 // connections and UDP clients for which there was no place, and connections that came too fast
	gaveWay    atomic.Uint64 // those that were ended for others
	refusedAt  atomic.Int64  // when the last was, Unix seconds

	mu        sync.Mutex
	lastError string
	lastTime  time.Time
}

func (s *stats) begin() {
	s.now.Add(1)
	s.total.Add(1)
}

func (s *stats) end() { s.now.Add(^uint64(0)) }

func (s *stats) refuse() {
	s.refused.Add(1)
	s.refusedAt.Store(time.Now().Unix())
}

func (s *stats) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lastError, s.lastTime = err.Error(), time.Now()
}
