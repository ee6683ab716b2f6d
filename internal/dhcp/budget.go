package dhcp

import (
	"time"

	"github.com/hostnat/hostnat/internal/nat"
)

// What one port of the bridge may take. One that floods the server with made-up
// clients harms itself: others, and whoever has a lease or a claim, go on.
const (
	newClients     = 5000 // a second, and at once: spares the processor
	leastOffers    = 8    // that wait for a REQUEST
	offerShare     = 8    // or this part of the addresses
	scarceShare    = 4    // once less than this part of the addresses is free,
	portShare      = 8    // who has more than this part gets no more
	declineShare   = 8    // part of the addresses that declines may take out
	censusInterval = time.Second
)

// portUse is what a port has asked for lately.
type portUse struct {
	tokens float64
	at     time.Time
}

// census counts who has what. It is taken at most once a second, and only while
// addresses are scarce.
type census struct {
	at       time.Time
	held     int
	declined int
	byPort   map[int]int
}

// add counts a lease that was entered since; one that took another's place is
// counted twice, until the next census.
func (c *census) add(e *entry) {
	if c.byPort != nil && !e.claimed {
		c.held++
		c.byPort[e.port]++
	}
}

// admits reports whether a port may get an address for a client that has no
// lease and no claim.
func (l *Ledger) admits(s *Scope, port int, now time.Time) bool {
	return l.spend(port, now) && l.mayOffer(s, port) && l.leavesSome(s, port, now)
}

// spend takes one new client from the port's budget.
func (l *Ledger) spend(port int, now time.Time) bool {
	u := l.ports[port]
	if u == nil {
		u = &portUse{tokens: newClients, at: now}
		l.ports[port] = u
	}
	u.tokens = min(newClients, u.tokens+newClients*now.Sub(u.at).Seconds())
	u.at = now
	if u.tokens < 1 {
		return false
	}
	u.tokens--
	return true
}

func (l *Ledger) mayOffer(s *Scope, port int) bool {
	waiting := 0
	for a := range l.offers {
		if l.leases[a].port == port {
			waiting++
		}
	}
	return waiting < max(leastOffers, s.size()/offerShare)
}

// leavesSome keeps a port that has much from taking the last addresses.
func (l *Ledger) leavesSome(s *Scope, port int, now time.Time) bool {
	size := s.size()
	if len(l.leases) < size-size/scarceShare {
		return true // even if nobody ever came back
	}
	c := l.count(now)
	return size-c.held > size/scarceShare || c.byPort[port] <= size/portShare
}

// mayDecline reports whether another address may be taken out.
func (l *Ledger) mayDecline(s *Scope, now time.Time) bool {
	return l.count(now).declined < max(1, s.size()/declineShare)
}

func (l *Ledger) count(now time.Time) census {
	if l.census.byPort != nil && now.Sub(l.census.at) < censusInterval {
		return l.census
	}
	c := census{at: now, byPort: make(map[int]int)}
	for _, e := range l.leases {
		if !e.Holds(now) || e.claimed {
			continue
		}
		c.held++
		c.byPort[e.port]++
		if e.State == nat.LeaseDeclined {
			c.declined++
		}
	}
	l.census = c
	return c
}
