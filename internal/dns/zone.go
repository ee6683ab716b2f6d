package dns

import (
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/miekg/dns"

	"github.com/hostnat/hostnat/internal/nat"
)

// hostName leads to the host: its address on the network of whoever asks.
const hostName = "host.internal."

// Zone is what one network's server knows by itself. Names are lower case and
// end with a dot. It is not changed once it is made.
type Zone struct {
	closed    bool                    // nobody else is asked: the network has no way out, by DNS neither
	domains   []string                // all names in these are known here or do not exist
	subnets   []netip.Prefix          // all addresses in these have their name here or none
	addresses map[string][]netip.Addr // by name
	names     map[netip.Addr]string   // the name of an address
	parents   map[string]bool         // names that exist because others lie below them (RFC 8020)
}

// untold are names that programs look up without being told to, and trust:
// they are not for whoever asks for them by DHCP.
var untold = []string{"wpad", "isatap", "localhost", "host", "gateway"}

// Zones returns what the server of each network answers, by the network's name:
// the names of its endpoints, of those of networks that it may talk to, and of
// the host. A bare name is known for a network's own endpoints alone.
func Zones(config nat.Config) map[string]*Zone {
	own := make(map[string][]nat.Endpoint)
	for _, e := range slices.Concat(config.Endpoints, config.Learnt) {
		own[e.Network] = append(own[e.Network], e)
	}
	zones := make(map[string]*Zone)
	for _, n := range config.Networks {
		if !n.DNS.On() {
			continue
		}
		z := newZone(n, own[n.Name])
		for _, other := range config.Networks {
			if other.Name != n.Name && n.IsOpenTo(other) {
				z.join(newZone(other, own[other.Name]))
			}
		}
		zones[n.Name] = z
	}
	return zones
}

// newZone has the network itself alone.
func newZone(n nat.Network, endpoints []nat.Endpoint) *Zone {
	z := &Zone{
		closed:    !n.HasNAT(),
		subnets:   []netip.Prefix{n.Subnet},
		addresses: map[string][]netip.Addr{hostName: {n.Gateway}},
		names:     map[netip.Addr]string{n.Gateway: hostName},
		parents:   map[string]bool{},
	}
	z.addDomains(n)
	for _, e := range endpoints {
		if e.Kind != nat.KindLease || z.mayClaim(e.Name) {
			z.addEndpoint(e, n)
		}
	}
	return z
}

// join adds the names of another network, which is open to this one. It takes no
// name away: where two networks have one domain, each asks for its own first.
func (z *Zone) join(o *Zone) {
	for name, addresses := range o.addresses {
		if _, taken := z.addresses[name]; !taken && o.domain(name) != "" {
			z.addresses[name] = slices.Clip(addresses)
		}
	}
	for a, name := range o.names {
		if _, named := z.names[a]; !named {
			z.names[a] = name
		}
	}
	for _, d := range o.domains {
		if !slices.Contains(z.domains, d) {
			z.domains = append(z.domains, d)
		}
	}
	z.subnets = append(z.subnets, o.subnets...)
	maps.Copy(z.parents, o.parents)
}

func (z *Zone) addDomains(n nat.Network) {
	for _, domain := range []string{n.DomainName(), n.OwnDomain()} {
		d := fqdn(domain)
		if d == "" || slices.Contains(z.domains, d) {
			continue
		}
		z.domains = append(z.domains, d)
		for ; d != "."; d = above(d) {
			z.parents[d] = true
		}
	}
}

// mayClaim reports whether a client that named itself may have that name.
func (z *Zone) mayClaim(name string) bool {
	_, taken := z.addresses[fqdn(name)]
	return !taken && nat.IsHostLabel(name) && !slices.Contains(untold, strings.ToLower(name))
}

// addEndpoint adds an endpoint's name and aliases, bare and in its network's
// domains. Its name in the network's domain is that of its address.
func (z *Zone) addEndpoint(e nat.Endpoint, n nat.Network) {
	for _, name := range append([]string{e.Name}, e.Aliases...) {
		z.add(fqdn(name), e.Address)
		for _, domain := range []string{n.DomainName(), n.OwnDomain()} {
			full := fqdn(name + "." + domain)
			z.add(full, e.Address)
			if _, named := z.names[e.Address]; !named && full != "" {
				z.names[e.Address] = full
			}
		}
	}
}

// add adds an address to a name. A name that DNS cannot have is left out.
func (z *Zone) add(name string, a netip.Addr) {
	if name == "" || slices.Contains(z.addresses[name], a) {
		return
	}
	z.addresses[name] = append(z.addresses[name], a)
	if z.domain(name) == "" {
		return
	}
	for parent := above(name); parent != "."; parent = above(parent) {
		z.parents[parent] = true
	}
}

// domain returns the domain of the network that a name is in, or "".
func (z *Zone) domain(name string) string {
	for at := name; at != "."; at = above(at) {
		if slices.Contains(z.domains, at) {
			return at
		}
	}
	return ""
}

// subnet returns the subnet that overlaps a prefix; not valid if none does.
func (z *Zone) subnet(p netip.Prefix) netip.Prefix {
	for _, s := range z.subnets {
		if s.Overlaps(p) {
			return s
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
		if !nat.IsHostLabel(label) {
			return ""
		}
	}
	if _, ok := dns.IsDomainName(f); !ok {
		return ""
	}
	return f
}
