package dns

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/miekg/dns"

	"github.com/hostnat/hostnat/internal/config"
	"github.com/hostnat/hostnat/internal/model"
)

// hostName leads to the host: its address on the network of whoever asks.
const hostName = "host.internal."

// Zone is what one network's server knows by itself: the names of its own, and
// those of the networks that it may talk to. It is not changed once it is made.
type Zone struct {
	closed bool       // nobody else is asked: the network has no way out, by DNS neither
	own    *directory // asked first
	near   *directory // of all networks that are open to each other, this one too; nil: there is no other
	host   *Zone      // what the host itself is answered: no network keeps it out
}

// untold are names that programs look up without being told to, and trust:
// they are not for whoever asks for them by DHCP.
var untold = []string{"wpad", "isatap", "localhost", "host", "gateway"}

// Zones returns what the server of each network answers, by the network's name:
// the names of its endpoints, of those of networks that it may talk to, and of
// the host. A bare name is known for a network's own endpoints alone. The host
// itself is answered for the names of all networks, in full: where several have
// the same gateway address, it cannot choose whom it asks. Clones it cannot tell
// from each other.
func Zones(cfg config.Config) map[string]*Zone {
	endpoints := make(map[string][]model.Endpoint)
	for _, e := range slices.Concat(cfg.Endpoints, cfg.Discovered) {
		endpoints[e.Network] = append(endpoints[e.Network], e)
	}
	own := make(map[string]*directory)
	open := make(map[string][]*directory) // of networks that are open to each other, by compartment
	var here, elsewhere []*directory      // in the host's compartment, and in others
	for _, n := range cfg.Networks {
		own[n.Name] = &directory{fill: func(d *directory) { d.addNetwork(n, endpoints[n.Name]) }}
		if n.Isolation == model.NotIsolated {
			open[n.Compartment] = append(open[n.Compartment], own[n.Name])
		}
		switch {
		case !n.Unrouted():
			here = append(here, own[n.Name])
		case !n.IsPointToPoint():
			elsewhere = append(elsewhere, own[n.Name])
		}
	}
	near := make(map[string]*directory)
	for compartment, members := range open {
		if len(members) > 1 {
			near[compartment] = &directory{fill: func(d *directory) { d.joinAll(members) }}
		}
	}
	all := &directory{fill: func(d *directory) { d.joinAll(slices.Concat(here, elsewhere)) }}
	zones := make(map[string]*Zone)
	for _, n := range cfg.Networks {
		if !n.DNS.On() {
			continue
		}
		z := &Zone{closed: !n.HasNAT(), own: own[n.Name]}
		z.host = &Zone{closed: z.closed, own: z.own, near: all}
		if n.Isolation == model.NotIsolated {
			z.near = near[n.Compartment]
		}
		zones[n.Name] = z
	}
	return zones
}

// asked are the directories in the order in which they are asked.
func (z *Zone) asked() []*directory {
	if z.near == nil {
		return []*directory{z.own.filled()}
	}
	return []*directory{z.own.filled(), z.near.filled()}
}

// addressesOf returns the addresses of a name, if it is known.
func (z *Zone) addressesOf(name string) ([]netip.Addr, bool) {
	for _, d := range z.asked() {
		if addresses, known := d.addresses[name]; known {
			return addresses, true
		}
	}
	return nil, false
}

// nameOf returns the name of an address, if it is known.
func (z *Zone) nameOf(a netip.Addr) (string, bool) {
	for _, d := range z.asked() {
		if name, known := d.names[a]; known {
			return name, true
		}
	}
	return "", false
}

// isParent reports whether names that are known lie below a name.
func (z *Zone) isParent(name string) bool {
	return slices.ContainsFunc(z.asked(), func(d *directory) bool { return d.parents[name] })
}

// domain returns the domain of a network that a name is in, or "".
func (z *Zone) domain(name string) string {
	asked := z.asked()
	for at := name; at != "."; at = above(at) {
		if slices.ContainsFunc(asked, func(d *directory) bool { return d.domains[at] }) {
			return at
		}
	}
	return ""
}

// subnet returns the subnet that overlaps a prefix; not valid if none does.
func (z *Zone) subnet(p netip.Prefix) netip.Prefix {
	for _, d := range z.asked() {
		for _, s := range d.subnets {
			if s.Overlaps(p) {
				return s
			}
		}
	}
	return netip.Prefix{}
}

// above returns a name without its first label; "." if none is left.
func above(name string) string {
	i, end := dns.NextLabel(name, 0)
	if end {
		return "."
	}
	return name[i:]
}

// fqdn returns a name in lower case with a final dot, "" if it cannot be one.
func fqdn(name string) string {
	f := strings.ToLower(dns.Fqdn(name))
	for label := range strings.SplitSeq(strings.TrimSuffix(f, "."), ".") {
		if !model.IsHostLabel(label) {
			return ""
		}
	}
	if _, ok := dns.IsDomainName(f); !ok {
		return ""
	}
	return f
}
