package dhcp

import (
	"hash/fnv"
	"net/netip"
	"slices"
	"time"

	"github.com/hostnat/hostnat/internal/model"
)

// How long addresses are kept from others.
const (
	offerTime   = 10 * time.Second // from OFFER to REQUEST; clients answer within one
	declineTime = 10 * time.Minute // what somebody else uses is looked at again then
	holdTime    = time.Minute      // for an endpoint that is being attached
)

// Table has the leases of one network. Not safe for concurrent use.
type Table struct {
	leases  map[netip.Addr]*entry
	clients map[model.MAC]netip.Addr
	offers  map[netip.Addr]struct{}  // those of leases that are only offered
	held    map[netip.Addr]time.Time // for an endpoint that is being attached, until when
	ports   ports                    // by index of the bridge's port
	full    time.Time                // no use in looking for a free address before
	counts  counts
}

type entry struct {
	model.Lease
	place
	claimed bool         // the configuration has the address for this client
	probing bool         // an offer that nobody was told of yet
	before  *model.Lease // of an offered one: what the client had there before
}

// place is where on the bridge a client is.
type place struct {
	located bool      // since the daemon's start
	port    int       // of the bridge, its index; 0: not known
	sender  model.MAC // of the frame in which it asked; empty: not known
}

// isAt reports whether a message comes from where the client is for certain.
func (p place) isAt(from Sender) bool { return p.located && p.port == from.Port }

// isElsewhere reports whether the client uses the address at another port, which is
// still there, than a message comes from.
func (e *entry) isElsewhere(from Sender, now time.Time) bool {
	return e.Holds(now) && e.located && e.port != from.Port && from.stillHas(e.port)
}

// stored is what the store may have of the entry.
func (e *entry) stored() []model.Lease {
	switch {
	case e.State != model.LeaseOffered:
		return []model.Lease{e.Lease}
	case e.before != nil:
		return []model.Lease{*e.before}
	}
	return nil
}

// isRenewedBy reports whether a client's next lease is the one that it has, but
// for its end.
func (e *entry) isRenewedBy(next model.Lease) bool {
	next.Expires = e.Expires
	return next == e.Lease
}

// NewTable returns a table with leases that were stored. A client has one: of
// several, those that ended earlier are superseded.
func NewTable(stored []model.Lease) (t *Table, superseded []model.Lease) {
	t = &Table{
		leases: make(map[netip.Addr]*entry), clients: make(map[model.MAC]netip.Addr),
		offers: make(map[netip.Addr]struct{}), held: make(map[netip.Addr]time.Time), ports: make(ports),
	}
	stored = slices.Clone(stored)
	slices.SortStableFunc(stored, func(a, b model.Lease) int { return a.Expires.Compare(b.Expires) })
	for _, lease := range stored {
		superseded = append(superseded, t.put(&entry{Lease: lease})...)
	}
	return t, superseded
}

// put enters a lease in place of what the address and the client had, and
// returns what may be stored of that and is not overwritten.
func (t *Table) put(e *entry) (gone []model.Lease) {
	declined := e.State == model.LeaseDeclined // that is nobody's
	if old, ok := t.of(e.MAC); ok && !declined && old.Address != e.Address {
		gone = append(gone, old.stored()...)
		t.drop(old.Address)
	}
	if old, ok := t.leases[e.Address]; ok && old.MAC != e.MAC && e.State == model.LeaseOffered {
		gone = append(gone, old.stored()...)
	}
	t.drop(e.Address)
	t.leases[e.Address] = e
	if !declined {
		t.clients[e.MAC] = e.Address
	}
	if e.State == model.LeaseOffered {
		t.offers[e.Address] = struct{}{}
	}
	t.counts.add(e)
	return gone
}

// drop forgets what is known of an address.
func (t *Table) drop(a netip.Addr) {
	e, ok := t.leases[a]
	if !ok {
		return
	}
	delete(t.leases, a)
	delete(t.offers, a)
	if t.clients[e.MAC] == a {
		delete(t.clients, e.MAC)
	}
}

// of returns what a client has or had.
func (t *Table) of(mac model.MAC) (*entry, bool) {
	a, ok := t.clients[mac]
	if !ok {
		return nil, false
	}
	return t.leases[a], true
}

// recognise gives a message the name that its client has: a boot ROM says none, and
// who speaks from another port does not change it.
func (t *Table) recognise(r *request, from Sender, now time.Time) {
	if e, known := t.of(r.mac); known && (r.hostname == "" || e.isElsewhere(from, now)) {
		r.hostname = e.Hostname
	}
}

// placeOf is where a client is that asks: where it was, as long as it has a lease
// there and the port exists. So nobody takes its place by asking in its name.
func (t *Table) placeOf(r *request, from Sender, now time.Time) place {
	if e, known := t.of(r.mac); known && e.isElsewhere(from, now) {
		return e.place
	}
	return place{located: true, port: from.Port, sender: from.MAC}
}

// free reports whether nobody but the client has the address now.
func (t *Table) free(a netip.Addr, mac model.MAC, now time.Time) bool {
	if now.Before(t.held[a]) {
		return false
	}
	e, known := t.leases[a]
	if !known || !e.Holds(now) {
		return true
	}
	return e.MAC == mac && e.State != model.LeaseDeclined
}

// choose returns the address for a client that has no claim to one: what it
// had, what it asks for, or a free one at a place that its MAC gives, so that
// it is the same again even if nothing was stored.
func (t *Table) choose(s *Scope, r *request, now time.Time) (netip.Addr, bool) {
	for _, a := range []netip.Addr{t.clients[r.mac], r.wanted} {
		if a.IsValid() && s.may(r, a) && t.free(a, r.mac, now) {
			return a, true
		}
	}
	size := s.size()
	if size == 0 || now.Before(t.full) {
		return netip.Addr{}, false
	}
	start := hashed(r.mac, size)
	var oldest *entry
	for i := range size {
		a := s.at((start + i) % size)
		if !s.forAnybody(a) || !t.free(a, r.mac, now) {
			continue
		}
		e, used := t.leases[a]
		if !used {
			return a, true
		}
		if oldest == nil || e.Expires.Before(oldest.Expires) {
			oldest = e
		}
	}
	if oldest == nil {
		t.full = now.Add(time.Second)
		return netip.Addr{}, false
	}
	return oldest.Address, true // that client has been away longest
}

func hashed(mac model.MAC, size int) int {
	h := fnv.New32a()
	h.Write([]byte(mac))
	return int(h.Sum32() % uint32(size))
}

// hold keeps an address for an endpoint that is being attached. It fails if a
// client with another MAC has the address.
func (t *Table) hold(a netip.Addr, mac model.MAC, now time.Time) bool {
	if e, known := t.leases[a]; known && e.Holds(now) && (mac == "" || e.MAC != mac) {
		return false
	}
	t.held[a] = now.Add(holdTime)
	return true
}

// tidy forgets offers and holds whose time has passed.
func (t *Table) tidy(now time.Time) {
	for a := range t.offers {
		if e := t.leases[a]; !e.Holds(now) {
			t.drop(a)
			if e.before != nil {
				t.put(&entry{Lease: *e.before, place: e.place})
			}
		}
	}
	for a, until := range t.held {
		if !now.Before(until) {
			delete(t.held, a)
		}
	}
	for port, u := range t.ports {
		if len(t.ports) > manyPorts && u.Fill(newClients, now) >= newClients.Burst {
			delete(t.ports, port)
		}
	}
}

// manyPorts is how many ports' budgets are kept though they may be gone.
const manyPorts = 1024
