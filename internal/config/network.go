package config

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/hostnat/hostnat/internal/model"
)

// ChooseSubnet returns a free subnet for a network that was given none.
type ChooseSubnet func(facts model.HostFacts, networks []model.Network) (netip.Prefix, error)

// AddNetwork adds a network, and its compartment if that is new.
func (c *Config) AddNetwork(spec NetworkSpec, facts model.HostFacts, choose ChooseSubnet) (model.Network, error) {
	n, err := c.plannedNetwork(spec)
	if err != nil {
		return model.Network{}, err
	}
	if n.PerEndpoint() {
		err = checkPerEndpoint(&n, spec)
	} else {
		err = c.checkBridge(spec, n.Bridge, facts)
	}
	if err != nil {
		return model.Network{}, err
	}
	subnet, err := c.subnet(spec, n, facts, choose)
	if err != nil {
		return model.Network{}, err
	}
	n.Subnets = []netip.Prefix{subnet}
	address, err := gateway(spec.Gateway, subnet)
	if err != nil {
		return model.Network{}, err
	}
	n.Gateways = []netip.Addr{address}
	if err := checkGateway(n, facts); err != nil {
		return model.Network{}, err
	}
	if err := useSpec(&n, spec); err != nil {
		return model.Network{}, err
	}
	for _, p := range c.Proxies {
		if err := clashNameServer(p, n); err != nil {
			return model.Network{}, err
		}
	}
	if !n.PerEndpoint() {
		c.compartment(n.Compartment)
	}
	n.ID = c.takeID()
	c.Networks = append(c.Networks, n)
	return n, nil
}

// plannedNetwork is what a spec says by itself: all but addresses, and what it may not be.
func (c *Config) plannedNetwork(spec NetworkSpec) (model.Network, error) {
	kind, nat, compartment, err := model.ResolveNetworkType(spec.Type, spec.NAT, spec.Compartment)
	if err != nil {
		return model.Network{}, err
	}
	n := model.Network{
		Type: kind, Isolation: kind.Isolation(),
		Name: spec.Name, Metadata: model.Metadata{Labels: spec.Labels, Owner: spec.Owner}, NAT: or(nat, model.DefaultNAT), Adopted: spec.Adopt,
		Compartment: or(compartment, model.DefaultCompartment),
	}
	if !n.PerEndpoint() {
		n.Bridge = or(spec.Bridge, model.BridgeName(spec.Name))
	}
	if err := c.checkNetworkNames(n); err != nil {
		return model.Network{}, err
	}
	if err := n.Check(); err != nil {
		return model.Network{}, err
	}
	domain, err := parseDomain(spec.Domain)
	if err != nil {
		return model.Network{}, err
	}
	n.Domain = or(domain, n.OwnDomain())
	if err := n.Overlap.UnmarshalText([]byte(or(spec.Overlap, model.Keep.String()))); err != nil {
		return model.Network{}, err
	}
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
	c.Endpoints = slices.DeleteFunc(c.Endpoints, func(e model.Endpoint) bool { return e.Network == name })
	c.Networks = slices.DeleteFunc(c.Networks, func(n model.Network) bool { return n.Name == name })
	c.forgetNetwork(name)
	c.dropCompartment(n.Compartment)
	return nil
}

// dropTargets takes the mappings' targets in a network away, and the mappings
// that then have none.
func (c *Config) dropTargets(network string) {
	c.dropTargetsIf(func(t *model.Target) bool { return t.Network == network })
}

func (c *Config) checkUnused(network string) error {
	for _, e := range c.Endpoints {
		if e.Network == network {
			return model.Errorf(model.Conflict, "network %q has endpoint %q", network, e.Name).WithHint("detach its endpoints first, or use --force")
		}
	}
	for _, m := range c.Mappings {
		if slices.ContainsFunc(m.Targets, func(t model.Target) bool { return t.Network == network }) {
			return model.Errorf(model.Conflict, "network %q has mapping %s", network, m).WithHint("delete its mappings first, or use --force")
		}
	}
	return nil
}

func (c *Config) checkNetworkNames(n model.Network) error {
	if err := model.CheckName("network", n.Name); err != nil {
		return err
	}
	if err := model.CheckName("compartment", n.Compartment); err != nil {
		return err
	}
	if has, err := c.Network(n.Name); err == nil {
		return model.Errorf(model.Conflict, "network %q exists already, with subnet %s", n.Name, has.Subnet4()).WithHint("choose another name, or delete it first")
	}
	if !n.HasNAT() {
		return nil
	}
	_, err := c.NAT(n.NAT)
	return err
}

// checkBridgeName refuses names of our own other links; hn-... are those of bridges
// that we make.
func checkBridgeName(spec NetworkSpec, bridge string) error {
	if !spec.Adopt && strings.HasPrefix(bridge, "hn-") {
		return model.CheckLink("bridge", bridge)
	}
	return model.CheckForeignLink("bridge", bridge)
}

func (c *Config) checkBridge(spec NetworkSpec, bridge string, facts model.HostFacts) error {
	if spec.Adopt && spec.Bridge == "" {
		return model.Errorf(model.Invalid, "there is no bridge to adopt").WithHint("name it with --bridge")
	}
	if err := checkBridgeName(spec, bridge); err != nil {
		return err
	}
	if user, busy := c.linkUser(bridge); busy {
		return model.Errorf(model.Conflict, "link %s belongs to %s", bridge, user).WithHint("choose another with --bridge")
	}
	switch exists := facts.HasInterface(bridge); {
	case spec.Adopt && bridge == facts.DefaultInterface:
		return model.Errorf(model.Conflict, "bridge %s is the host's way to the outside", bridge).WithHint("adopt a bridge that only endpoints are on")
	case spec.Adopt && !exists:
		return model.Errorf(model.NotFound, "bridge %s does not exist", bridge).WithHint("make it first, or leave --adopt out")
	case !spec.Adopt && exists:
		return model.Errorf(model.Conflict, "link %s exists already", bridge).WithHint("adopt it with --bridge %s --adopt if it is a bridge, or choose another with --bridge", bridge)
	}
	return nil
}

func (c *Config) subnet(spec NetworkSpec, n model.Network, facts model.HostFacts, choose ChooseSubnet) (netip.Prefix, error) {
	if spec.Subnet == "" {
		if spec.Gateway != "" {
			return netip.Prefix{}, model.Errorf(model.Invalid, "gateway %q is given without a subnet", model.Clip(spec.Gateway)).WithHint("give --subnet too")
		}
		return choose(facts, c.Networks)
	}
	p, err := model.ParseSubnet(spec.Subnet)
	if err != nil {
		return netip.Prefix{}, err
	}
	return p, c.checkOverlap(p, n, facts)
}

func (c *Config) checkOverlap(p netip.Prefix, n model.Network, facts model.HostFacts) error {
	for _, other := range c.Networks {
		if other.Name != n.Name && n.Joins(other) && other.Subnet4().Overlaps(p) {
			return model.Errorf(model.Conflict, "subnet %s overlaps network %q (%s)", p, other.Name, other.Subnet4()).
				WithHint("choose another subnet, or another --compartment")
		}
	}
	if err := c.checkNotBehind(p, n); err != nil {
		return err
	}
	if n.Subnets = []netip.Prefix{p}; n.Unrouted() { // its gateway alone could be in the host's way
		return nil
	}
	for _, h := range n.OverlappingHostPrefixes(facts) {
		return model.Errorf(model.Conflict, "subnet %s overlaps %s of the host (%s)", p, h.Prefix, h.Source).
			WithHint("choose another subnet, leave --subnet out to get a free one, or give the network a --compartment")
	}
	return nil
}

func gateway(text string, subnet netip.Prefix) (netip.Addr, error) {
	if text == "" {
		return subnet.Addr().Next(), nil
	}
	g, err := model.ParseIPv4("gateway", text)
	if err != nil {
		return netip.Addr{}, err
	}
	return g, checkHostAddress("gateway", g, subnet)
}

// checkHostAddress refuses what no station of the subnet can have.
func checkHostAddress(what string, a netip.Addr, subnet netip.Prefix) error {
	first, last := subnet.Addr().Next(), model.LastAddress(subnet).Prev()
	switch {
	case !subnet.Contains(a):
		return model.Errorf(model.Invalid, "%s %s is outside the subnet %s", what, a, subnet).WithHint("use %s to %s", first, last)
	case a == subnet.Addr():
		return model.Errorf(model.Invalid, "%s %s is the network address of %s", what, a, subnet).WithHint("use %s to %s", first, last)
	case a == model.LastAddress(subnet):
		return model.Errorf(model.Invalid, "%s %s is the broadcast address of %s", what, a, subnet).WithHint("use %s to %s", first, last)
	}
	return nil
}

func or(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}
