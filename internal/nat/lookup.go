package nat

import "net/netip"

// NAT returns the NAT of that name, or a NotFound Error.
func (c *Config) NAT(name string) (NAT, error) {
	for _, n := range c.NATs {
		if n.Name == name {
			return n, nil
		}
	}
	return NAT{}, notFound("NAT", name, "hostnat nat list")
}

// Network returns the network of that name, or a NotFound Error.
func (c *Config) Network(name string) (Network, error) {
	for _, n := range c.Networks {
		if n.Name == name {
			return n, nil
		}
	}
	return Network{}, notFound("network", name, "hostnat network list")
}

// Endpoint returns the endpoint of that name, attached or learnt from a lease,
// or a NotFound Error.
func (c *Config) Endpoint(name string) (Endpoint, error) {
	if e, ok := c.attached(name); ok {
		return e, nil
	}
	for _, e := range c.Learnt {
		if e.Name == name {
			return e, nil
		}
	}
	return Endpoint{}, notFound("endpoint", name, "hostnat endpoint list")
}

// attached returns the attached endpoint of that name.
func (c *Config) attached(name string) (Endpoint, bool) {
	for _, e := range c.Endpoints {
		if e.Name == name {
			return e, true
		}
	}
	return Endpoint{}, false
}

// Mapping returns the mapping of that id, or a NotFound Error.
func (c *Config) Mapping(id uint32) (Mapping, error) {
	for _, m := range c.Mappings {
		if m.ID == id {
			return m, nil
		}
	}
	return Mapping{}, Errorf(NotFound, "mapping %d does not exist", id).WithHint("'hostnat mapping list' shows those that do")
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
func (c *Config) EndpointsOf(network string) []Endpoint {
	out := []Endpoint{}
	for _, e := range c.Endpoints {
		if network == "" || e.Network == network {
			out = append(out, e)
		}
	}
	return out
}

// networkHolding returns the first network whose subnet contains the address.
func (c *Config) networkHolding(a netip.Addr) (Network, bool) {
	for _, n := range c.Networks {
		if n.Subnet.Contains(a) {
			return n, true
		}
	}
	return Network{}, false
}

func notFound(what, name, list string) error {
	return Errorf(NotFound, "%s %q does not exist", what, clip(name)).WithHint("'%s' shows those that do", list)
}
