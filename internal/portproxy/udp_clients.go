package portproxy

import (
	"container/list"
	"net/netip"
	"time"
)

// What clients a UDP listener has. A datagram's source address may be made up, so that
// who was never answered is nobody for certain: such sessions are few, and give way.
const (
	maxSessions   = 4096 // in all
	maxUnanswered = 1024 // of those
	maxOfClient   = 256  // of one address; IPv6: one network
)

// trust is how far it is known that a client is there.
type trust uint8

const (
	unanswered trust = iota // it has asked
	answered                // and was answered
	conversing              // and has gone on: it has seen the answer
)

// lasts is how long a session is kept that is silent.
func (t trust) lasts() time.Duration {
	if t == unanswered {
		return unansweredTime
	}
	return sessionTime
}

// clients are the sessions of a UDP listener.
type clients struct {
	sessions map[client]*session
	of       map[netip.Prefix]int  // how many each has
	lines    [conversing]list.List // of those that may give way, by trust; who was heard last is at the end
}

func newClients() clients {
	return clients{sessions: make(map[client]*session), of: make(map[netip.Prefix]int)}
}

func (c *clients) add(s *session) {
	c.sessions[s.client] = s
	c.of[clientOf(s.client.from.Addr())]++
	s.line = c.lines[unanswered].PushBack(s)
}

func (c *clients) remove(s *session) {
	delete(c.sessions, s.client)
	key := clientOf(s.client.from.Addr())
	if c.of[key]--; c.of[key] == 0 {
		delete(c.of, key)
	}
	c.leaveLine(s)
}

func (c *clients) leaveLine(s *session) {
	if s.line != nil {
		c.lines[s.trust].Remove(s.line)
		s.line = nil
	}
}

// spoke notes a client's datagram.
func (c *clients) spoke(s *session) {
	switch s.trust {
	case unanswered:
		c.lines[unanswered].MoveToBack(s.line)
	case answered:
		c.leaveLine(s)
		s.trust = conversing
	}
}

// answered notes a server's datagram.
func (c *clients) answered(s *session) {
	if s.trust == unanswered {
		c.leaveLine(s)
		s.trust = answered
		s.line = c.lines[answered].PushBack(s)
	}
}

// inTheWay reports whether another session of a client has no place, and which one may
// end for it; nil: none.
func (c *clients) inTheWay(key netip.Prefix) (s *session, full bool) {
	switch {
	case c.of[key] >= maxOfClient:
		return c.leastTrustedOf(key), true
	case len(c.sessions) >= maxSessions:
		return c.leastTrusted(), true
	case c.lines[unanswered].Len() >= maxUnanswered:
		return c.first(unanswered), true
	}
	return nil, false
}

// leastTrusted is the session that gives way: the one that has waited longest for an
// answer, or else of those that were answered once the last: before a flood of made-up
// clients there were real ones.
func (c *clients) leastTrusted() *session {
	if s := c.first(unanswered); s != nil {
		return s
	}
	if e := c.lines[answered].Back(); e != nil {
		return e.Value.(*session)
	}
	return nil
}

func (c *clients) first(t trust) *session {
	if e := c.lines[t].Front(); e != nil {
		return e.Value.(*session)
	}
	return nil
}

// leastTrustedOf is leastTrusted among one client's sessions: somebody else may have
// used its address.
func (c *clients) leastTrustedOf(key netip.Prefix) *session {
	is := func(e *list.Element) bool { return clientOf(e.Value.(*session).client.from.Addr()) == key }
	for e := c.lines[unanswered].Front(); e != nil; e = e.Next() {
		if is(e) {
			return e.Value.(*session)
		}
	}
	for e := c.lines[answered].Back(); e != nil; e = e.Prev() {
		if is(e) {
			return e.Value.(*session)
		}
	}
	return nil
}
