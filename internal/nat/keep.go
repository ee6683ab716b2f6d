package nat

import (
	"net/netip"
	"slices"
	"strings"
)

// Remembered is the address that a detached endpoint had: it gets it again.
type Remembered struct {
	Network string     `json:"network"`
	Name    string     `json:"name"`
	Address netip.Addr `json:"address"`
	MAC     MAC        `json:"mac"`
}

// maxRemembered is how many detached endpoints a network remembers; those that
// were detached longest ago are forgotten first.
const maxRemembered = 256

// remember keeps the address of an endpoint that is detached.
func (c *Config) remember(e Endpoint) {
	c.recall(e)
	c.Remembered = append(c.Remembered, Remembered{Network: e.Network, Name: e.Name, Address: e.Address, MAC: e.MAC})
	ofNetwork := 0
	for _, r := range c.Remembered {
		if r.Network == e.Network {
			ofNetwork++
		}
	}
	if ofNetwork > maxRemembered {
		first := slices.IndexFunc(c.Remembered, func(r Remembered) bool { return r.Network == e.Network })
		c.Remembered = slices.Delete(c.Remembered, first, first+1)
	}
}

// recall forgets what is remembered of an endpoint, which is attached again,
// and of its address.
func (c *Config) recall(e Endpoint) {
	n, err := c.Network(e.Network)
	shared := err == nil && n.Private() // the address is everybody's
	c.Remembered = slices.DeleteFunc(c.Remembered, func(r Remembered) bool {
		return r.Network == e.Network && (r.Name == e.Name || r.Address == e.Address && !shared)
	})
}

// place finds an address for an endpoint that was given none: what is reserved
// for it, what it had before, what it has by DHCP, or a free one. Addresses of
// other detached endpoints are taken last.
func (c *Config) place(e Endpoint, network Network, facts HostFacts, choose ChooseAddress) (netip.Addr, error) {
	for _, a := range c.ownAddresses(e) {
		e.Address = a
		if a.IsValid() && c.checkAddress(e, network, facts) == nil {
			return a, nil
		}
	}
	hosts := network.hostsOwn(facts)
	if network.Private() {
		return choose(network, hosts)
	}
	taken := slices.Concat(c.EndpointsOf(network.Name), c.keptAddresses(e), hosts)
	careful := slices.Clone(taken)
	for _, r := range c.Remembered {
		if r.Network == network.Name {
			careful = append(careful, Endpoint{Network: r.Network, Address: r.Address})
		}
	}
	a, err := choose(network, careful)
	if CodeOf(err) == Exhausted {
		return choose(network, taken)
	}
	return a, err
}

// ownAddresses are those that an endpoint has a claim to, the best first.
func (c *Config) ownAddresses(e Endpoint) []netip.Addr {
	own := []netip.Addr{c.ReservedFor(e.Network, e.MAC, e.Name)}
	for _, r := range c.Remembered {
		if r.Network == e.Network && r.Name == e.Name {
			own = append(own, r.Address)
		}
	}
	for _, l := range c.Leases {
		if l.Network == e.Network && e.MAC != "" && l.MAC == e.MAC && l.State == LeaseBound {
			own = append(own, l.Address)
		}
	}
	return own
}

// keptAddresses are those that others than e have or will get, though they are
// no attached endpoints: by reservations and leases, or because they use them.
func (c *Config) keptAddresses(e Endpoint) []Endpoint {
	var list []Endpoint
	for _, r := range c.Reservations {
		if r.Network == e.Network && !r.isFor(e) {
			list = append(list, Endpoint{Network: r.Network, Address: r.Address})
		}
	}
	for _, l := range c.Leases {
		if l.Network == e.Network && (e.MAC == "" || l.MAC != e.MAC) {
			list = append(list, Endpoint{Network: l.Network, Address: l.Address})
		}
	}
	for _, l := range c.Learnt {
		if l.Network == e.Network && l.Kind == KindTraffic && (e.MAC == "" || l.MAC != e.MAC) {
			list = append(list, Endpoint{Network: l.Network, Address: l.Address})
		}
	}
	return list
}

// hostsOwn are the addresses of the subnet that the host itself has, beside the
// gateway's: an adopted bridge may have several, and the host may have come to a
// LAN with the same prefix. To a network that is Apart they are nothing.
func (n Network) hostsOwn(facts HostFacts) []Endpoint {
	var list []Endpoint
	for _, h := range facts.Held() {
		if !n.Apart() && n.Subnet.Contains(h.Address) {
			list = append(list, Endpoint{Network: n.Name, Address: h.Address})
		}
	}
	return list
}

// checkHosts refuses an address that the host itself has.
func (n Network) checkHosts(a netip.Addr, facts HostFacts) error {
	for _, h := range facts.Held() {
		if h.Address == a && !n.Apart() {
			return Errorf(Conflict, "address %s is the host's own (on %s)", a, h.Interface).WithHint("choose another")
		}
	}
	return nil
}

func (r Reservation) isFor(e Endpoint) bool {
	return r.MAC != "" && r.MAC == e.MAC || r.Name != "" && strings.EqualFold(r.Name, e.Name)
}

// checkKept refuses an address that is reserved for, or leased to, somebody else.
func (c *Config) checkKept(e Endpoint) error {
	for _, r := range c.Reservations {
		if r.Network == e.Network && r.Address == e.Address && !r.isFor(e) {
			return Errorf(Conflict, "address %s is reserved for %s", e.Address, r.client()).WithHint("leave the address out to get a free one, or delete the reservation")
		}
	}
	for _, l := range c.Leases {
		if l.Network == e.Network && l.Address == e.Address && (e.MAC == "" || l.MAC != e.MAC) {
			return Errorf(Conflict, "address %s is leased to MAC %s", e.Address, l.MAC).WithHint("leave the address out to get a free one ('hostnat lease list' shows who has which)")
		}
	}
	return nil
}

// macFor is the MAC of an endpoint that was given none: what it had before,
// unless somebody has that now, or one made from its address.
func (c *Config) macFor(e Endpoint, network Network) MAC {
	for _, r := range c.Remembered {
		if r.Network != e.Network || r.Name != e.Name || r.Address != e.Address {
			continue
		}
		if !slices.ContainsFunc(c.neighbours(network), func(o Endpoint) bool { return o.MAC == r.MAC }) {
			return r.MAC
		}
	}
	if network.Private() {
		return DeriveMAC(network.ID, e.Address)
	}
	return DeriveMAC(c.CompartmentID(network.Compartment), e.Address)
}

// notAttached refuses to detach what is not attached.
func (c *Config) notAttached(name string) error {
	e, err := c.Endpoint(name)
	if err != nil {
		return err
	}
	if e.Kind == KindTraffic {
		return Errorf(Conflict, "endpoint %q is not attached by hostnat: somebody uses address %s", name, e.Address).
			WithHint("unplug it from bridge %s", e.Interface)
	}
	return Errorf(Conflict, "endpoint %q is not attached by hostnat: it has address %s by DHCP", name, e.Address).
		WithHint("unplug it from bridge %s, or drop its lease: hostnat lease delete %s %s", e.Interface, e.Network, e.Address)
}

// forgetNetwork drops what is kept for clients of a network that goes.
func (c *Config) forgetNetwork(name string) {
	c.Reservations = slices.DeleteFunc(c.Reservations, func(r Reservation) bool { return r.Network == name })
	c.Remembered = slices.DeleteFunc(c.Remembered, func(r Remembered) bool { return r.Network == name })
	c.Leases = slices.DeleteFunc(c.Leases, func(l Lease) bool { return l.Network == name })
	c.Learnt = slices.DeleteFunc(c.Learnt, func(e Endpoint) bool { return e.Network == name })
}

// moveKept gives what is kept for clients of a network its new address. What
// has no place in a smaller subnet goes; leases are refused by the server.
func (c *Config) moveKept(n *Network, r Renumbering) {
	n.Ranges, n.Exclude = r.moveRanges(n.Ranges), r.moveRanges(n.Exclude)
	n.Routes, n.NTP = r.moveRoutes(n.Routes), r.moveStations(n.NTP)
	c.Reservations = slices.DeleteFunc(c.Reservations, func(v Reservation) bool {
		a, fits := r.move(v.Address)
		return v.Network == n.Name && (!fits || a == n.Gateway)
	})
	for i, v := range c.Reservations {
		if v.Network == n.Name {
			c.Reservations[i].Address, _ = r.move(v.Address)
		}
	}
	c.Remembered = slices.DeleteFunc(c.Remembered, func(v Remembered) bool {
		a, fits := r.move(v.Address)
		return v.Network == n.Name && (!fits || a == n.Gateway)
	})
	for i, v := range c.Remembered {
		if v.Network == n.Name {
			c.Remembered[i].Address, _ = r.move(v.Address)
		}
	}
	c.Leases = slices.DeleteFunc(c.Leases, func(l Lease) bool { return l.Network == n.Name })
	c.Learnt = slices.DeleteFunc(c.Learnt, func(e Endpoint) bool { return e.Network == n.Name })
}

// moveRanges keeps of each range what has a place in the new subnet.
func (r Renumbering) moveRanges(ranges []AddressRange) []AddressRange {
	var list []AddressRange
	for _, v := range ranges {
		low, lowFits := r.move(v.Low)
		high, highFits := r.move(v.High)
		if !highFits {
			high = LastAddress(r.To).Prev()
		}
		if lowFits {
			list = append(list, AddressRange{Low: low, High: high})
		}
	}
	return list
}

// moveRoutes keeps the routes whose gateways have a place in the new subnet.
func (r Renumbering) moveRoutes(routes []Route) []Route {
	var list []Route
	for _, v := range routes {
		if via, fits := r.move(v.Via); fits {
			list = append(list, Route{Prefix: v.Prefix, Via: via})
		}
	}
	return list
}

// moveStations gives those of the addresses that are the network's their new
// ones, and leaves the others.
func (r Renumbering) moveStations(addresses []netip.Addr) []netip.Addr {
	var list []netip.Addr
	for _, a := range addresses {
		fits := true
		if r.From.Contains(a) {
			a, fits = r.move(a)
		}
		if fits {
			list = append(list, a)
		}
	}
	return list
}
