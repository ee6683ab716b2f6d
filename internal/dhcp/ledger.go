package dhcp

import (
	"hash/fnv"
	"net/netip"
	"slices"
	"time"

	"github.com/hostnat/hostnat/internal/nat"
)

// How long addresses are kept from others.
const (
	offerTime   = 10 * time.Second // from OFFER to REQUEST; clients answer within one
	declineTime = 10 * time.Minute // what somebody else uses is looked at again then
	holdTime    = time.Minute      // for an endpoint that is being attached
)

// Ledger has the leases of one network. Not safe for concurrent use.
type Ledger struct {
	leases  map[netip.Addr]*entry
	clients map[clientKey]netip.Addr
	offers  map[netip.Addr]struct{}  // those of leases that are only offered
	held    map[netip.Addr]time.Time // for an endpoint that is being attached, until when
	ports   map[int]*portUse         // by index of the bridge's port
	full    time.Time                // no use in looking for a free address before
	census  census
}

type entry struct {
	nat.Lease
	port    int        // where the client was heard last; 0: not known
	sender  nat.MAC    // of the frame in which it asked; empty: not known
	claimed bool       // the configuration has the address for this client
	probing bool       // an offer that nobody was told of yet
	before  *nat.Lease // of an offered one: what the client had there before
}

// stored is what the store may have of the entry.
func (e *entry) stored() []nat.Lease {
	switch {
	case e.State != nat.LeaseOffered:
		return []nat.Lease{e.Lease}
	case e.before != nil:
		return []nat.Lease{*e.before}
	}
	return nil
}

// isRenewedBy reports whether a client's next lease is the one that it has, but
// for its end.
func (e *entry) isRenewedBy(next nat.Lease) bool {
	next.Expires = e.Expires
	return next == e.Lease
}

func (e *entry) key() clientKey { return clientKey{e.MAC, e.ClientID} }

// NewLedger returns a ledger with leases that were stored.
func NewLedger(stored []nat.Lease) *Ledger {
	l := &Ledger{
		leases: make(map[netip.Addr]*entry), clients: make(map[clientKey]netip.Addr),
		offers: make(map[netip.Addr]struct{}), held: make(map[netip.Addr]time.Time), ports: make(map[int]*portUse),
	}
	// Should a client have two, the newer one counts.
	stored = slices.Clone(stored)
	slices.SortStableFunc(stored, func(a, b nat.Lease) int { return a.Expires.Compare(b.Expires) })
	for _, lease := range stored {
		l.put(&entry{Lease: lease})
	}
	return l
}

// put enters a lease in place of what the address and the client had, and
// returns what may be stored of that and is not overwritten.
func (l *Ledger) put(e *entry) (gone []nat.Lease) {
	declined := e.State == nat.LeaseDeclined // that is nobody's
	if old, ok := l.of(e.key()); ok && !declined && old.Address != e.Address {
		gone = append(gone, old.stored()...)
		l.drop(old.Address)
	}
	if old, ok := l.leases[e.Address]; ok && old.key() != e.key() && e.State == nat.LeaseOffered {
		gone = append(gone, old.stored()...)
	}
	l.drop(e.Address)
	l.leases[e.Address] = e
	if !declined {
		l.clients[e.key()] = e.Address
	}
	if e.State == nat.LeaseOffered {
		l.offers[e.Address] = struct{}{}
	}
	l.census.add(e)
	return gone
}

// drop forgets what is known of an address.
func (l *Ledger) drop(a netip.Addr) {
	e, ok := l.leases[a]
	if !ok {
		return
	}
	delete(l.leases, a)
	delete(l.offers, a)
	if l.clients[e.key()] == a {
		delete(l.clients, e.key())
	}
}

// of returns what a client has or had.
func (l *Ledger) of(key clientKey) (*entry, bool) {
	a, ok := l.clients[key]
	if !ok {
		return nil, false
	}
	return l.leases[a], true
}

// free reports whether nobody but the client has the address now.
func (l *Ledger) free(a netip.Addr, key clientKey, now time.Time) bool {
	if now.Before(l.held[a]) {
		return false
	}
	e, known := l.leases[a]
	if !known || !e.Holds(now) {
		return true
	}
	return e.key() == key && e.State != nat.LeaseDeclined
}

// choose returns the address for a client that has no claim to one: what it
// had, what it asks for, or a free one at a place that its MAC gives, so that
// it is the same again even if nothing was stored.
func (l *Ledger) choose(s *Scope, r *request, now time.Time) (netip.Addr, bool) {
	for _, a := range []netip.Addr{l.clients[r.key()], r.wanted} {
		if a.IsValid() && s.may(r, a) && l.free(a, r.key(), now) {
			return a, true
		}
	}
	size := s.size()
	if size == 0 || now.Before(l.full) {
		return netip.Addr{}, false
	}
	start := place(r.key(), size)
	var oldest *entry
	for i := range size {
		a := s.at((start + i) % size)
		if !s.forAnybody(a) || !l.free(a, r.key(), now) {
			continue
		}
		e, used := l.leases[a]
		if !used {
			return a, true
		}
		if oldest == nil || e.Expires.Before(oldest.Expires) {
			oldest = e
		}
	}
	if oldest == nil {
		l.full = now.Add(time.Second)
		return netip.Addr{}, false
	}
	return oldest.Address, true // that client has been away longest
}

func place(key clientKey, size int) int {
	h := fnv.New32a()
	h.Write([]byte(key.mac))
	h.Write([]byte(key.id))
	return int(h.Sum32() % uint32(size))
}

// hold keeps an address for an endpoint that is being attached. It fails if a
// client with another MAC has the address.
func (l *Ledger) hold(a netip.Addr, mac nat.MAC, now time.Time) bool {
	if e, known := l.leases[a]; known && e.Holds(now) && (mac == "" || e.MAC != mac) {
		return false
	}
	l.held[a] = now.Add(holdTime)
	return true
}

// tidy forgets offers and holds whose time has passed.
func (l *Ledger) tidy(now time.Time) {
	for a := range l.offers {
		if e := l.leases[a]; !e.Holds(now) {
			l.drop(a)
			if e.before != nil {
				l.put(&entry{Lease: *e.before, port: e.port, sender: e.sender})
			}
		}
	}
	for a, until := range l.held {
		if !now.Before(until) {
			delete(l.held, a)
		}
	}
	for port, u := range l.ports {
		if len(l.ports) > manyPorts && now.Sub(u.at) > time.Minute {
			delete(l.ports, port)
		}
	}
}

// manyPorts is how many ports' budgets are kept though they may be gone.
const manyPorts = 1024
