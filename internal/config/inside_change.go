package config

import (
	"reflect"

	"github.com/hostnat/hostnat/internal/model"
)

// InsideChange is what two configurations differ in, if that is networks and
// endpoints that came or went.
type InsideChange struct {
	Networks, GoneNetworks   []model.Network
	Endpoints, GoneEndpoints []model.Endpoint
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
	c.Networks, c.GoneNetworks, networks = cameAndWent(before.Networks, after.Networks, func(n *model.Network) uint32 { return n.ID }, (*model.Network).Equal)
	c.Endpoints, c.GoneEndpoints, endpoints = cameAndWent(before.Endpoints, after.Endpoints, func(e *model.Endpoint) uint32 { return e.ID }, (*model.Endpoint).Equal)
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
