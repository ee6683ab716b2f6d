package config

import (
	"fmt"
	"net/netip"

	"github.com/hostnat/hostnat/internal/model"
)

// Clash is a prefix of the host that a network is in the way of.
type Clash struct {
	Network string
	Subnet  string // of the network at that time
	Host    model.HostPrefix
	Gateway bool // Host.Prefix is the network's gateway alone: see gatewayClashes
}

// String is the problem in one line, without the remedy.
func (c Clash) String() string { return "network " + c.Network + " " + c.Begun() }

// Begun is what an event says of the network when it begins.
func (c Clash) Begun() string {
	if c.Gateway {
		return fmt.Sprintf("(%s) has the gateway %s, which the host's own network has too (%s)", c.Subnet, c.Host.Prefix.Addr(), c.Host.Source)
	}
	return fmt.Sprintf("(%s) overlaps %s of the host (%s)", c.Subnet, c.Host.Prefix, c.Host.Source)
}

// Over is what an event says of the network when it is over.
func (c Clash) Over() string {
	if c.Gateway {
		return fmt.Sprintf("(%s) shares the gateway %s with the host's own network (%s) no more", c.Subnet, c.Host.Prefix.Addr(), c.Host.Source)
	}
	return fmt.Sprintf("(%s) does not overlap %s of the host (%s) any more", c.Subnet, c.Host.Prefix, c.Host.Source)
}

// Harm is what does not work while it lasts.
func (c Clash) Harm() string {
	if c.Gateway {
		return "the host takes what is for that machine for its own, and cannot be reached by it"
	}
	return "what is there cannot be reached from it"
}

// Clashes returns where networks are in the way of the host's own addresses and
// routes. AddNetwork lets none in; the host may get them later.
func (c *Config) Clashes(facts model.HostFacts) []Clash {
	var list []Clash
	for _, n := range c.Networks {
		if n.Unrouted() {
			list = append(list, gatewayClashes(n, facts)...)
			continue
		}
		for _, h := range n.OverlappingHostPrefixes(facts) {
			list = append(list, Clash{Network: n.Name, Subnet: n.Subnet4().String(), Host: h})
		}
	}
	return list
}

// gatewayClashes is for networks that are Unrouted. The host's routing tables leave
// their subnets out, so that the host may have the same one; but the gateway's
// address is the host's own for as long as the network exists, and so nobody
// else's in its eyes.
func gatewayClashes(n model.Network, facts model.HostFacts) []Clash {
	clash := func(source string) Clash {
		return Clash{Network: n.Name, Subnet: n.Subnet4().String(), Host: model.HostPrefix{Prefix: netip.PrefixFrom(n.Gateway4(), n.Gateway4().BitLen()), Source: source}, Gateway: true}
	}
	var list []Clash
	for _, a := range facts.Addresses {
		if own := n.Adopted && a.Interface == n.Bridge; a.Address == n.Gateway4() && !own {
			list = append(list, clash(model.AddressSource+a.Interface))
		}
	}
	for _, r := range facts.Routers {
		if r.Address == n.Gateway4() {
			list = append(list, clash(r.Source))
		}
	}
	return list
}

// checkGateway refuses a gateway that the host cannot have without losing what
// it needs.
func checkGateway(n model.Network, facts model.HostFacts) error {
	for _, m := range facts.Needed() {
		if m.Address == n.Gateway4() {
			return n.GatewayTakenBy(m.Source)
		}
	}
	if !n.Unrouted() {
		return nil
	}
	for _, c := range gatewayClashes(n, facts) {
		return n.GatewayTakenBy(c.Host.Source)
	}
	return nil
}
