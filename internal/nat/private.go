package nat

import (
	"slices"
	"strings"
)

// EachCompartment, given as a network's compartment, makes the network private:
// each of its endpoints is in a compartment of its own.
const EachCompartment = "each"

// Private reports whether each endpoint of the network is by itself: on a link
// of its own without a switch, with the same address and MAC as the others,
// since they are clones of one machine. A network with a bridge is in a
// compartment that happens to have that name: there were such before there were
// private networks.
func (n Network) Private() bool { return n.Compartment == EachCompartment && n.Bridge == "" }

// IsIsland reports whether the network is what Unfolded makes of one endpoint.
func (n Network) IsIsland() bool { return n.IslandOf != 0 }

// Unfolded returns the configuration as the kernel and the servers beside it
// see it: in the place of each private network there is an island for each of
// its endpoints. That is a network with this one endpoint, the endpoint's link
// for its switch, and a compartment of its own. The endpoint's id is the id of
// both: ids are never used twice.
func (c Config) Unfolded() Config {
	private := c.privateNetworks()
	if len(private) == 0 {
		return c
	}
	c.Networks = slices.DeleteFunc(slices.Clone(c.Networks), Network.Private)
	c.Endpoints = slices.Clone(c.Endpoints)
	c.Compartments = slices.Clone(c.Compartments)
	islands := make(map[string]string) // by endpoint
	for i, e := range c.Endpoints {
		n, is := private[e.Network]
		if !is {
			continue
		}
		island := n.island(e)
		c.Networks = append(c.Networks, island)
		c.Compartments = append(c.Compartments, Compartment{Name: island.Compartment, ID: e.ID})
		c.Endpoints[i].Network = island.Name
		islands[e.Name] = island.Name
	}
	c.editTargets(func(_ *Mapping, _ int, t *Target) {
		if _, is := private[t.Network]; is && islands[t.Endpoint] != "" {
			t.Network = islands[t.Endpoint]
		}
	})
	return c
}

func (c *Config) privateNetworks() map[string]Network {
	var private map[string]Network
	for _, n := range c.Networks {
		if !n.Private() {
			continue
		}
		if private == nil {
			private = make(map[string]Network)
		}
		private[n.Name] = n
	}
	return private
}

// island is the network of one endpoint of a private one. No name that a user
// gives has a slash.
func (n Network) island(e Endpoint) Network {
	n.IslandOf, n.ID = n.ID, e.ID
	n.Name += "/" + e.Name
	n.Compartment, n.Bridge, n.Isolation = n.Name, e.Interface, IsolatedEndpoints
	return n
}

// CutIsland returns the network that a network's name means to a user and, if it
// is the name of an island, the island's endpoint.
func CutIsland(name string) (network, endpoint string) {
	network, endpoint, _ = strings.Cut(name, "/")
	return network, endpoint
}

// Joins reports whether what is in the two networks, which may be the same, can
// be told apart by address alone, and reached by one mapping.
func (n Network) Joins(other Network) bool {
	return n.Compartment == other.Compartment && !n.Private() && !other.Private()
}

// checkPrivate refuses a private network with what it cannot have.
func (n *Network) checkPrivate(spec NetworkSpec) error {
	if !n.Private() {
		return nil
	}
	if spec.Bridge != "" || spec.Adopt {
		return Errorf(Invalid, "network %q has no bridge: with compartment %s every endpoint is on a link of its own", n.Name, EachCompartment).
			WithHint("leave --bridge out, or choose another --compartment")
	}
	return nil
}

// checkReservable refuses to keep addresses of a private network for anybody:
// each of its endpoints may have any.
func (n Network) checkReservable() error {
	if !n.Private() {
		return nil
	}
	return Errorf(Conflict, "network %q keeps no addresses: every endpoint of it is by itself and may have any", n.Name).
		WithHint("give --address when the endpoint is attached")
}

// checkNamed refuses an address as the target in a private network, where it is
// every endpoint's.
func (n Network) checkNamed(what string) error {
	if !n.Private() {
		return nil
	}
	return Errorf(Conflict, "%s is in network %q, where every endpoint may have it", what, n.Name).
		WithHint("name the endpoint in its place")
}
