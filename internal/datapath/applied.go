package datapath

import (
	"maps"
	"slices"

	"github.com/hostnat/hostnat/internal/datapath/kernel"
)

// applied is the configuration that was applied last, so that a change is compared
// with that. Sessions and bindings are the kernel's alone.
type applied struct {
	config    Config // but for endpoints and mappings, which are here by id
	endpoints map[uint32]Endpoint
	mappings  *mappingTable

	// Rows that follow from all mappings; nil: not known.
	reserved map[kernel.PortBitsKey]kernel.PortBits
	ranges   rangeValues

	on    map[uint32]bool // addresses on which there may be bindings; 0: mappings on any
	freed []Mapping       // that are gone: the sessions of their ports may not have ended
}

// newApplied knows of nothing that is in the tables. What changes it shares no map with c.
func newApplied(c Config) *applied {
	a := &applied{config: c, endpoints: make(map[uint32]Endpoint, len(c.Endpoints)), mappings: newMappingTable(c.Mappings), on: map[uint32]bool{0: true}}
	a.config.Networks, a.config.Insides, a.config.Outsides = cloned(c.Networks), cloned(c.Insides), cloned(c.Outsides)
	a.config.HostAddresses, a.config.Broadcasts, a.config.Deprecated = maps.Clone(c.HostAddresses), maps.Clone(c.Broadcasts), maps.Clone(c.Deprecated)
	a.config.Pools, a.config.Leases = slices.Clone(c.Pools), slices.Clone(c.Leases)
	a.config.Endpoints, a.config.Mappings = nil, nil
	for _, e := range c.Endpoints {
		a.endpoints[e.ID] = e
	}
	for _, p := range c.Pools {
		for _, address := range p.Addresses {
			a.on[kernel.AddressOf(address.Address)] = true
		}
	}
	for owned := range a.mappings.owners {
		a.on[owned.Address] = true
	}
	return a
}

// cloned is a copy that can be written to.
func cloned[K comparable, V any](m map[K]V) map[K]V {
	c := make(map[K]V, len(m))
	maps.Copy(c, m)
	return c
}

// Hold calls fn with what the data path was told last; known is false where that is not
// known. It is told nothing else meanwhile. What c has may not be changed, or used
// afterwards.
func (d *Datapath) Hold(fn func(c Config, known bool) error) error {
	d.telling.Lock()
	defer d.telling.Unlock()
	if d.applied == nil {
		return fn(Config{}, false)
	}
	c := d.applied.config
	c.Mappings = d.applied.mappings.all
	for _, id := range slices.Sorted(maps.Keys(d.applied.endpoints)) {
		c.Endpoints = append(c.Endpoints, d.applied.endpoints[id])
	}
	return fn(c, true)
}
