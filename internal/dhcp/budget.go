package dhcp

import (
	"time"

	"github.com/hostnat/hostnat/internal/model"
	"github.com/hostnat/hostnat/internal/tokens"
)

// What one port of the bridge may take. One that floods the server with made-up
// clients harms itself: others, and whoever has a lease or a claim, go on.
const (
	leastOffers   = 8 // that wait for a REQUEST
	offerShare    = 8 // or this part of the addresses
	scarceShare   = 4 // once less than this part of the addresses is free,
	portShare     = 8 // who has more than this part gets no more
	declineShare  = 8 // part of the addresses that declines may take out
	countInterval = time.Second
)

// Rates of one port.
var (
	newClients = tokens.Rate{PerSecond: 5000, Burst: 5000} // spares the processor
	messages   = tokens.Rate{PerSecond: 1000, Burst: 2000} // that are looked at at all: a port may have a whole LAN behind it
)

// rates are how many messages each port may send.
type rates struct{ ports ports }

// admits takes a message from the port's budget.
func (r *rates) admits(port int, now time.Time) bool {
	if r.ports == nil || len(r.ports) > manyPorts { // of ports that are gone; those that are there begin anew
		r.ports = make(ports)
	}
	return r.ports.of(port).Take(messages, now)
}

// ports is what each has asked for lately.
type ports map[int]*tokens.Bucket

func (p ports) of(port int) *tokens.Bucket {
	if p[port] == nil {
		p[port] = new(tokens.Bucket)
	}
	return p[port]
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
	return t.ports.of(port).Take(newClients, now)
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
