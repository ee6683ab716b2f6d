package dhcp

import (
	"time"

	"github.com/hostnat/hostnat/internal/model"
)

// What one port of the bridge may take. One that floods the server with made-up
// clients harms itself: others, and whoever has a lease or a claim, go on.
const (
	newClients    = 5000 // a second, and at once: spares the processor
	leastOffers   = 8    // that wait for a REQUEST
	offerShare    = 8    // or this part of the addresses
	scarceShare   = 4    // once less than this part of the addresses is free,
	portShare     = 8    // who has more than this part gets no more
	declineShare  = 8    // part of the addresses that declines may take out
	countInterval = time.Second

	messageRate  = 1000 // messages a second that are looked at at all,
	messageBurst = 2000 // and at once: a port may have a whole LAN behind it
)

// rates are how many messages each port may send.
type rates struct {
	ports map[int]*portUse
}

// admits takes a message from the port's budget.
func (r *rates) admits(port int, now time.Time) bool {
	if len(r.ports) > manyPorts { // of ports that are gone; those that are there begin anew
		clear(r.ports)
	}
	u := r.ports[port]
	if u == nil {
		if r.ports == nil {
			r.ports = make(map[int]*portUse)
		}
		u = &portUse{tokens: messageBurst, at: now}
		r.ports[port] = u
	}
	return u.take(messageRate, messageBurst, now)
}

// portUse is what a port has asked for lately.
type portUse struct {
	tokens float64
	at     time.Time
}

// take takes one of so many a second, of which at most burst are saved up.
func (u *portUse) take(rate, burst float64, now time.Time) bool {
	u.tokens = min(burst, u.tokens+rate*now.Sub(u.at).Seconds())
	u.at = now
	if u.tokens < 1 {
		return false
	}
	u.tokens--
	return true
}

// counts says how many addresses each port has. They are counted at most once a second, and only while
// addresses are scarce.
type counts struct {
	at       time.Time
	held     int
	declined int
	byPort   map[int]int
}

// add counts a lease that was entered since; one that took another's place is
// counted twice, until they are counted again.
func (c *counts) add(e *entry) {
	if c.byPort != nil && !e.claimed {
		c.held++
		c.byPort[e.port]++
	}
}

// admits reports whether a port may get an address for a client that has no
// lease and no claim.
func (t *Table) admits(s *Scope, port int, now time.Time) bool {
	return t.spend(port, now) && t.mayOffer(s, port) && t.leavesSome(s, port, now)
}

// spend takes one new client from the port's budget.
func (t *Table) spend(port int, now time.Time) bool {
	u := t.ports[port]
	if u == nil {
		u = &portUse{tokens: newClients, at: now}
		t.ports[port] = u
	}
	return u.take(newClients, newClients, now)
}

func (t *Table) mayOffer(s *Scope, port int) bool {
	waiting := 0
	for a := range t.offers {
		if t.leases[a].port == port {
			waiting++
		}
	}
	return waiting < max(leastOffers, s.size()/offerShare)
}

// leavesSome keeps a port that has much from taking the last addresses.
func (t *Table) leavesSome(s *Scope, port int, now time.Time) bool {
	size := s.size()
	if len(t.leases) < size-size/scarceShare {
		return true // even if nobody ever came back
	}
	c := t.count(now)
	return size-c.held > size/scarceShare || c.byPort[port] <= size/portShare
}

// mayDecline reports whether another address may be taken out.
func (t *Table) mayDecline(s *Scope, now time.Time) bool {
	return t.count(now).declined < max(1, s.size()/declineShare)
}

func (t *Table) count(now time.Time) counts {
	if t.counts.byPort != nil && now.Sub(t.counts.at) < countInterval {
		return t.counts
	}
	c := counts{at: now, byPort: make(map[int]int)}
	for _, e := range t.leases {
		if !e.Holds(now) || e.claimed {
			continue
		}
		c.held++
		c.byPort[e.port]++
		if e.State == model.LeaseDeclined {
			c.declined++
		}
	}
	t.counts = c
	return c
}
