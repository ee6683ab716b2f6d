package nat

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// Overlap is what becomes of a network when the host gets an address or a route
// inside its subnet: a laptop in another LAN, a VPN that comes up. In text and
// JSON "keep" or "renumber".
type Overlap string

// The two ways. A network that says nothing is kept.
const (
	Keep     Overlap = ""         // it stays as it is; an event and a problem in status
	Renumber Overlap = "renumber" // it moves to a free subnet by itself
)

// String is "keep" or "renumber".
func (o Overlap) String() string {
	if o == Keep {
		return "keep"
	}
	return string(o)
}

// MarshalText encodes as String does.
func (o Overlap) MarshalText() ([]byte, error) { return []byte(o.String()), nil }

// UnmarshalText reads what String writes. Errors are of code Invalid.
func (o *Overlap) UnmarshalText(text []byte) error {
	switch string(text) {
	case Keep.String():
		*o = Keep
	case Renumber.String():
		*o = Renumber
	default:
		return Errorf(Invalid, "overlap %q is not known", clip(string(text))).WithHint("use %s or %s", Keep, Renumber)
	}
	return nil
}

// Clash is a prefix of the host that a network is in the way of.
type Clash struct {
	Network string
	Subnet  string // of the network at that time
	Host    HostPrefix
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
func (c *Config) Clashes(facts HostFacts) []Clash {
	var list []Clash
	for _, n := range c.Networks {
		if n.Apart() {
			list = append(list, n.gatewayClashes(facts)...)
			continue
		}
		for _, h := range n.hostOverlaps(facts) {
			list = append(list, Clash{Network: n.Name, Subnet: n.Subnet.String(), Host: h})
		}
	}
	return list
}

// hostOverlaps returns the host's prefixes that the network's subnet overlaps.
// Default routes, VPNs' halves of one included, are in nobody's way, and an adopted
// bridge may have its address, and so its route, already.
func (n Network) hostOverlaps(facts HostFacts) []HostPrefix {
	var list []HostPrefix
	for _, h := range facts.Reached() {
		own := n.Adopted && strings.HasSuffix(h.Source, " "+n.Bridge)
		if h.Prefix.Bits() > 1 && !own && h.Prefix.Overlaps(n.Subnet) {
			list = append(list, h)
		}
	}
	return list
}

// Elsewhere returns the parts of the subnet that the host reaches by its other
// interfaces: what is as long a prefix as the subnet, or a longer one. Of a shorter
// one the host itself takes the subnet for the network's.
func (n Network) Elsewhere(facts HostFacts) []netip.Prefix {
	if n.Apart() {
		return nil // the host does not take any of it for the network's
	}
	var list []netip.Prefix
	for _, h := range n.hostOverlaps(facts) {
		if h.Prefix.Bits() >= n.Subnet.Bits() && !slices.Contains(list, h.Prefix) {
			list = append(list, h.Prefix)
		}
	}
	return list
}

// gatewayClashes is for networks that are Apart. The host's routing tables leave
// their subnets out, so that the host may have the same one; but the gateway's
// address is the host's own for as long as the network exists, and so nobody
// else's in its eyes.
func (n Network) gatewayClashes(facts HostFacts) []Clash {
	clash := func(source string) Clash {
		return Clash{Network: n.Name, Subnet: n.Subnet.String(), Host: HostPrefix{netip.PrefixFrom(n.Gateway, n.Gateway.BitLen()), source}, Gateway: true}
	}
	var list []Clash
	for _, a := range facts.Addresses {
		if own := n.Adopted && a.Interface == n.Bridge; a.Address == n.Gateway && !own {
			list = append(list, clash(addressSource+a.Interface))
		}
	}
	for _, r := range facts.Routers {
		if r.Address == n.Gateway {
			list = append(list, clash(r.Source))
		}
	}
	return list
}

// checkGateway refuses a gateway that the host cannot have without losing what
// it needs.
func (n Network) checkGateway(facts HostFacts) error {
	if !n.Apart() {
		return nil
	}
	for _, c := range n.gatewayClashes(facts) {
		return n.gatewayTaken(c.Host.Source)
	}
	return nil
}

// GatewayTaken is the refusal of a gateway that another machine on a link of the
// host has.
func (n Network) GatewayTaken(mac MAC, link string) error {
	return n.gatewayTaken(fmt.Sprintf("a machine on %s, MAC %s", link, mac))
}

func (n Network) gatewayTaken(by string) error {
	return Errorf(Conflict, "gateway %s of network %q would be an address of the host, whose own network has it already (%s)", n.Gateway, n.Name, by).
		WithHint("choose another with --gateway, or another subnet")
}

// Shadows returns the host's prefixes that endpoints of the network cannot reach
// since they have the same addresses themselves, and that is all that is lost:
// of a network that is Apart.
func (n Network) Shadows(facts HostFacts) []HostPrefix {
	if !n.Apart() {
		return nil
	}
	return n.hostOverlaps(facts)
}
