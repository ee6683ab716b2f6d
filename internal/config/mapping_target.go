package config

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/hostnat/hostnat/internal/model"
)

// maxTargets is how many a mapping may spread its sessions over.
const maxTargets = 64

// resolveTargets reads "ENDPOINT:PORTS" or "A:PORTS", several of them with
// commas between, and finds their networks.
func (c *Config) resolveTargets(m *model.Mapping, spec MappingSpec) error {
	switch {
	case spec.Internal == "" && m.IsOneToOne():
		return model.Errorf(model.Invalid, "the mapping has no target").WithHint("give --internal ENDPOINT or A")
	case spec.Internal == "":
		return model.Errorf(model.Invalid, "the mapping has no target").WithHint("give --internal ENDPOINT:PORT or A:PORT")
	}
	if spec.Network != "" {
		if _, err := c.Network(spec.Network); err != nil {
			return err
		}
	}
	if m.IsOneToOne() {
		return c.resolveOneToOne(m, spec)
	}
	texts := strings.Split(spec.Internal, ",")
	if len(texts) > maxTargets {
		return model.Errorf(model.Invalid, "the mapping has %d targets", len(texts)).WithHint("a mapping may have %d", maxTargets)
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

func (c *Config) resolveTarget(text, network string) (model.Target, error) {
	host, portText, found := model.CutPort(text)
	switch {
	case text == "":
		return model.Target{}, model.Errorf(model.Invalid, "a target of the mapping is empty").WithHint("write ENDPOINT:PORT,ENDPOINT:PORT")
	case !found:
		return model.Target{}, model.Errorf(model.Invalid, "internal %q has no port", model.Clip(text)).WithHint("write ENDPOINT:PORT or A:PORT")
	case host == "":
		return model.Target{}, model.Errorf(model.Invalid, "internal %q has no endpoint or address", model.Clip(text)).WithHint("write ENDPOINT:PORT or A:PORT")
	}
	ports, err := model.ParsePortRange("internal", portText)
	if err != nil {
		return model.Target{}, err
	}
	t := model.Target{Internal: model.AddrPorts{Ports: ports}}
	if !model.LooksLikeAddress(host) && !strings.Contains(host, ":") {
		return t, c.targetEndpoint(&t, host, network)
	}
	return t, c.targetAddress(&t, host, network)
}

// checkBeside refuses a target that the others of its mapping do not go with.
func (c *Config) checkBeside(others []model.Target, t model.Target) error {
	if len(others) == 0 {
		return nil
	}
	first := others[0]
	if err := c.checkTogether(first, t); err != nil {
		return err
	}
	same := func(o model.Target) bool {
		return t.Resolved() && o.Internal.Address == t.Internal.Address || t.Endpoint != "" && o.Endpoint == t.Endpoint && o.Network == t.Network
	}
	if twice := slices.IndexFunc(others, same); twice >= 0 {
		return model.Errorf(model.Invalid, "%s and %s lead to the same address %s", others[twice], t, t.Internal.Address).WithHint("name each target once")
	}
	if first.Internal.Count() != t.Internal.Count() {
		return model.Errorf(model.Invalid, "internal %s has %s, but internal %s has %s", first, portCount(first.Internal.Count()), t, portCount(t.Internal.Count())).
			WithHint("give all targets as many ports")
	}
	return nil
}

// checkTogether refuses targets of two compartments, which could have one
// address, and of two NATs, which have nothing in common outside.
func (c *Config) checkTogether(one, other model.Target) error {
	a, err := c.Network(one.Network)
	if err != nil {
		return err
	}
	b, err := c.Network(other.Network)
	if err != nil {
		return err
	}
	if a.PerEndpoint() && a.Name == b.Name {
		return model.Errorf(model.Conflict, "%s and %s have a compartment each: network %q is of type per-endpoint", one, other, a.Name).WithHint("give each a mapping of its own")
	}
	if !a.Joins(b) {
		return model.Errorf(model.Conflict, "%s is in compartment %q and %s in %q", one, a.Compartment, other, b.Compartment).WithHint("give each a mapping of its own")
	}
	if a.NAT != b.NAT {
		return model.Errorf(model.Conflict, "%s is behind NAT %q and %s behind %q", one, a.NAT, other, b.NAT).WithHint("give each a mapping of its own")
	}
	return nil
}

func (c *Config) targetAddress(t *model.Target, host, network string) error {
	a, err := model.ParseIPv4("internal address", host)
	if err != nil {
		return err
	}
	n, err := c.targetNetwork(a, network)
	if err != nil {
		return err
	}
	if err := checkNamed(n, "internal address "+a.String()); err != nil {
		return err
	}
	if a == n.Gateway4() {
		return model.Errorf(model.Invalid, "internal address %s is the gateway of network %q", a, n.Name).WithHint("map to an endpoint")
	}
	t.Network, t.Internal.Address = n.Name, a
	if !n.Subnet4().Contains(a) { // behind an endpoint
		return nil
	}
	return checkHostAddress("internal address", a, n.Subnet4())
}

func (c *Config) targetEndpoint(t *model.Target, name, network string) error {
	e, err := c.EndpointIn(name, network)
	if err != nil {
		return err
	}
	t.Network, t.Internal.Address = e.Network, e.Address4()
	if e.Kind == model.KindTraffic {
		return nil // it has the address for as long as it likes, and may be silent: the name is gone then
	}
	t.Endpoint = name
	if e.Kind == model.KindLease {
		t.MAC = e.MAC
	}
	return nil
}

// targetNetwork finds the network that holds the address.
func (c *Config) targetNetwork(a netip.Addr, network string) (model.Network, error) {
	var holding []model.Network
	for _, n := range c.Networks {
		if network != "" && n.Name == network && !c.reaches(n, a) {
			return model.Network{}, model.Errorf(model.Invalid, "internal address %s is outside network %q (%s)", a, n.Name, n.Subnet4()).WithHint("use an address inside it")
		}
		if (network == "" || n.Name == network) && c.reaches(n, a) {
			holding = append(holding, n)
		}
	}
	switch len(holding) {
	case 0:
		return model.Network{}, c.noTargetNetwork(a)
	case 1:
		return holding[0], nil
	}
	return model.Network{}, model.Errorf(model.Conflict, "internal address %s is in networks %q and %q", a, holding[0].Name, holding[1].Name).WithHint("say which with --network")
}

// reaches reports whether an address is in a network's subnet, or behind one of its
// endpoints.
func (c *Config) reaches(n model.Network, a netip.Addr) bool {
	return n.Subnet4().Contains(a) || slices.ContainsFunc(c.EndpointsOf(n.Name), func(e model.Endpoint) bool {
		_, allowed := e.Allowed(a)
		return allowed
	})
}

// noTargetNetwork refuses an address of no network. One of a NAT's own would
// lead back to where the packet came from.
func (c *Config) noTargetNetwork(a netip.Addr) error {
	for _, n := range c.NATs {
		for _, e := range n.ExternalAddresses {
			if e.Address == a {
				return model.Errorf(model.Invalid, "internal address %s is the external address of NAT %q", a, n.Name).WithHint("map to an endpoint")
			}
		}
	}
	if a.IsLoopback() {
		return model.Errorf(model.Invalid, "internal address %s is the host's own", a).WithHint("map to an endpoint; 'hostnat proxy' reaches the host's programs")
	}
	return model.Errorf(model.Invalid, "internal address %s is in no network", a).WithHint("'hostnat network list' shows the subnets")
}
