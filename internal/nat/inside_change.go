package nat

import (
	"reflect"
	"slices"
)

// InsideChange is what two configurations differ in, if that is networks and
// endpoints that came or went.
type InsideChange struct {
	Networks, GoneNetworks   []Network
	Endpoints, GoneEndpoints []Endpoint
}

// ChangedInside compares what two configurations ask of the kernel. It is false
// if they differ in more than networks and endpoints that came or went; mappings
// are left aside (ChangedMappings). Reservations, pools and the like are not the
// kernel's business.
func ChangedInside(before, after Config) (c InsideChange, only bool) {
	if !reflect.DeepEqual(before.NATs, after.NATs) || !reflect.DeepEqual(before.Proxies, after.Proxies) {
		return InsideChange{}, false
	}
	var networks, endpoints bool
	c.Networks, c.GoneNetworks, networks = cameAndWent(before.Networks, after.Networks, func(n *Network) uint32 { return n.ID }, (*Network).Equal)
	c.Endpoints, c.GoneEndpoints, endpoints = cameAndWent(before.Endpoints, after.Endpoints, func(e *Endpoint) uint32 { return e.ID }, (*Endpoint).Equal)
	return c, networks && endpoints
}

// cameAndWent is false if elements of both lists differ.
func cameAndWent[T any](before, after []T, id func(*T) uint32, equal func(a, b *T) bool) (came, went []T, only bool) {
	was := make(map[uint32]int, len(before))
	for i := range before {
		was[id(&before[i])] = i
	}
	for i := range after {
		v := &after[i]
		at, there := was[id(v)]
		switch {
		case !there:
			came = append(came, *v)
		case !equal(&before[at], v):
			return nil, nil, false
		}
		delete(was, id(v))
	}
	for i := range before {
		if _, gone := was[id(&before[i])]; gone {
			went = append(went, before[i])
		}
	}
	return came, went, true
}

// Equal reports whether the networks are the same in everything.
func (n *Network) Equal(o *Network) bool {
	return n.Name == o.Name && n.ID == o.ID && n.NAT == o.NAT && n.Compartment == o.Compartment && n.Subnet == o.Subnet &&
		n.Gateway == o.Gateway && n.Bridge == o.Bridge && n.Adopted == o.Adopted && n.Overlap == o.Overlap &&
		n.Isolation == o.Isolation && n.DNS == o.DNS && n.Domain == o.Domain && n.DHCP == o.DHCP && n.LeaseTime == o.LeaseTime &&
		n.MTU == o.MTU && n.IslandOf == o.IslandOf && slices.Equal(n.NTP, o.NTP) && slices.Equal(n.Routes, o.Routes) &&
		slices.Equal(n.Ranges, o.Ranges) && slices.Equal(n.Exclude, o.Exclude)
}

// Equal reports whether the endpoints are the same in everything.
func (e *Endpoint) Equal(o *Endpoint) bool {
	return e.Name == o.Name && e.ID == o.ID && e.Network == o.Network && e.Address == o.Address && e.MAC == o.MAC &&
		e.Kind == o.Kind && e.Target == o.Target && e.Interface == o.Interface && e.IfName == o.IfName && slices.Equal(e.Aliases, o.Aliases)
}
