package nat

import (
	"net/netip"
	"strings"
)

// resolveTarget reads "ENDPOINT:PORT" or "A:PORT" and finds the network.
func (c *Config) resolveTarget(m *Mapping, spec MappingSpec) error {
	target, portText, found := cutPort(spec.Internal)
	switch {
	case spec.Internal == "":
		return Errorf(Invalid, "the mapping has no target").WithHint("give --internal ENDPOINT:PORT or A:PORT")
	case !found:
		return Errorf(Invalid, "internal %q has no port", clip(spec.Internal)).WithHint("write ENDPOINT:PORT or A:PORT")
	case target == "":
		return Errorf(Invalid, "internal %q has no endpoint or address", clip(spec.Internal)).WithHint("write ENDPOINT:PORT or A:PORT")
	}
	port, err := singlePort("internal", portText)
	if err != nil {
		return err
	}
	if spec.Network != "" {
		if _, err := c.Network(spec.Network); err != nil {
			return err
		}
	}
	a, err := c.targetAddress(m, target, spec.Network)
	m.Internal = netip.AddrPortFrom(a, port)
	return err
}

func (c *Config) targetAddress(m *Mapping, target, network string) (netip.Addr, error) {
	if !looksLikeAddress(target) && !strings.Contains(target, ":") {
		return c.targetEndpoint(m, target, network)
	}
	a, err := ParseIPv4("internal address", target)
	if err != nil {
		return netip.Addr{}, err
	}
	n, err := c.targetNetwork(a, network)
	if err != nil {
		return netip.Addr{}, err
	}
	m.Network = n.Name
	if a == n.Gateway {
		return netip.Addr{}, Errorf(Invalid, "internal address %s is the gateway of network %q", a, n.Name).WithHint("map to an endpoint")
	}
	return a, checkHostAddress("internal address", a, n.Subnet)
}

func (c *Config) targetEndpoint(m *Mapping, name, network string) (netip.Addr, error) {
	e, err := c.Endpoint(name)
	if err != nil {
		return netip.Addr{}, err
	}
	if network != "" && network != e.Network {
		return netip.Addr{}, Errorf(Conflict, "endpoint %q is in network %q, not %q", name, e.Network, network).WithHint("leave --network out")
	}
	m.Endpoint, m.Network = name, e.Network
	return e.Address, nil
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
		return Network{}, Errorf(Invalid, "internal address %s is in no network", a).WithHint("'hostnat network list' shows the subnets")
	case 1:
		return holding[0], nil
	}
	return Network{}, Errorf(Conflict, "internal address %s is in networks %q and %q", a, holding[0].Name, holding[1].Name).WithHint("say which with --network")
}
