package config

import (
	"cmp"
	"slices"

	"github.com/hostnat/hostnat/internal/model"
)

// Unfolded returns the configuration as the kernel and the servers beside it
// see it: in the place of each per-endpoint network there is a part for each of its
// endpoints (model.Network.Part), and a compartment for each of these. The endpoint's
// id is the id of both: ids are never used twice.
func (c Config) Unfolded() Config {
	folded := c.perEndpointNetworks()
	if len(folded) == 0 {
		return c
	}
	c.Networks = slices.DeleteFunc(slices.Clone(c.Networks), model.Network.PerEndpoint)
	c.Endpoints = slices.Clone(c.Endpoints)
	c.Compartments = slices.Clone(c.Compartments)
	links := make(map[string]string) // by endpoint
	for i, e := range c.Endpoints {
		n, is := folded[e.Network]
		if !is {
			continue
		}
		link := n.Part(e)
		c.Networks = append(c.Networks, link)
		c.Compartments = append(c.Compartments, model.Compartment{Name: link.Compartment, ID: e.ID})
		c.Endpoints[i].Network = link.Name
		links[e.Name] = link.Name
	}
	slices.SortFunc(c.Networks, func(a, b model.Network) int { return cmp.Compare(a.ID, b.ID) })
	c.editTargets(func(_ *model.Mapping, _ int, t *model.Target) {
		if _, is := folded[t.Network]; is && links[t.Endpoint] != "" {
			t.Network = links[t.Endpoint]
		}
	})
	return c
}

func (c *Config) perEndpointNetworks() map[string]model.Network {
	var folded map[string]model.Network
	for _, n := range c.Networks {
		if !n.PerEndpoint() {
			continue
		}
		if folded == nil {
			folded = make(map[string]model.Network)
		}
		folded[n.Name] = n
	}
	return folded
}

// checkPerEndpoint refuses a per-endpoint network with what it cannot have.
func checkPerEndpoint(n *model.Network, spec NetworkSpec) error {
	if !n.PerEndpoint() {
		return nil
	}
	if spec.Bridge != "" || spec.Adopt {
		return model.Errorf(model.Invalid, "network %q has no bridge: of a network of type %s every endpoint is on a link of its own", n.Name, n.Type).
			WithHint("leave --bridge out, or choose another --type")
	}
	return nil
}

// checkReservable refuses to keep addresses of a per-endpoint network for anybody:
// each of its endpoints may have any.
func checkReservable(n model.Network) error {
	if !n.PerEndpoint() {
		return nil
	}
	return model.Errorf(model.Conflict, "network %q keeps no addresses: every endpoint of it is by itself and may have any", n.Name).
		WithHint("give --address when the endpoint is attached")
}

// checkNamed refuses an address as the target in a per-endpoint network, where it is
// every endpoint's.
func checkNamed(n model.Network, what string) error {
	if !n.PerEndpoint() {
		return nil
	}
	return model.Errorf(model.Conflict, "%s is in network %q, where every endpoint may have it", what, n.Name).
		WithHint("name the endpoint in its place")
}
