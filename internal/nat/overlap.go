package nat

import (
	"fmt"
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

// Clash is a prefix of the host that overlaps a network.
type Clash struct {
	Network string
	Subnet  string // of the network at that time
	Host    HostPrefix
}

// String is the problem in one line, without the remedy.
func (c Clash) String() string {
	return fmt.Sprintf("network %s (%s) overlaps %s of the host (%s)", c.Network, c.Subnet, c.Host.Prefix, c.Host.Source)
}

// Clashes returns where the host's own addresses and routes overlap networks.
// AddNetwork lets none in; the host may get them later.
func (c *Config) Clashes(facts HostFacts) []Clash {
	var list []Clash
	for _, n := range c.Networks {
		for _, h := range n.hostOverlaps(facts) {
			list = append(list, Clash{Network: n.Name, Subnet: n.Subnet.String(), Host: h})
		}
	}
	return list
}

// hostOverlaps returns the host's prefixes in the way of the network. Default
// routes, VPNs' halves of one included, are in nobody's way, and an adopted
// bridge may have its address, and so its route, already.
func (n Network) hostOverlaps(facts HostFacts) []HostPrefix {
	var list []HostPrefix
	for _, h := range facts.Prefixes {
		own := n.Adopted && strings.HasSuffix(h.Source, " "+n.Bridge)
		if h.Prefix.Bits() > 1 && !own && h.Prefix.Overlaps(n.Subnet) {
			list = append(list, h)
		}
	}
	return list
}
