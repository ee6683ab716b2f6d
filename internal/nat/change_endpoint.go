package nat

import (
	"net/netip"
	"slices"
)

// ChooseAddress returns a free address for an endpoint that was given none.
type ChooseAddress func(network Network, endpoints []Endpoint) (netip.Addr, error)

// AddEndpoint attaches an endpoint. Asking again for what is attached already
// returns it and changes nothing. Mappings to its name follow its address.
func (c *Config) AddEndpoint(spec EndpointSpec, facts HostFacts, choose ChooseAddress) (Endpoint, error) {
	if err := CheckName("endpoint", spec.Name); err != nil {
		return Endpoint{}, err
	}
	network, err := c.Network(spec.Network)
	if err != nil {
		return Endpoint{}, err
	}
	e := Endpoint{Name: spec.Name, Network: network.Name}
	if err := e.parseTarget(spec); err != nil {
		return Endpoint{}, err
	}
	if err := e.parseAddresses(spec); err != nil {
		return Endpoint{}, err
	}
	if has, err := c.Endpoint(spec.Name); err == nil {
		if err := sameEndpoint(has, e); err != nil {
			return Endpoint{}, err
		}
		return has, nil
	}
	if err := c.checkTarget(e, facts); err != nil {
		return Endpoint{}, err
	}
	if err := c.assign(&e, network, choose); err != nil {
		return Endpoint{}, err
	}
	e.ID = c.takeID()
	c.Endpoints = append(c.Endpoints, e)
	c.follow(e, network)
	return e, nil
}

// DetachEndpoint forgets an endpoint. Mappings to its name stay, unresolved
// until an endpoint of that name is attached again.
func (c *Config) DetachEndpoint(name string) error {
	if _, err := c.Endpoint(name); err != nil {
		return err
	}
	c.Endpoints = slices.DeleteFunc(c.Endpoints, func(e Endpoint) bool { return e.Name == name })
	for i, m := range c.Mappings {
		if m.Endpoint == name {
			c.Mappings[i].Internal = netip.AddrPortFrom(netip.IPv4Unspecified(), m.Internal.Port())
		}
	}
	return nil
}

// follow points the mappings to an endpoint's name at it.
func (c *Config) follow(e Endpoint, network Network) {
	for i, m := range c.Mappings {
		if m.Endpoint == e.Name {
			c.Mappings[i].Internal = netip.AddrPortFrom(e.Address, m.Internal.Port())
			c.Mappings[i].Network, c.Mappings[i].NAT = network.Name, network.NAT
		}
	}
}

// sameEndpoint refuses a request that differs from what is attached. An
// address or MAC that was not asked for does not differ.
func sameEndpoint(has, asked Endpoint) error {
	if asked.Network == has.Network && asked.Kind == has.Kind && asked.Target == has.Target && asked.IfName == has.IfName &&
		(!asked.Address.IsValid() || asked.Address == has.Address) &&
		(asked.MAC == "" || asked.MAC == has.MAC) {
		return nil
	}
	return Errorf(Conflict, "endpoint %q is attached already: to network %q with %s %s and address %s",
		has.Name, has.Network, has.Kind, has.Target, has.Address).WithHint("detach it first, or choose another name")
}

// assign fills in the address and MAC that were not given, and checks those that were.
func (c *Config) assign(e *Endpoint, network Network, choose ChooseAddress) error {
	if !e.Address.IsValid() {
		var err error
		if e.Address, err = choose(network, c.EndpointsOf(network.Name)); err != nil {
			return err
		}
	}
	if err := c.checkAddress(e.Address, network); err != nil {
		return err
	}
	if e.MAC == "" {
		e.MAC = DeriveMAC(c.CompartmentID(network.Compartment), e.Address)
	}
	for _, other := range c.EndpointsOf(network.Name) {
		if other.MAC == e.MAC {
			return Errorf(Conflict, "MAC %s belongs to endpoint %q", e.MAC, other.Name).WithHint("choose another with --mac")
		}
	}
	return nil
}

func (c *Config) checkAddress(a netip.Addr, network Network) error {
	if err := checkHostAddress("address", a, network.Subnet); err != nil {
		return err
	}
	if a == network.Gateway {
		return Errorf(Conflict, "address %s is the gateway of network %q", a, network.Name).WithHint("leave --address out to get a free one")
	}
	for _, other := range c.EndpointsOf(network.Name) {
		if other.Address == a {
			return Errorf(Conflict, "address %s belongs to endpoint %q", a, other.Name).WithHint("leave --address out to get a free one")
		}
	}
	return nil
}
