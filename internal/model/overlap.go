package model

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

// UnmarshalText reads what String writes. Errors are of code Invalid.
func (o *Overlap) UnmarshalText(text []byte) error {
	switch string(text) {
	case Keep.String():
		*o = Keep
	case Renumber.String():
		*o = Renumber
	default:
		return Errorf(Invalid, "overlap %q is not known", Clip(string(text))).WithHint("use %s or %s", Keep, Renumber)
	}
	return nil
}

// OverlappingHostPrefixes returns the host's prefixes that the network's subnet overlaps.
// Default routes, VPNs' halves of one included, are in nobody's way, and an adopted
// bridge may have its address, and so its route, already.
func (n Network) OverlappingHostPrefixes(facts HostFacts) []HostPrefix {
	var list []HostPrefix
	for _, h := range facts.Reached() {
		own := n.Adopted && strings.HasSuffix(h.Source, " "+n.Bridge)
		if h.Prefix.Bits() > 1 && !own && h.Prefix.Overlaps(n.Subnet4()) {
			list = append(list, h)
		}
	}
	return list
}

// HostOverlap returns the parts of the subnet that the host reaches by its other
// interfaces: what is as long a prefix as the subnet, or a longer one. Of a shorter
// one the host itself takes the subnet for the network's.
func (n Network) HostOverlap(facts HostFacts) []netip.Prefix {
	if n.Unrouted() {
		return nil // the host does not take any of it for the network's
	}
	var list []netip.Prefix
	for _, h := range n.OverlappingHostPrefixes(facts) {
		if h.Prefix.Bits() >= n.Subnet4().Bits() && !slices.Contains(list, h.Prefix) {
			list = append(list, h.Prefix)
		}
	}
	return list
}

// GatewayTaken is the refusal of a gateway that another machine on a link of the
// host has.
func (n Network) GatewayTaken(mac MAC, link string) error {
	return n.GatewayTakenBy(fmt.Sprintf("a machine on %s, MAC %s", link, mac))
}

func (n Network) GatewayTakenBy(by string) error {
	return Errorf(Conflict, "gateway %s of network %q would be an address of the host, whose own network has it already (%s)", n.Gateway4(), n.Name, by).
		WithHint("choose another with --gateway, or another subnet")
}

// Shadows returns the host's prefixes that endpoints of the network cannot reach
// since they have the same addresses themselves, and that is all that is lost:
// of a network that is Unrouted.
func (n Network) Shadows(facts HostFacts) []HostPrefix {
	if !n.Unrouted() {
		return nil
	}
	return n.OverlappingHostPrefixes(facts)
}
