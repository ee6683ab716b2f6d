package dns

import (
	"net/netip"
	"sync"
)

// limiter counts what is under way for each client, so that none takes all.
type limiter struct {
	each, all int // the most for one client, and for all of a network

	mu    sync.Mutex
	count map[netip.Addr]int
	total int
}

func newLimiter(each, all int) *limiter {
	return &limiter{each: each, all: all, count: make(map[netip.Addr]int)}
}

// enter reports whether one more may begin for a client; leave ends it.
func (l *limiter) enter(client netip.Addr) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.count[client] >= l.each || l.total >= l.all {
		return false
	}
	l.count[client]++
	l.total++
	return true
}

func (l *limiter) leave(client netip.Addr) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.total--
	if l.count[client]--; l.count[client] <= 0 {
		delete(l.count, client)
	}
}
