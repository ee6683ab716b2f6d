package reconcile

import (
	"github.com/hostnat/hostnat/internal/datapath"
	"github.com/hostnat/hostnat/internal/model"
)

// part is what the data path is told of a change: what there is to be, and what goes.
func (v view) part(x *change) datapath.Part {
	c := datapath.Config{Networks: make(map[uint32]datapath.Network), Insides: make(map[uint32]datapath.Inside)}
	for _, n := range x.networks() {
		v.addNetwork(&c, n)
	}
	for _, e := range x.Endpoints.Added {
		v.addEndpoint(&c, e)
	}
	leases := leasesOf(x.is)
	p := datapath.Part{Networks: make(map[uint32]datapath.Network), Endpoints: c.Endpoints, Insides: c.Insides, Outsides: make(map[uint32]datapath.Outside), Leases: &leases}
	for _, n := range x.Networks.Added {
		p.Networks[n.ID] = c.Networks[n.ID]
	}
	if !x.Networks.Empty() {
		p.HostAddresses, p.Broadcasts, p.Deprecated = v.hostAddresses(), v.broadcasts(), v.deprecated()
	}
	for _, l := range x.free {
		p.Outsides[uint32(l.Index)] = datapath.Outside{NoEthernet: !l.HasEthernet}
	}
	p.Mappings, p.Gone.Mappings = v.mappings(x.Mappings.Put())
	for _, m := range x.Mappings.Removed {
		p.Gone.Mappings = append(p.Gone.Mappings, m.ID)
	}
	for _, n := range x.Networks.Removed {
		p.Gone.Networks = append(p.Gone.Networks, n.ID)
	}
	for _, e := range x.Endpoints.Removed {
		p.Gone.Endpoints = append(p.Gone.Endpoints, e.ID)
	}
	return p
}

// mappings are what the data path is told of some, and those that lead to nothing. It
// needs no look at the host: names and ids are the configuration's.
func (v view) mappings(list []model.Mapping) (put map[uint32]datapath.Mapping, gone []uint32) {
	put = make(map[uint32]datapath.Mapping, len(list))
	for _, m := range list {
		if mapping, leads := v.mapping(m); leads {
			put[m.ID] = mapping
		} else {
			gone = append(gone, m.ID)
		}
	}
	return put, gone
}
