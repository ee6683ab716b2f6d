package nat

import (
	"net/netip"
	"slices"
)

// ChooseSubnet returns a free subnet for a network that was given none.
type ChooseSubnet func(facts HostFacts, networks []Network) (netip.Prefix, error)

// AddNetwork adds a network, and its compartment if that is new.
func (c *Config) AddNetwork(spec NetworkSpec, facts HostFacts, choose ChooseSubnet) (Network, error) {
	n := Network{
		Name: spec.Name, NAT: or(spec.NAT, DefaultNAT), Adopted: spec.Adopt,
		Compartment: or(spec.Compartment, DefaultCompartment),
	}
	if n.Compartment != EachCompartment {
		n.Bridge = or(spec.Bridge, BridgeName(spec.Name))
	}
	if err := c.checkNetworkNames(n); err != nil {
		return Network{}, err
	}
	domain, err := parseDomain(spec.Domain)
	if err != nil {
		return Network{}, err
	}
	n.Domain = or(domain, n.OwnDomain())
	if err := n.Overlap.UnmarshalText([]byte(or(spec.Overlap, Keep.String()))); err != nil {
		return Network{}, err
	}
	if n.Private() {
		n.Isolation, err = IsolatedEndpoints, n.checkPrivate(spec)
	} else {
		err = c.checkBridge(spec, n.Bridge, facts)
	}
	if err != nil {
		return Network{}, err
	}
	if n.Subnet, err = c.subnet(spec, n, facts, choose); err != nil {
		return Network{}, err
	}
	if n.Gateway, err = gateway(spec.Gateway, n.Subnet); err != nil {
		return Network{}, err
	}
	if err := n.checkGateway(facts); err != nil {
		return Network{}, err
	}
	if err := n.useSpec(spec); err != nil {
		return Network{}, err
	}
	if !n.Private() {
		c.compartment(n.Compartment)
	}
	n.ID = c.takeID()
	c.Networks = append(c.Networks, n)
	return n, nil
}

// DeleteNetwork deletes a network. With endpoints or mappings it is refused
// unless forced; then they go too.
func (c *Config) DeleteNetwork(name string, force bool) error {
	n, err := c.Network(name)
	if err != nil {
		return err
	}
	if !force {
		if err := c.checkUnused(name); err != nil {
			return err
		}
	}
	c.dropTargets(name)
	c.Endpoints = slices.DeleteFunc(c.Endpoints, func(e Endpoint) bool { return e.Network == name })
	c.Networks = slices.DeleteFunc(c.Networks, func(n Network) bool { return n.Name == name })
	c.forgetNetwork(name)
	c.dropCompartment(n.Compartment)
	return nil
}

// dropTargets takes the mappings' targets in a network away, and the mappings
// that then have none.
func (c *Config) dropTargets(network string) {
	c.dropTargetsIf(func(t *Target) bool { return t.Network == network })
}

func (c *Config) checkUnused(network string) error {
	for _, e := range c.Endpoints {
		if e.Network == network {
			return Errorf(Conflict, "network %q has endpoint %q", network, e.Name).WithHint("detach its endpoints first, or use --force")
		}
	}
	for _, m := range c.Mappings {
		if slices.ContainsFunc(m.Targets, func(t Target) bool { return t.Network == network }) {
			return Errorf(Conflict, "network %q has mapping %s", network, m).WithHint("delete its mappings first, or use --force")
		}
	}
	return nil
}

func (c *Config) checkNetworkNames(n Network) error {
	if err := CheckName("network", n.Name); err != nil {
		return err
	}
	if err := CheckName("compartment", n.Compartment); err != nil {
		return err
	}
	if has, err := c.Network(n.Name); err == nil {
		return Errorf(Conflict, "network %q exists already, with subnet %s", n.Name, has.Subnet).WithHint("choose another name, or delete it first")
	}
	if !n.HasNAT() {
		return nil
	}
	_, err := c.NAT(n.NAT)
	return err
}

func (c *Config) checkBridge(spec NetworkSpec, bridge string, facts HostFacts) error {
	if spec.Adopt && spec.Bridge == "" {
		return Errorf(Invalid, "there is no bridge to adopt").WithHint("name it with --bridge")
	}
	if err := CheckLink("bridge", bridge); err != nil {
		return err
	}
	if user, busy := c.linkUser(bridge); busy {
		return Errorf(Conflict, "link %s belongs to %s", bridge, user).WithHint("choose another with --bridge")
	}
	switch exists := facts.HasInterface(bridge); {
	case spec.Adopt && bridge == facts.DefaultInterface:
		return Errorf(Conflict, "bridge %s is the host's way to the outside", bridge).WithHint("adopt a bridge that only endpoints are on")
	case spec.Adopt && !exists:
		return Errorf(NotFound, "bridge %s does not exist", bridge).WithHint("make it first, or leave --adopt out")
	case !spec.Adopt && exists:
		return Errorf(Conflict, "link %s exists already", bridge).WithHint("adopt it with --bridge %s --adopt if it is a bridge, or choose another with --bridge", bridge)
	}
	return nil
}

func (c *Config) subnet(spec NetworkSpec, n Network, facts HostFacts, choose ChooseSubnet) (netip.Prefix, error) {
	if spec.Subnet == "" {
		if spec.Gateway != "" {
			return netip.Prefix{}, Errorf(Invalid, "gateway %q is given without a subnet", clip(spec.Gateway)).WithHint("give --subnet too")
		}
		return choose(facts, c.Networks)
	}
	p, err := ParseSubnet(spec.Subnet)
	if err != nil {
		return netip.Prefix{}, err
	}
	return p, c.checkOverlap(p, n, facts)
}

func (c *Config) checkOverlap(p netip.Prefix, n Network, facts HostFacts) error {
	for _, other := range c.Networks {
		if other.Name != n.Name && n.Joins(other) && other.Subnet.Overlaps(p) {
			return Errorf(Conflict, "subnet %s overlaps network %q (%s)", p, other.Name, other.Subnet).
				WithHint("choose another subnet, or another --compartment")
		}
	}
	if n.Subnet = p; n.Apart() { // its gateway alone could be in the host's way
		return nil
	}
	for _, h := range n.hostOverlaps(facts) {
		return Errorf(Conflict, "subnet %s overlaps %s of the host (%s)", p, h.Prefix, h.Source).
			WithHint("choose another subnet, leave --subnet out to get a free one, or give the network a --compartment")
	}
	return nil
}

func gateway(text string, subnet netip.Prefix) (netip.Addr, error) {
	if text == "" {
		return subnet.Addr().Next(), nil
	}
	g, err := ParseIPv4("gateway", text)
	if err != nil {
		return netip.Addr{}, err
	}
	return g, checkHostAddress("gateway", g, subnet)
}

// checkHostAddress refuses what no station of the subnet can have.
func checkHostAddress(what string, a netip.Addr, subnet netip.Prefix) error {
	first, last := subnet.Addr().Next(), LastAddress(subnet).Prev()
	switch {
	case !subnet.Contains(a):
		return Errorf(Invalid, "%s %s is outside the subnet %s", what, a, subnet).WithHint("use %s to %s", first, last)
	case a == subnet.Addr():
		return Errorf(Invalid, "%s %s is the network address of %s", what, a, subnet).WithHint("use %s to %s", first, last)
	case a == LastAddress(subnet):
		return Errorf(Invalid, "%s %s is the broadcast address of %s", what, a, subnet).WithHint("use %s to %s", first, last)
	}
	return nil
}

func or(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}
