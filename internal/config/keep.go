package config

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/hostnat/hostnat/internal/model"
)

// maxRemembered is how many detached endpoints a network remembers; those that
// were detached longest ago are forgotten first.
const maxRemembered = 256

// remember keeps the address of an endpoint that is detached.
func (c *Config) remember(e model.Endpoint) {
	c.recall(e)
	c.Remembered = append(c.Remembered, model.Remembered{Network: e.Network, Name: e.Name, Address: e.Address4(), MAC: e.MAC})
	ofNetwork := 0
	for _, r := range c.Remembered {
		if r.Network == e.Network {
			ofNetwork++
		}
	}
	if ofNetwork > maxRemembered {
		first := slices.IndexFunc(c.Remembered, func(r model.Remembered) bool { return r.Network == e.Network })
		c.Remembered = slices.Delete(c.Remembered, first, first+1)
	}
}

// recall forgets what is remembered of an endpoint, which is attached again,
// and of its address.
func (c *Config) recall(e model.Endpoint) {
	n, err := c.Network(e.Network)
	shared := err == nil && n.PerEndpoint() // the address is everybody's
	c.Remembered = slices.DeleteFunc(c.Remembered, func(r model.Remembered) bool {
		return r.Network == e.Network && (r.Name == e.Name || r.Address == e.Address4() && !shared)
	})
}

// place finds an address for an endpoint that was given none: what is reserved
// for it, what it had before, what it has by DHCP or has set by hand, or a free one. Addresses of
// other detached endpoints are taken last.
func (c *Config) place(e model.Endpoint, network model.Network, facts model.HostFacts, choose ChooseAddress) (netip.Addr, error) {
	for _, a := range c.ownAddresses(e) {
		e.Addresses = []netip.Addr{a}
		if a.IsValid() && c.checkAddress(e, network, facts) == nil {
			return a, nil
		}
	}
	hosts := hostsOwn(network, facts)
	network.Exclude = slices.Concat(network.Exclude, c.allowedIn(network))
	if network.PerEndpoint() {
		return choose(network, hosts)
	}
	taken := slices.Concat(c.EndpointsOf(network.Name), c.keptAddresses(e), hosts)
	careful := slices.Clone(taken)
	for _, r := range c.Remembered {
		if r.Network == network.Name {
			careful = append(careful, model.Endpoint{Network: r.Network, Addresses: []netip.Addr{r.Address}})
		}
	}
	a, err := choose(network, careful)
	if model.CodeOf(err) == model.Exhausted {
		return choose(network, taken)
	}
	return a, err
}

// ownAddresses are those that an endpoint has a claim to, the best first.
func (c *Config) ownAddresses(e model.Endpoint) []netip.Addr {
	own := []netip.Addr{c.ReservedFor(e.Network, e.MAC, e.Name)}
	for _, r := range c.Remembered {
		if r.Network == e.Network && r.Name == e.Name {
			own = append(own, r.Address)
		}
	}
	for _, l := range c.Leases {
		if l.Network == e.Network && e.MAC != "" && l.MAC == e.MAC && l.State == model.LeaseBound {
			own = append(own, l.Address)
		}
	}
	for _, l := range c.Discovered {
		if l.Network == e.Network && e.MAC != "" && l.MAC == e.MAC && l.Kind == model.KindTraffic {
			own = append(own, l.Address4())
		}
	}
	return own
}

// keptAddresses are those that others than e have or will get, though they are
// no attached endpoints: by reservations and leases, or because they use them.
func (c *Config) keptAddresses(e model.Endpoint) []model.Endpoint {
	var list []model.Endpoint
	for _, r := range c.Reservations {
		if r.Network == e.Network && !isFor(r, e) {
			list = append(list, model.Endpoint{Network: r.Network, Addresses: []netip.Addr{r.Address}})
		}
	}
	for _, l := range c.Leases {
		if l.Network == e.Network && (e.MAC == "" || l.MAC != e.MAC) {
			list = append(list, model.Endpoint{Network: l.Network, Addresses: []netip.Addr{l.Address}})
		}
	}
	for _, l := range c.Discovered {
		if l.Network == e.Network && l.Kind == model.KindTraffic && (e.MAC == "" || l.MAC != e.MAC) {
			list = append(list, model.Endpoint{Network: l.Network, Addresses: []netip.Addr{l.Address4()}})
		}
	}
	return list
}

// hostsOwn are the addresses of the subnet that the host itself has, beside the
// gateway's: an adopted bridge may have several, and the host may have come to a
// LAN with the same prefix. To a network that is Unrouted they are nothing.
func hostsOwn(n model.Network, facts model.HostFacts) []model.Endpoint {
	var list []model.Endpoint
	for _, h := range facts.Held() {
		if !n.Unrouted() && n.Subnet4().Contains(h.Address) {
			list = append(list, model.Endpoint{Network: n.Name, Addresses: []netip.Addr{h.Address}})
		}
	}
	return list
}

// checkHosts refuses an address that the host itself has.
func checkHosts(n model.Network, a netip.Addr, facts model.HostFacts) error {
	for _, h := range facts.Held() {
		if h.Address == a && !n.Unrouted() {
			return model.Errorf(model.Conflict, "address %s is the host's own (on %s)", a, h.Interface).WithHint("choose another")
		}
	}
	return nil
}

func isFor(r model.Reservation, e model.Endpoint) bool {
	return r.MAC != "" && r.MAC == e.MAC || r.Name != "" && strings.EqualFold(r.Name, e.Name)
}

// checkKept refuses an address that is reserved for, or leased to, somebody else.
func (c *Config) checkKept(e model.Endpoint) error {
	for _, r := range c.Reservations {
		if r.Network == e.Network && r.Address == e.Address4() && !isFor(r, e) {
			return model.Errorf(model.Conflict, "address %s is reserved for %s", e.Address4(), client(r)).WithHint("leave the address out to get a free one, or delete the reservation")
		}
	}
	for _, l := range c.Leases {
		if l.Network == e.Network && l.Address == e.Address4() && (e.MAC == "" || l.MAC != e.MAC) {
			return model.Errorf(model.Conflict, "address %s is leased to MAC %s", e.Address4(), l.MAC).WithHint("leave the address out to get a free one ('hostnat lease list' shows who has which)")
		}
	}
	return nil
}

// macFor is the MAC of an endpoint that was given none: what it had before,
// unless somebody has that now, or one made from its address.
func (c *Config) macFor(e model.Endpoint, network model.Network) model.MAC {
	for _, r := range c.Remembered {
		if r.Network != e.Network || r.Name != e.Name || r.Address != e.Address4() {
			continue
		}
		if !slices.ContainsFunc(c.neighbours(network), func(o model.Endpoint) bool { return o.MAC == r.MAC }) {
			return r.MAC
		}
	}
	if network.PerEndpoint() {
		return model.DeriveMAC(network.ID, e.Address4())
	}
	return model.DeriveMAC(c.CompartmentID(network.Compartment), e.Address4())
}

// notAttached refuses to detach what is not attached.
func (c *Config) notAttached(name string) error {
	e, err := c.Endpoint(name)
	if err != nil {
		return err
	}
	if e.Kind == model.KindTraffic {
		return model.Errorf(model.Conflict, "endpoint %q is not attached by hostnat: somebody uses address %s", name, e.Address4()).
			WithHint("unplug it from bridge %s", e.Interface)
	}
	return model.Errorf(model.Conflict, "endpoint %q is not attached by hostnat: it has address %s by DHCP", name, e.Address4()).
		WithHint("unplug it from bridge %s, or drop its lease: hostnat lease delete %s %s", e.Interface, e.Network, e.Address4())
}

// forgetNetwork drops what is kept for clients of a network that goes.
func (c *Config) forgetNetwork(name string) {
	c.Reservations = slices.DeleteFunc(c.Reservations, func(r model.Reservation) bool { return r.Network == name })
	c.Remembered = slices.DeleteFunc(c.Remembered, func(r model.Remembered) bool { return r.Network == name })
	c.Leases = slices.DeleteFunc(c.Leases, func(l model.Lease) bool { return l.Network == name })
	c.Discovered = slices.DeleteFunc(c.Discovered, func(e model.Endpoint) bool { return e.Network == name })
}
