// Package diff says what turns one configuration into another.
package diff

import (
	"slices"

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

// Of compares two configurations. Where these share a list, nothing is compared;
// otherwise it takes some 30 ns for each mapping and endpoint.
func Of(before, after *config.Config) (d Difference) {
	for _, k := range kinds {
		k.setDifference(&d, before, after)
	}
	d.Rest = !sameRest(before, after)
	d.Counters = before.NextID != after.NextID || before.NextMapping != after.NextMapping || before.NextProxy != after.NextProxy
	return d
}

func sameRest(a, b *config.Config) bool {
	return slices.Equal(a.Compartments, b.Compartments) && slices.Equal(a.Pools, b.Pools) && slices.Equal(a.Remembered, b.Remembered) &&
		slices.EqualFunc(a.Reservations, b.Reservations, func(x, y model.Reservation) bool { return x.Equal(&y) })
}

// Empty reports whether the configurations ask for the same.
func (d *Difference) Empty() bool { return !d.Rest && d.noKind() }

func (d *Difference) noKind() bool {
	return !slices.ContainsFunc(kinds, func(k kind) bool { return !k.isEmpty(d) })
}

// OnlyMappings reports whether they ask for the same but for mappings.
func (d *Difference) OnlyMappings() bool {
	others := *d
	others.Mappings = List[model.Mapping]{}
	return others.Empty()
}

// SameButMappings is whether OnlyMappings holds between two configurations; the
// mappings, of which there may be many, are not looked at.
func SameButMappings(before, after *config.Config) bool {
	alike := *after
	alike.Mappings = before.Mappings
	d := Of(before, &alike)
	return d.Empty()
}

// OnlyInside reports whether they ask for the same but for mappings, and networks
// and endpoints that were added or removed. What asks nothing of the kernel, such
// as a reservation, may differ too.
func (d *Difference) OnlyInside() bool {
	others := *d
	others.Mappings, others.Reservations, others.Pools = List[model.Mapping]{}, List[model.Reservation]{}, List[model.Pool]{}
	others.Networks.Added, others.Networks.Removed = nil, nil
	others.Endpoints.Added, others.Endpoints.Removed = nil, nil
	return others.noKind()
}
