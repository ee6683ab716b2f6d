package server

import (
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/hostnat/hostnat/api"
	"github.com/hostnat/hostnat/internal/tokens"
)

// Limits are how much of the daemon its API's clients may have. Root and the
// group are trusted: they have what others leave, and others cannot take it.
type Limits struct {
	Connections int // in all
	Others      int // of all users together who are not trusted
	OfUser      int // of one user who is not trusted

	Watchers       int // streams of events, in all
	WatchersOthers int // of all users together who are not trusted
	WatchersOfUser int // of one such user

	Opened    tokens.Rate // connections that one user who is not trusted opens
	Delivered tokens.Rate // requests that come from one such user, in packages
}

// LimitsFor returns the limits where the API may have so many open files. An event
// stream's buffers take up to half a megabyte, so there are few.
func LimitsFor(files int) Limits {
	all := min(max(files, 16), 1024)
	return Limits{
		Connections: all, Others: all * 3 / 4, OfUser: all / 4, Watchers: 64, WatchersOthers: 16, WatchersOfUser: 8,
		Opened: tokens.Rate{PerSecond: 100, Burst: float64(all / 2)}, Delivered: tokens.Rate{PerSecond: 200, Burst: float64(all)},
	}
}

// connections knows the open connections: whose they are, and since when they are
// idle.
type connections struct {
	limits Limits

	mu                sync.Mutex
	open              map[*connection]struct{}
	watchers          map[*watcher]struct{}
	opened, delivered tokens.Each[uint32] // by users who are not trusted, lately
	counts            api.Clients         // but for those that are open now
}

// connection is one of a client. idleSince is zero while a request is answered.
type connection struct {
	net.Conn
	peer      peer
	trusted   bool
	of        *connections
	idleSince time.Time // guarded by connections.mu
}

func newConnections(limits Limits) *connections {
	return &connections{limits: limits, open: make(map[*connection]struct{}), watchers: make(map[*watcher]struct{})}
}

// Read reads what the client sends. Of a user who sends more than others may it comes later,
// and nothing was done for it until then.
func (c *connection) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if n > 0 && !c.trusted {
		time.Sleep(c.of.delay(c.peer.uid, time.Now()))
	}
	return n, err
}

// delay is how long what a user has sent has to wait.
func (cs *connections) delay(uid uint32, now time.Time) time.Duration {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	return cs.delivered.Of(uid).Reserve(cs.limits.Delivered, now)
}

// admit takes a new connection in, unless its user opens more than others may. If
// there are as many as may be, the one that has been idle for longest gives way, among
// those that count against the same limit. It is false if none is idle.
func (cs *connections) admit(c *connection, now time.Time) bool {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	if !c.trusted && !cs.opened.Of(c.peer.uid).Take(cs.limits.Opened, now) {
		cs.counts.RefusedConnections++
		return false
	}
	for _, limit := range cs.limitsOf(c) {
		if cs.count(limit.counts) >= limit.most && !cs.makeRoom(limit.counts) {
			cs.counts.RefusedConnections++
			return false
		}
	}
	c.idleSince = now
	cs.open[c] = struct{}{}
	return true
}

// limit is a number of connections, and which of them count.
type limit struct {
	most   int
	counts func(*connection) bool
}

func (cs *connections) limitsOf(c *connection) []limit {
	all := limit{cs.limits.Connections, func(*connection) bool { return true }}
	if c.trusted {
		return []limit{all}
	}
	return []limit{
		{cs.limits.OfUser, func(o *connection) bool { return !o.trusted && o.peer.uid == c.peer.uid }},
		{cs.limits.Others, func(o *connection) bool { return !o.trusted }},
		all,
	}
}

func (cs *connections) count(counts func(*connection) bool) (n int) {
	for c := range cs.open {
		if counts(c) {
			n++
		}
	}
	return n
}

// makeRoom closes the connection that has been idle for longest, among those that
// count.
func (cs *connections) makeRoom(counts func(*connection) bool) bool {
	var oldest *connection
	for c := range cs.open {
		if !c.idleSince.IsZero() && counts(c) && (oldest == nil || c.idleSince.Before(oldest.idleSince)) {
			oldest = c
		}
	}
	if oldest == nil {
		return false
	}
	delete(cs.open, oldest)
	cs.counts.ClosedIdle++
	_ = oldest.Conn.Close()
	return true
}

// changed is an http.Server's ConnState.
func (cs *connections) changed(conn net.Conn, state http.ConnState) {
	c, ours := conn.(*connection)
	if !ours {
		return
	}
	cs.mu.Lock()
	defer cs.mu.Unlock()
	switch state {
	case http.StateActive:
		c.idleSince = time.Time{}
	case http.StateIdle:
		c.idleSince = time.Now()
	case http.StateClosed, http.StateHijacked:
		delete(cs.open, c)
	}
}

// watcher is a stream of events.
type watcher struct {
	uid     uint32
	trusted bool
}

// watch takes a stream of events in, until done is called. It is false if there
// are as many as may be. A trusted user may have all that others leave.
func (cs *connections) watch(w watcher) (done func(), ok bool) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	ofUser, others := 0, 0
	for o := range cs.watchers {
		if o.uid == w.uid {
			ofUser++
		}
		if !o.trusted {
			others++
		}
	}
	full := len(cs.watchers) >= cs.limits.Watchers
	if full || !w.trusted && (others >= cs.limits.WatchersOthers || ofUser >= cs.limits.WatchersOfUser) {
		cs.counts.RefusedWatchers++
		return nil, false
	}
	cs.watchers[&w] = struct{}{}
	return func() { cs.unwatch(&w) }, true
}

func (cs *connections) unwatch(w *watcher) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	delete(cs.watchers, w)
}

// clients says how many there are, and what was refused since the start.
func (cs *connections) clients() api.Clients {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	c := cs.counts
	c.Connections, c.Watchers = len(cs.open), len(cs.watchers)
	return c
}
