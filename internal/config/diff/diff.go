// Package diff says what turns one configuration into another.
package diff

import (
	"iter"
	"net/netip"
	"slices"
	"strconv"

	"github.com/hostnat/hostnat/internal/config"
	"github.com/hostnat/hostnat/internal/model"
)

// Difference is what turns one configuration into another, kind by kind. What
// the host has shown (leases, who was observed) is no part of it: nobody asked
// for that.
type Difference struct {
	NATs      List[model.NAT]
	Networks  List[model.Network]
	Endpoints List[model.Endpoint]
	Mappings  List[model.Mapping]
	Proxies   List[model.Proxy]

	Reservations List[model.Reservation] // known by network and address
	Pools        List[model.Pool]        // known by their prefixes

	Rest     bool // whether compartments, reservations, pools, or remembered addresses and their order differ
	Counters bool // whether the next ids differ
}

// List are those of one kind. Each list is in the order of the
// configuration that it is from: by id, where the kind has ids.
type List[T any] struct {
	Added   []T
	Changed []Change[T]
	Removed []T
}

// Change is one thing as it was and as it is. Both have the same id.
type Change[T any] struct{ Before, After T }

// Empty reports whether nothing of the kind differs.
func (c List[T]) Empty() bool { return len(c.Added)+len(c.Changed)+len(c.Removed) == 0 }

// OnlyAddedOrRemoved reports whether nothing is another than it was.
func (c List[T]) OnlyAddedOrRemoved() bool { return len(c.Changed) == 0 }

// Put is what is to be there afterwards and was not: what was added, and what
// has changed, as it is now.
func (c List[T]) Put() []T {
	return both(c.Added, c.Changed, func(v Change[T]) T { return v.After })
}

// Gone is what was there and is to be no more: what was removed, and what has
// changed, as it was.
func (c List[T]) Gone() []T {
	return both(c.Removed, c.Changed, func(v Change[T]) T { return v.Before })
}

func both[T any](list []T, changed []Change[T], side func(Change[T]) T) []T {
	list = slices.Clip(list)
	for _, v := range changed {
		list = append(list, side(v))
	}
	return list
}

// Of compares two configurations. Where these share a list, as a copy shares
// its mappings with the original until one is edited, nothing is compared;
// otherwise it takes some 30 ns for each mapping and endpoint.
func Of(before, after *config.Config) Difference {
	return Difference{
		NATs:      byID(before.NATs, after.NATs, func(n *model.NAT) uint32 { return n.ID }, (*model.NAT).Equal),
		Networks:  byID(before.Networks, after.Networks, func(n *model.Network) uint32 { return n.ID }, (*model.Network).Equal),
		Endpoints: byID(before.Endpoints, after.Endpoints, func(e *model.Endpoint) uint32 { return e.ID }, (*model.Endpoint).Equal),
		Mappings:  byID(before.Mappings, after.Mappings, func(m *model.Mapping) uint32 { return m.ID }, (*model.Mapping).Equal),
		Proxies:   byID(before.Proxies, after.Proxies, func(p *model.Proxy) uint32 { return p.ID }, (*model.Proxy).Equal),
		Reservations: byKey(before.Reservations, after.Reservations, (*model.Reservation).Equal, func(r *model.Reservation) addressKey {
			return addressKey{r.Network, r.Address}
		}),
		Pools:    byKey(before.Pools, after.Pools, func(a, b *model.Pool) bool { return *a == *b }, func(p *model.Pool) netip.Prefix { return p.Prefix }),
		Rest:     !sameRest(before, after),
		Counters: before.NextID != after.NextID || before.NextMapping != after.NextMapping || before.NextProxy != after.NextProxy,
	}
}

// addressKey is an address of a network.
type addressKey struct {
	network string
	address netip.Addr
}

func sameRest(a, b *config.Config) bool {
	return slices.Equal(a.Compartments, b.Compartments) && slices.Equal(a.Pools, b.Pools) && slices.Equal(a.Remembered, b.Remembered) &&
		slices.EqualFunc(a.Reservations, b.Reservations, func(x, y model.Reservation) bool { return x.Equal(&y) })
}

// byID compares two lists that are ordered by id.
func byID[T any](before, after []T, id func(*T) uint32, equal func(a, b *T) bool) (c List[T]) {
	if shared(before, after) {
		return c
	}
	for len(before) > 0 || len(after) > 0 {
		switch {
		case len(after) == 0 || len(before) > 0 && id(&before[0]) < id(&after[0]):
			c.Removed = append(c.Removed, before[0])
			before = before[1:]
		case len(before) == 0 || id(&after[0]) < id(&before[0]):
			c.Added = append(c.Added, after[0])
			after = after[1:]
		default:
			if !equal(&before[0], &after[0]) {
				c.Changed = append(c.Changed, Change[T]{before[0], after[0]})
			}
			before, after = before[1:], after[1:]
		}
	}
	return c
}

// byKey compares two lists that are in no order.
func byKey[T any, K comparable](before, after []T, equal func(a, b *T) bool, key func(*T) K) (c List[T]) {
	old := make(map[K]*T, len(before))
	for i := range before {
		old[key(&before[i])] = &before[i]
	}
	for i := range after {
		k := key(&after[i])
		switch was := old[k]; {
		case was == nil:
			c.Added = append(c.Added, after[i])
		case !equal(was, &after[i]):
			c.Changed = append(c.Changed, Change[T]{*was, after[i]})
		}
		delete(old, k)
	}
	for i := range before {
		if old[key(&before[i])] != nil {
			c.Removed = append(c.Removed, before[i])
		}
	}
	return c
}

// shared reports whether two lists are one piece of memory.
func shared[T any](a, b []T) bool { return len(a) == len(b) && (len(a) == 0 || &a[0] == &b[0]) }

// Empty reports whether the configurations ask for the same.
func (d *Difference) Empty() bool { return d.OnlyMappings() && d.Mappings.Empty() }

// OnlyMappings reports whether they ask for the same but for mappings.
func (d *Difference) OnlyMappings() bool {
	return d.NATs.Empty() && d.Networks.Empty() && d.Endpoints.Empty() && d.Proxies.Empty() && !d.Rest
}

// OnlyInside reports whether they ask for the same but for mappings, and networks
// and endpoints that were added or removed. What asks nothing of the kernel, such
// as a reservation, may differ too.
func (d *Difference) OnlyInside() bool {
	return d.NATs.Empty() && d.Proxies.Empty() && d.Networks.OnlyAddedOrRemoved() && d.Endpoints.OnlyAddedOrRemoved()
}

// Edit says what was done to one thing: for events, and for people who ask what
// a change would do. One of Before and After is nil where it was added or removed;
// both are pointers to values of model.
type Edit struct {
	Kind          string // "nat", "network", "endpoint", "mapping", "proxy", "reservation" or "pool"
	Name          string // the id of a mapping or a proxy
	Before, After any
}

// Verb is "added", "changed" or "removed".
func (e Edit) Verb() string {
	switch {
	case e.Before == nil:
		return "added"
	case e.After == nil:
		return "removed"
	}
	return "changed"
}

// All returns what differs, kind by kind: what was removed first, so that whoever
// goes by it never sees two things at one place.
func (d *Difference) All() iter.Seq[Edit] {
	number := func(id uint32) string { return strconv.FormatUint(uint64(id), 10) }
	return func(yield func(Edit) bool) {
		_ = each(yield, "proxy", d.Proxies, func(p *model.Proxy) string { return number(p.ID) }) &&
			each(yield, "mapping", d.Mappings, func(m *model.Mapping) string { return number(m.ID) }) &&
			each(yield, "endpoint", d.Endpoints, func(e *model.Endpoint) string { return e.Name }) &&
			each(yield, "reservation", d.Reservations, func(r *model.Reservation) string { return r.Network + "/" + r.Address.String() }) &&
			each(yield, "network", d.Networks, func(n *model.Network) string { return n.Name }) &&
			each(yield, "nat", d.NATs, func(n *model.NAT) string { return n.Name }) &&
			each(yield, "pool", d.Pools, func(p *model.Pool) string { return p.Prefix.String() })
	}
}

func each[T any](yield func(Edit) bool, kind string, c List[T], name func(*T) string) bool {
	for i := range c.Removed {
		if !yield(Edit{Kind: kind, Name: name(&c.Removed[i]), Before: &c.Removed[i]}) {
			return false
		}
	}
	for i := range c.Changed {
		if !yield(Edit{Kind: kind, Name: name(&c.Changed[i].After), Before: &c.Changed[i].Before, After: &c.Changed[i].After}) {
			return false
		}
	}
	for i := range c.Added {
		if !yield(Edit{Kind: kind, Name: name(&c.Added[i]), After: &c.Added[i]}) {
			return false
		}
	}
	return true
}
