// Package config holds the configuration, which is everything a user has asked
// for, with its look-ups, its edits and the rules that these keep. It does no IO
// and reads no clock: what only the host knows comes in as an argument.
package config

import (
	"slices"

	"github.com/hostnat/hostnat/internal/model"
)

// Config is the desired state: everything a user has asked for. It is a value;
// the methods that change it check first and leave it untouched on error.
//
// Mappings may be many and change often. Neither the list nor what is in it is
// ever changed in place: who changes something puts a new one in its place
// (editTargets). So copies of a Config share them.
type Config struct {
	NATs         []model.NAT
	Networks     []model.Network
	Endpoints    []model.Endpoint
	Mappings     []model.Mapping // ordered by id
	Proxies      []model.Proxy
	Compartments []model.Compartment
	Reservations []model.Reservation
	Pools        []model.Pool       // where subnets are taken from; none: DefaultPools
	Remembered   []model.Remembered // addresses of detached endpoints
	NextID       uint32             // next NAT, network, endpoint or compartment id
	NextMapping  uint32
	NextProxy    uint32 // 0 is 1

	// What the DHCP servers know (SetLeases). No part of the desired state.
	Leases     []model.Lease    // in force
	Discovered []model.Endpoint // clients that are no endpoint of Endpoints, and who is on the bridges
	// Who is on the bridges (SetObserved). A new list comes in the place of another.
	Observed []model.Neighbour
	// The names of guests that somebody else has plugged in, by their MACs, as the host knows
	// them. A new map comes in the place of another.
	Guests map[model.MAC]string
}

// NewConfig returns what a host starts with: the default NAT, which follows
// the host's addresses, and the default compartment.
func NewConfig() Config {
	c := Config{
		NATs: []model.NAT{}, Networks: []model.Network{}, Endpoints: []model.Endpoint{}, Mappings: []model.Mapping{},
		NextID: 1, NextMapping: 1,
	}
	c.NATs = append(c.NATs, model.NewNAT(model.DefaultNAT, c.takeID(), model.ProfileRFC))
	c.Compartments = []model.Compartment{{Name: model.DefaultCompartment, ID: c.takeID()}}
	return c
}

// Clone returns a copy that shares nothing with c that is ever changed.
func (c Config) Clone() Config {
	c.NATs = slices.Clone(c.NATs)
	for i, n := range c.NATs {
		c.NATs[i] = n.Clone()
	}
	c.Networks = slices.Clone(c.Networks)
	for i, n := range c.Networks {
		c.Networks[i] = n.Clone()
	}
	c.Endpoints = slices.Clone(c.Endpoints)
	for i, e := range c.Endpoints {
		c.Endpoints[i].Aliases = slices.Clone(e.Aliases)
	}
	c.Compartments = slices.Clone(c.Compartments)
	c.Reservations, c.Pools, c.Remembered = slices.Clone(c.Reservations), slices.Clone(c.Pools), slices.Clone(c.Remembered)
	c.Leases, c.Discovered = slices.Clone(c.Leases), slices.Clone(c.Discovered)
	c.Proxies = slices.Clone(c.Proxies)
	for i := range c.Proxies {
		c.Proxies[i].Routes = slices.Clone(c.Proxies[i].Routes)
	}
	return c
}

// Effective returns a copy without what cannot be made true at the moment:
// mappings to an endpoint that is not attached, or its part in one that has
// other targets too.
func (c Config) Effective() Config {
	c = c.Clone()
	c.dropTargetsIf(func(t *model.Target) bool { return !t.Resolved() })
	return c
}

// takeID returns the next id. Ids are never used again.
func (c *Config) takeID() uint32 {
	id := c.NextID
	c.NextID++
	return id
}

// compartment returns the id of a compartment, made if it is new.
func (c *Config) compartment(name string) uint32 {
	if id := c.CompartmentID(name); id != 0 {
		return id
	}
	id := c.takeID()
	c.Compartments = append(c.Compartments, model.Compartment{Name: name, ID: id})
	return id
}

// dropCompartment forgets a compartment that no network is in any more.
func (c *Config) dropCompartment(name string) {
	inUse := slices.ContainsFunc(c.Networks, func(n model.Network) bool { return n.Compartment == name })
	if name == model.DefaultCompartment || inUse {
		return
	}
	c.Compartments = slices.DeleteFunc(c.Compartments, func(p model.Compartment) bool { return p.Name == name })
}
