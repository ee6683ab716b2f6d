package dns

import (
	"container/list"
	"sync"
)

// limiter counts what is under way for each client, so that none takes all. When all
// is taken, the client with most gives something up for one that has less.
type limiter[K comparable] struct {
	each, all int  // the most for one client, and for all
	ownYields bool // at its own limit a client gives up what it used longest ago; else it is refused

	mu    sync.Mutex
	of    map[K]*list.List // of *place[K]; what was used longest ago comes first
	total int
}

// place is what one thing under way has.
type place[K comparable] struct {
	client K
	at     *list.Element // nil: it was given up
	giveUp func()        // ends what has the place; called once at most
}

func newLimiter[K comparable](each, all int) *limiter[K] {
	return &limiter[K]{each: each, all: all, of: make(map[K]*list.List)}
}

// enter gives a client one more place, nil if there is none. GiveUp is called if
// somebody else has to have it; leave ends it.
func (l *limiter[K]) enter(client K, giveUp func()) *place[K] {
	p, other := l.find(client, giveUp)
	if other != nil {
		other.giveUp()
	}
	return p
}

func (l *limiter[K]) find(client K, giveUp func()) (p, other *place[K]) {
	l.mu.Lock()
	defer l.mu.Unlock()
	has := l.count(client)
	switch {
	case has >= l.each && l.ownYields && has > 0:
		other = l.oldest(client)
	case has >= l.each:
		return nil, nil
	case l.total >= l.all:
		if other = l.ofHeaviest(has + 1); other == nil {
			return nil, nil
		}
	}
	if other != nil {
		l.remove(other)
	}
	if l.of[client] == nil {
		l.of[client] = list.New()
	}
	p = &place[K]{client: client, giveUp: giveUp}
	p.at = l.of[client].PushBack(p)
	l.total++
	return p, other
}

func (l *limiter[K]) count(client K) int {
	if l.of[client] == nil {
		return 0
	}
	return l.of[client].Len()
}

func (l *limiter[K]) oldest(client K) *place[K] { return l.of[client].Front().Value.(*place[K]) }

// ofHeaviest returns the oldest place of the client with most, if that is more than
// somebody will have.
func (l *limiter[K]) ofHeaviest(more int) *place[K] {
	var heaviest *list.List
	for _, places := range l.of {
		if n := places.Len(); n > more {
			heaviest, more = places, n
		}
	}
	if heaviest == nil {
		return nil
	}
	return heaviest.Front().Value.(*place[K])
}

// used notes that a place is in use.
func (l *limiter[K]) used(p *place[K]) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if p.at != nil {
		l.of[p.client].MoveToBack(p.at)
	}
}

// leave gives a place back.
func (l *limiter[K]) leave(p *place[K]) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if p.at != nil {
		l.remove(p)
	}
}

func (l *limiter[K]) remove(p *place[K]) {
	places := l.of[p.client]
	places.Remove(p.at)
	p.at = nil
	l.total--
	if places.Len() == 0 {
		delete(l.of, p.client)
	}
}
