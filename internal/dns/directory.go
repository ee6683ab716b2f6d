package dns

import (
	"net/netip"
	"slices"
	"strings"
	"sync"

	"github.com/hostnat/hostnat/internal/model"
)

// directory has the names of a network, or of several. It is filled when it is
// asked for the first time: of many changes in a row nobody may ever ask.
type directory struct {
	once sync.Once
	fill func(*directory)

	domains   map[string]bool         // all names in these are known here or do not exist
	subnets   []netip.Prefix          // all addresses in these have their name here or none
	addresses map[string][]netip.Addr // by name
	names     map[netip.Addr]string   // the name of an address
	parents   map[string]bool         // names that exist because others lie below them (RFC 8020)
}

func (d *directory) filled() *directory {
	d.once.Do(func() {
		d.domains, d.addresses = make(map[string]bool), make(map[string][]netip.Addr)
		d.names, d.parents = make(map[netip.Addr]string), make(map[string]bool)
		d.fill(d)
		d.fill = nil
	})
	return d
}

// addNetwork adds a network's own names.
func (d *directory) addNetwork(n model.Network, endpoints []model.Endpoint) {
	d.subnets = append(d.subnets, n.Subnet4())
	d.addresses[hostName] = []netip.Addr{n.Gateway4()}
	d.names[n.Gateway4()] = hostName
	d.addDomains(n)
	for _, e := range endpoints {
		if e.Managed() || d.mayClaim(e.Name) {
			d.addEndpoint(e, n)
		}
	}
}

// joinAll adds the names of several networks. Where two have one domain, the
// first comes first; a network asks for its own before.
func (d *directory) joinAll(members []*directory) {
	for _, m := range members {
		d.join(m.filled())
	}
}

// join adds the names of another directory that are in its domains. It takes no
// name away.
func (d *directory) join(o *directory) {
	for name, addresses := range o.addresses {
		if _, taken := d.addresses[name]; !taken && o.domain(name) != "" {
			d.addresses[name] = slices.Clip(addresses)
		}
	}
	for a, name := range o.names {
		if _, named := d.names[a]; !named {
			d.names[a] = name
		}
	}
	for domain := range o.domains {
		d.domains[domain] = true
	}
	for parent := range o.parents {
		d.parents[parent] = true
	}
	d.subnets = append(d.subnets, o.subnets...)
}

func (d *directory) addDomains(n model.Network) {
	for _, name := range []string{n.DomainName(), n.OwnDomain()} {
		domain := fqdn(name)
		if domain == "" || d.domains[domain] {
			continue
		}
		d.domains[domain] = true
		for ; domain != "."; domain = above(domain) {
			d.parents[domain] = true
		}
	}
}

// mayClaim reports whether a client that named itself may have that name.
func (d *directory) mayClaim(name string) bool {
	_, taken := d.addresses[fqdn(name)]
	return !taken && model.IsHostLabel(name) && !slices.Contains(untold, strings.ToLower(name))
}

// addEndpoint adds an endpoint's name and aliases, bare and in its network's
// domains. Its name in the network's domain is that of its address.
func (d *directory) addEndpoint(e model.Endpoint, n model.Network) {
	for _, name := range append([]string{e.Name}, e.Aliases...) {
		d.add(fqdn(name), e.Address4())
		for _, domain := range []string{n.DomainName(), n.OwnDomain()} {
			full := fqdn(name + "." + domain)
			d.add(full, e.Address4())
			if _, named := d.names[e.Address4()]; !named && full != "" {
				d.names[e.Address4()] = full
			}
		}
	}
}

// add adds an address to a name. A name that DNS cannot have is left out.
func (d *directory) add(name string, a netip.Addr) {
	if name == "" || slices.Contains(d.addresses[name], a) {
		return
	}
	d.addresses[name] = append(d.addresses[name], a)
	if d.domain(name) == "" {
		return
	}
	for parent := above(name); parent != "."; parent = above(parent) {
		d.parents[parent] = true
	}
}

// domain returns the domain that a name is in, or "".
func (d *directory) domain(name string) string {
	for at := name; at != "."; at = above(at) {
		if d.domains[at] {
			return at
		}
	}
	return ""
}
