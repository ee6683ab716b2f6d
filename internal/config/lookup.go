package config

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/hostnat/hostnat/internal/model"
)

// NAT returns the NAT of that name, or a NotFound Error.
func (c *Config) NAT(name string) (model.NAT, error) {
	for _, n := range c.NATs {
		if n.Name == name {
			return n, nil
		}
	}
	return model.NAT{}, notFound("NAT", name, "hostnat nat list")
}

// Network returns the network of that name, or a NotFound Error.
func (c *Config) Network(name string) (model.Network, error) {
	for _, n := range c.Networks {
		if n.Name == name {
			return n, nil
		}
	}
	return model.Network{}, notFound("network", name, "hostnat network list")
}

// Endpoint returns the endpoint of that name: an attached one, or else the
// discovered one. If two networks have a discovered one, the Error is a Conflict; if
// there is none, NotFound.
func (c *Config) Endpoint(name string) (model.Endpoint, error) { return c.EndpointIn(name, "") }

// EndpointIn is Endpoint for one network, for all networks if it is "".
func (c *Config) EndpointIn(name, network string) (model.Endpoint, error) {
	attached, isAttached := c.Attached(name)
	if isAttached && (network == "" || attached.Network == network) {
		return attached, nil
	}
	var found []model.Endpoint
	for _, e := range c.Discovered {
		if e.Name == name && (network == "" || e.Network == network) {
			found = append(found, e)
		}
	}
	switch {
	case len(found) == 1:
		return found[0], nil
	case len(found) > 1:
		return model.Endpoint{}, model.Errorf(model.Conflict, "networks %q and %q have an endpoint %q each", found[0].Network, found[1].Network, name).
			WithHint("say which network, or use its address")
	case isAttached:
		return model.Endpoint{}, model.Errorf(model.Conflict, "endpoint %q is in network %q, not %q", name, attached.Network, network).WithHint("leave --network out")
	case network != "":
		if elsewhere, err := c.EndpointIn(name, ""); err == nil {
			return model.Endpoint{}, model.Errorf(model.Conflict, "endpoint %q is in network %q, not %q", name, elsewhere.Network, network).WithHint("leave --network out")
		}
	}
	return model.Endpoint{}, notFound("endpoint", name, "hostnat endpoint list")
}

// Called returns the endpoint that a filter means by a name: its own, or else an alias.
func (c *Config) Called(name string) (model.Endpoint, error) {
	e, err := c.Endpoint(name)
	if model.CodeOf(err) != model.NotFound {
		return e, err
	}
	var found []model.Endpoint
	for _, e := range c.Endpoints {
		if slices.Contains(e.Aliases, strings.ToLower(name)) {
			found = append(found, e)
		}
	}
	switch len(found) {
	case 0:
		return e, err
	case 1:
		return found[0], nil
	}
	return e, model.Errorf(model.Invalid, "endpoints %q and %q have the alias %q each", found[0].Name, found[1].Name, model.Clip(name)).WithHint("use the name of one")
}

// Attached returns the attached endpoint of that name.
func (c *Config) Attached(name string) (model.Endpoint, bool) {
	for _, e := range c.Endpoints {
		if e.Name == name {
			return e, true
		}
	}
	return model.Endpoint{}, false
}

// Mapping returns the mapping of that id, or a NotFound Error.
func (c *Config) Mapping(id uint32) (model.Mapping, error) {
	i, err := c.mappingIndex(id)
	if err != nil {
		return model.Mapping{}, err
	}
	return c.Mappings[i], nil
}

func (c *Config) mappingIndex(id uint32) (int, error) {
	i, found := slices.BinarySearchFunc(c.Mappings, id, func(m model.Mapping, id uint32) int { return cmp.Compare(m.ID, id) })
	if !found {
		return 0, model.Errorf(model.NotFound, "mapping %d does not exist", id).WithHint("'hostnat mapping list' shows those that do")
	}
	return i, nil
}

// CompartmentID returns a compartment's id, or 0 if there is none of that name.
func (c *Config) CompartmentID(name string) uint32 {
	for _, p := range c.Compartments {
		if p.Name == name {
			return p.ID
		}
	}
	return 0
}

// EndpointsOf returns the endpoints of a network, of all networks if it is "".
func (c *Config) EndpointsOf(network string) []model.Endpoint {
	out := []model.Endpoint{}
	for _, e := range c.Endpoints {
		if network == "" || e.Network == network {
			out = append(out, e)
		}
	}
	return out
}

// neighbours returns the endpoints of a network that an endpoint of it shares
// its link layer with: none in a per-endpoint network.
func (c *Config) neighbours(n model.Network) []model.Endpoint {
	if n.PerEndpoint() {
		return nil
	}
	return c.EndpointsOf(n.Name)
}

// networkHolding returns the first network whose subnet contains the address. Of
// one that is Unrouted the gateway alone counts: the host's own network may have the
// others too.
func (c *Config) networkHolding(a netip.Addr) (model.Network, bool) {
	for _, n := range c.Networks {
		if a == n.Gateway4() || !n.Unrouted() && n.Subnet4().Contains(a) {
			return n, true
		}
	}
	return model.Network{}, false
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

func notFound(what, name, list string) error {
	return model.Errorf(model.NotFound, "%s %q does not exist", what, model.Clip(name)).WithHint("'%s' shows those that do", list)
}
