package datapath

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"
)

// Part is what a change is about, as it shall be: what is new, what comes into the
// place of what has its id or interface, and what goes. All else stays as it was
// applied.
type Part struct {
	Networks  map[uint32]Network // by id
	Endpoints []Endpoint
	Insides   map[uint32]Inside  // by interface, which is outside no more
	Outsides  map[uint32]Outside // by interface
	Mappings  map[uint32]Mapping // by id

	// All of the host's addresses, as in Config; nil: they stay.
	HostAddresses, Broadcasts map[netip.Addr]uint32
	Deprecated                map[netip.Addr]bool

	Leases *[]Lease // all of them; nil: they stay

	Gone Gone
}

// Gone are the ids of what goes. Networks and endpoints take their interfaces along;
// Interfaces are others that are neither inside nor outside any more.
type Gone struct{ Networks, Endpoints, Mappings, Interfaces []uint32 }

// scope is which part of the configuration the rows that a change may touch follow
// from.
type scope struct {
	networks, endpoints, interfaces map[uint32]bool
	// all networks, host addresses, and endpoints that have further addresses: several
	// may have one prefix or address
	shared bool
	leases bool
}

// take makes p part of what is applied, and returns what is to be written.
func (a *applied) take(p Part) work {
	s := a.scopeOf(p)
	was := a.part(s)
	a.put(p)
	w := work{was: &was, is: a.part(s), had: len(a.mappings.all) > 0}
	w.mappings = newMappingChange(a, p.Mappings, p.Gone.Mappings)
	was.Mappings, w.is.Mappings = w.mappings.was, w.mappings.is
	return w
}

func (a *applied) scopeOf(p Part) scope {
	s := scope{networks: make(map[uint32]bool), endpoints: make(map[uint32]bool), interfaces: make(map[uint32]bool)}
	s.shared = p.HostAddresses != nil || len(p.Networks)+len(p.Gone.Networks) > 0
	s.leases = p.Leases != nil && !slices.Equal(*p.Leases, a.config.Leases)
	for _, ifindex := range slices.Concat(slices.Collect(maps.Keys(p.Insides)), slices.Collect(maps.Keys(p.Outsides)), p.Gone.Interfaces) {
		s.interfaces[ifindex] = true
	}
	endpoint := func(e Endpoint) {
		s.endpoints[e.ID], s.interfaces[e.Interface], s.networks[e.Network] = true, true, true
		s.shared = s.shared || e.hasAllowances()
	}
	for _, e := range p.Endpoints {
		endpoint(e)
	}
	for _, id := range slices.Concat(idsOf(p.Endpoints), p.Gone.Endpoints) {
		if e, known := a.endpoints[id]; known {
			endpoint(e)
		}
	}
	if s.shared { // what interfaces are told follows from their networks
		for ifindex, i := range a.config.Insides {
			_, put := p.Networks[i.Network]
			s.interfaces[ifindex] = s.interfaces[ifindex] || put || slices.Contains(p.Gone.Networks, i.Network)
		}
	}
	for ifindex := range s.interfaces {
		if i, known := a.config.Insides[ifindex]; known {
			s.networks[i.Network] = true
		}
		if i, put := p.Insides[ifindex]; put {
			s.networks[i.Network] = true
		}
	}
	return s
}

// part is what of the configuration a scope selects.
func (a *applied) part(s scope) Config {
	c := Config{LocalPorts: a.config.LocalPorts, Insides: pick(a.config.Insides, s.interfaces), Outsides: pick(a.config.Outsides, s.interfaces)}
	if s.shared {
		c.Networks = maps.Clone(a.config.Networks)
		c.HostAddresses, c.Broadcasts, c.Deprecated = a.config.HostAddresses, a.config.Broadcasts, a.config.Deprecated
	} else {
		c.Networks = pick(a.config.Networks, s.networks)
	}
	for _, e := range a.endpoints {
		if s.endpoints[e.ID] || s.shared && e.hasAllowances() {
			c.Endpoints = append(c.Endpoints, e)
		}
	}
	slices.SortFunc(c.Endpoints, func(a, b Endpoint) int { return cmp.Compare(a.ID, b.ID) })
	if s.leases {
		c.Leases = a.config.Leases
	}
	return c
}

// pick is what of all has one of the keys.
func pick[K comparable, V any](all map[K]V, keys map[K]bool) map[K]V {
	some := make(map[K]V, len(keys))
	for k := range keys {
		if v, is := all[k]; is {
			some[k] = v
		}
	}
	return some
}

func idsOf(endpoints []Endpoint) (ids []uint32) {
	for _, e := range endpoints {
		ids = append(ids, e.ID)
	}
	return ids
}

// put makes p part of what is applied, but for mappings.
func (a *applied) put(p Part) {
	c := &a.config
	for _, id := range slices.Concat(idsOf(p.Endpoints), p.Gone.Endpoints) {
		if e, known := a.endpoints[id]; known {
			delete(c.Insides, e.Interface)
			delete(a.endpoints, id)
		}
	}
	for _, id := range p.Gone.Networks {
		delete(c.Networks, id)
		maps.DeleteFunc(c.Insides, func(_ uint32, i Inside) bool { return i.Network == id })
	}
	for _, ifindex := range p.Gone.Interfaces {
		delete(c.Insides, ifindex)
		delete(c.Outsides, ifindex)
	}
	maps.Copy(c.Networks, p.Networks)
	for _, e := range p.Endpoints {
		a.endpoints[e.ID] = e
	}
	maps.Copy(c.Insides, p.Insides)
	for ifindex := range p.Insides {
		delete(c.Outsides, ifindex)
	}
	maps.Copy(c.Outsides, p.Outsides)
	if p.HostAddresses != nil {
		c.HostAddresses, c.Broadcasts, c.Deprecated = p.HostAddresses, p.Broadcasts, p.Deprecated
	}
	if p.Leases != nil {
		c.Leases = *p.Leases
	}
}
