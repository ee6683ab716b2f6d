package reconcile

import (
	"slices"

	"github.com/hostnat/hostnat/internal/datapath"
	"github.com/hostnat/hostnat/internal/host"
	"github.com/hostnat/hostnat/internal/model"
)

// parts are what the data path was told and is to be told of what has changed. If
// networks have, that is all networks and addresses; see ChangeInside.
func (x *insideChange) parts(told, links []host.Link) (was, is datapath.Config) {
	before := view{config: x.was, host: x.host}.withLinks(told)
	after := view{config: x.is, host: x.host}.withLinks(links)
	defer func() { was.Outsides, is.Outsides = outsideOf(x.plugged), outsideOf(x.free) }()
	if x.hasNetworks() {
		return before.part(x.was.Networks, x.Endpoints.Removed, true), after.part(x.is.Networks, x.Endpoints.Added, true)
	}
	var networks []model.Network
	for _, n := range x.is.Networks {
		of := func(e model.Endpoint) bool { return e.Network == n.Name }
		if slices.ContainsFunc(x.Endpoints.Added, of) || slices.ContainsFunc(x.Endpoints.Removed, of) {
			networks = append(networks, n)
		}
	}
	return before.part(networks, x.Endpoints.Removed, false), after.part(networks, x.Endpoints.Added, false)
}

func outsideOf(links []host.Link) map[uint32]datapath.Outside {
	outsides := make(map[uint32]datapath.Outside, len(links))
	for _, l := range links {
		outsides[uint32(l.Index)] = datapath.Outside{NoEthernet: !l.HasEthernet}
	}
	return outsides
}

// part is what the data path must be told of some networks and endpoints.
func (v view) part(networks []model.Network, endpoints []model.Endpoint, addresses bool) datapath.Config {
	c := datapath.Config{Networks: make(map[uint32]datapath.Network), Insides: make(map[uint32]datapath.Inside)}
	for _, n := range networks {
		v.addNetwork(&c, n)
	}
	for _, e := range endpoints {
		v.addEndpoint(&c, e)
	}
	if addresses {
		c.HostAddresses, c.Deprecated = v.hostAddresses(), v.deprecated()
		c.Broadcasts = v.broadcasts()
	}
	return c
}
