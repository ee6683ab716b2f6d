package nat

import (
	"net/netip"
	"slices"
	"strings"
)

// maxTargets is how many a mapping may spread its sessions over.
const maxTargets = 64

// resolveTargets reads "ENDPOINT:PORTS" or "A:PORTS", several of them with
// commas between, and finds their networks.
func (c *Config) resolveTargets(m *Mapping, spec MappingSpec) error {
	switch {
	case spec.Internal == "" && m.IsWhole():
		return Errorf(Invalid, "the mapping has no target").WithHint("give --internal ENDPOINT or A")
	case spec.Internal == "":
		return Errorf(Invalid, "the mapping has no target").WithHint("give --internal ENDPOINT:PORT or A:PORT")
	}
	if spec.Network != "" {
		if _, err := c.Network(spec.Network); err != nil {
			return err
		}
	}
	if m.IsWhole() {
		return c.resolveWhole(m, spec)
	}
	texts := strings.Split(spec.Internal, ",")
	if len(texts) > maxTargets {
		return Errorf(Invalid, "the mapping has %d targets", len(texts)).WithHint("a mapping may have %d", maxTargets)
	}
	for _, text := range texts {
		t, err := c.resolveTarget(text, spec.Network)
		if err != nil {
			return err
		}
		if err := c.checkBeside(m.Targets, t); err != nil {
			return err
		}
		m.Targets = append(m.Targets, t)
	}
	return nil
}

func (c *Config) resolveTarget(text, network string) (Target, error) {
	host, portText, found := cutPort(text)
	switch {
	case text == "":
		return Target{}, Errorf(Invalid, "a target of the mapping is empty").WithHint("write ENDPOINT:PORT,ENDPOINT:PORT")
	case !found:
		return Target{}, Errorf(Invalid, "internal %q has no port", clip(text)).WithHint("write ENDPOINT:PORT or A:PORT")
	case host == "":
		return Target{}, Errorf(Invalid, "internal %q has no endpoint or address", clip(text)).WithHint("write ENDPOINT:PORT or A:PORT")
	}
	ports, err := ParsePortRange("internal", portText)
	if err != nil {
		return Target{}, err
	}
	t := Target{Internal: AddrPorts{Ports: ports}}
	if !looksLikeAddress(host) && !strings.Contains(host, ":") {
		return t, c.targetEndpoint(&t, host, network)
	}
	return t, c.targetAddress(&t, host, network)
}

// checkBeside refuses a target that the others of its mapping do not go with.
func (c *Config) checkBeside(others []Target, t Target) error {
	if len(others) == 0 {
		return nil
	}
	first := others[0]
	if err := c.checkTogether(first, t); err != nil {
		return err
	}
	if twice := slices.IndexFunc(others, func(o Target) bool { return o.Internal.Address == t.Internal.Address }); twice >= 0 {
		return Errorf(Invalid, "%s and %s lead to the same address %s", others[twice], t, t.Internal.Address).WithHint("name each target once")
	}
	if first.Internal.Count() != t.Internal.Count() {
		return Errorf(Invalid, "internal %s has %s, but internal %s has %s", first, portCount(first.Internal.Count()), t, portCount(t.Internal.Count())).
			WithHint("give all targets as many ports")
	}
	return nil
}

// checkTogether refuses targets of two compartments, which could have one
// address, and of two NATs, which have nothing in common outside.
func (c *Config) checkTogether(one, other Target) error {
	a, err := c.Network(one.Network)
	if err != nil {
		return err
	}
	b, err := c.Network(other.Network)
	if err != nil {
		return err
	}
	if a.Private() && a.Name == b.Name {
		return Errorf(Conflict, "%s and %s have a compartment each: network %q is private", one, other, a.Name).WithHint("give each a mapping of its own")
	}
	if !a.Joins(b) {
		return Errorf(Conflict, "%s is in compartment %q and %s in %q", one, a.Compartment, other, b.Compartment).WithHint("give each a mapping of its own")
	}
	if a.NAT != b.NAT {
		return Errorf(Conflict, "%s is behind NAT %q and %s behind %q", one, a.NAT, other, b.NAT).WithHint("give each a mapping of its own")
	}
	return nil
}

func (c *Config) targetAddress(t *Target, host, network string) error {
	a, err := ParseIPv4("internal address", host)
	if err != nil {
		return err
	}
	n, err := c.targetNetwork(a, network)
	if err != nil {
		return err
	}
	if err := n.checkNamed("internal address " + a.String()); err != nil {
		return err
	}
	if a == n.Gateway {
		return Errorf(Invalid, "internal address %s is the gateway of network %q", a, n.Name).WithHint("map to an endpoint")
	}
	t.Network, t.Internal.Address = n.Name, a
	return checkHostAddress("internal address", a, n.Subnet)
}

func (c *Config) targetEndpoint(t *Target, name, network string) error {
	e, err := c.EndpointIn(name, network)
	if err != nil {
		return err
	}
	t.Network, t.Internal.Address = e.Network, e.Address
	if e.Kind == KindTraffic {
		return nil // it has the address for as long as it likes, and may be silent: the name is gone then
	}
	t.Endpoint = name
	if e.Kind == KindLease {
		t.MAC = e.MAC
	}
	return nil
}

// targetNetwork finds the network that holds the address.
func (c *Config) targetNetwork(a netip.Addr, network string) (Network, error) {
	var holding []Network
	for _, n := range c.Networks {
		if network != "" && n.Name == network && !n.Subnet.Contains(a) {
			return Network{}, Errorf(Invalid, "internal address %s is outside network %q (%s)", a, n.Name, n.Subnet).WithHint("use an address inside it")
		}
		if (network == "" || n.Name == network) && n.Subnet.Contains(a) {
			holding = append(holding, n)
		}
	}
	switch len(holding) {
	case 0:
		return Network{}, c.noTargetNetwork(a)
	case 1:
		return holding[0], nil
	}
	return Network{}, Errorf(Conflict, "internal address %s is in networks %q and %q", a, holding[0].Name, holding[1].Name).WithHint("say which with --network")
}

// noTargetNetwork refuses an address of no network. One of a NAT's own would
// lead back to where the packet came from.
func (c *Config) noTargetNetwork(a netip.Addr) error {
	for _, n := range c.NATs {
		for _, e := range n.ExternalAddresses {
			if e.Address == a {
				return Errorf(Invalid, "internal address %s is the external address of NAT %q", a, n.Name).WithHint("map to an endpoint")
			}
		}
	}
	if a.IsLoopback() {
		return Errorf(Invalid, "internal address %s is the host's own", a).WithHint("map to an endpoint; 'hostnat proxy' reaches the host's programs")
	}
	return Errorf(Invalid, "internal address %s is in no network", a).WithHint("'hostnat network list' shows the subnets")
}

// Present returns the mapping without those of several targets whose endpoint is
// absent: new sessions go to the others. If all are, it stays as it is.
func (m Mapping) Present(absent map[string]error) Mapping {
	var there []Target
	for _, t := range m.Targets {
		if _, gone := absent[t.Endpoint]; !gone || t.Endpoint == "" {
			there = append(there, t)
		}
	}
	if len(there) > 0 {
		m.Targets = there
	}
	return m
}
