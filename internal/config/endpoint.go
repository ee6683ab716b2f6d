package config

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/hostnat/hostnat/internal/model"
)

// ChooseAddress returns a free address for an endpoint that was given none.
type ChooseAddress func(network model.Network, endpoints []model.Endpoint) (netip.Addr, error)

// AddEndpoint attaches an endpoint. Asking again for what is attached already
// returns it and changes nothing. Mappings to its name follow its address.
func (c *Config) AddEndpoint(spec EndpointSpec, facts model.HostFacts, choose ChooseAddress) (model.Endpoint, error) {
	if err := model.CheckName("endpoint", spec.Name); err != nil {
		return model.Endpoint{}, err
	}
	network, err := c.Network(spec.Network)
	if err != nil {
		return model.Endpoint{}, err
	}
	e := model.Endpoint{Name: spec.Name, Network: network.Name, Metadata: model.Metadata{Labels: spec.Labels, Owner: spec.Owner}}
	if err := e.Check(); err != nil {
		return model.Endpoint{}, err
	}
	if err := parseTarget(&e, spec); err != nil {
		return model.Endpoint{}, err
	}
	if err := parseAddresses(&e, spec); err != nil {
		return model.Endpoint{}, err
	}
	if e.Aliases, err = parseAliases(spec.Aliases); err != nil {
		return model.Endpoint{}, err
	}
	if e.Allow, err = parseAllow(spec.Allow); err != nil {
		return model.Endpoint{}, prefixed("allow", err)
	}
	if has, ok := c.Attached(spec.Name); ok {
		if err := sameEndpoint(has, e); err != nil {
			return model.Endpoint{}, err
		}
		if err := sameMetadata(fmt.Sprintf("endpoint %q", has.Name), has.Metadata, e.Metadata); err != nil {
			return model.Endpoint{}, err
		}
		return c.resettle(has, e, facts)
	}
	if err := c.checkAliases(e); err != nil {
		return model.Endpoint{}, err
	}
	if err := c.checkTarget(e, facts); err != nil {
		return model.Endpoint{}, err
	}
	if err := c.assign(&e, network, facts, choose); err != nil {
		return model.Endpoint{}, err
	}
	if err := c.checkAllow(e, facts); err != nil {
		return model.Endpoint{}, prefixed("allow", err)
	}
	e.ID = c.takeID()
	c.Endpoints = append(c.Endpoints, e)
	c.recall(e)
	c.follow(e, network)
	return e, nil
}

// resettle gives an endpoint that is attached already the aliases and further
// addresses that are asked for; those that it has stay if none are.
func (c *Config) resettle(has, asked model.Endpoint, facts model.HostFacts) (model.Endpoint, error) {
	values := make(map[string]string)
	if len(asked.Aliases) > 0 {
		values["aliases"] = strings.Join(asked.Aliases, ",")
	}
	if len(asked.Allow) > 0 {
		values["allow"] = joined(asked.Allow)
	}
	if len(values) == 0 {
		return has, nil
	}
	return c.SetEndpoint(has.Name, values, facts)
}

func joined(list []netip.Prefix) string {
	texts := make([]string, len(list))
	for i, p := range list {
		texts[i] = p.String()
	}
	return strings.Join(texts, ",")
}

// DetachEndpoint forgets an endpoint. Mappings to its name stay, unresolved
// until an endpoint of that name is attached again.
func (c *Config) DetachEndpoint(name string) error {
	e, ok := c.Attached(name)
	if !ok {
		return c.notAttached(name)
	}
	c.remember(e)
	c.Endpoints = slices.DeleteFunc(c.Endpoints, func(e model.Endpoint) bool { return e.Name == name })
	c.editTargets(func(_ *model.Mapping, _ int, t *model.Target) {
		if t.Endpoint == name && t.MAC == "" {
			t.Internal.Address = netip.IPv4Unspecified()
		}
	})
	return nil
}

// follow points the mappings to an endpoint's name at it. A mapping whose only
// target it is follows it behind another NAT. One of several targets stays
// unresolved in a network that does not go with the others'. What leads to a DHCP
// client goes on leading there (SetLeases), whoever has its name now.
func (c *Config) follow(e model.Endpoint, network model.Network) {
	c.editTargets(func(m *model.Mapping, i int, t *model.Target) {
		if t.Endpoint == e.Name && t.MAC == "" && c.goesWith(m.Targets, i, network) {
			t.Internal.Address, t.Network, m.NAT = e.Address4(), network.Name, network.NAT
		}
	})
}

// goesWith reports whether the networks of the other targets have the NAT and
// the compartment of that one.
func (c *Config) goesWith(targets []model.Target, except int, network model.Network) bool {
	for i, t := range targets {
		n, err := c.Network(t.Network)
		if i != except && err == nil && (n.NAT != network.NAT || !n.Joins(network)) {
			return false
		}
	}
	return true
}

// sameEndpoint refuses a request that differs from what is attached. An
// address or MAC that was not asked for does not differ.
func sameEndpoint(has, asked model.Endpoint) error {
	if asked.Network == has.Network && asked.Kind == has.Kind && asked.Target == has.Target && asked.IfName == has.IfName && asked.TAP == has.TAP &&
		(!asked.Address4().IsValid() || asked.Address4() == has.Address4()) &&
		(asked.MAC == "" || asked.MAC == has.MAC) {
		return nil
	}
	return model.Errorf(model.Conflict, "endpoint %q is attached already: to network %q with %s %s and address %s",
		has.Name, has.Network, has.Kind, has.Target, has.Address4()).WithHint("detach it first, or choose another name")
}

// assign fills in the address and MAC that were not given, and checks those that were.
func (c *Config) assign(e *model.Endpoint, network model.Network, facts model.HostFacts, choose ChooseAddress) error {
	if !e.Address4().IsValid() {
		a, err := c.place(*e, network, facts, choose)
		if err != nil {
			return err
		}
		e.Addresses = []netip.Addr{a}
	}
	if err := c.checkAddress(*e, network, facts); err != nil {
		return err
	}
	if e.MAC == "" {
		e.MAC = c.macFor(*e, network)
	}
	if e.MAC == gatewayMAC(network, facts) {
		return model.Errorf(model.Conflict, "MAC %s is the gateway's of network %q: nobody else would reach it", e.MAC, network.Name).WithHint("choose another with --mac")
	}
	for _, other := range c.neighbours(network) {
		if other.MAC == e.MAC {
			return model.Errorf(model.Conflict, "MAC %s belongs to endpoint %q", e.MAC, other.Name).WithHint("choose another with --mac")
		}
	}
	return nil
}

// gatewayMAC is the host's own MAC on the network; "" if it is not known.
func gatewayMAC(n model.Network, facts model.HostFacts) model.MAC {
	if n.Adopted {
		return facts.AdoptedMACs[n.Bridge]
	}
	return n.GatewayMAC()
}

func (c *Config) checkAddress(e model.Endpoint, network model.Network, facts model.HostFacts) error {
	a := e.Address4()
	if err := checkHostAddress("address", a, network.Subnet4()); err != nil {
		return err
	}
	if a == network.Gateway4() {
		return model.Errorf(model.Conflict, "address %s is the gateway of network %q", a, network.Name).WithHint("leave --address out to get a free one")
	}
	for _, other := range c.neighbours(network) {
		if other.Address4() == a {
			return model.Errorf(model.Conflict, "address %s belongs to endpoint %q", a, other.Name).WithHint("leave --address out to get a free one")
		}
	}
	if err := checkHosts(network, a, facts); err != nil {
		return err
	}
	if err := c.checkNotAllowed(e, network); err != nil {
		return err
	}
	return c.checkKept(e)
}
