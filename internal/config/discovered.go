package config

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/hostnat/hostnat/internal/model"
)

// maxObserved is how many endpoints of a network are known by their traffic: one
// who makes up addresses does not fill the daemon's memory.
const maxObserved = 256

// SetObserved takes over who is on the bridges, besides others perhaps; SetLeases
// makes endpoints of those who have neither an endpoint's address nor a lease.
func (c *Config) SetObserved(list []model.Neighbour) { c.Observed = list }

// observed are the neighbours whose place in a network is not known to be somebody's.
func (c *Config) observed(places, names map[string]bool) []model.Endpoint {
	networks := make(map[string]model.Network, len(c.Networks)) // by bridge
	for _, n := range c.Networks {
		networks[n.Bridge] = n
	}
	neighbours := slices.Clone(c.Observed)
	slices.SortFunc(neighbours, func(a, b model.Neighbour) int {
		return cmp.Or(cmp.Compare(a.Bridge, b.Bridge), a.Address.Compare(b.Address))
	})
	var list []model.Endpoint
	count := make(map[string]int)
	for _, v := range neighbours {
		n, ok := networks[v.Bridge]
		if !ok || n.Gateway4() == v.Address || checkHostAddress("address", v.Address, n.Subnet4()) != nil ||
			places[placeOf(n.Name, v.Address)] || c.isAllowed(n.Name, v.Address) || count[n.Name] == maxObserved {
			continue
		}
		count[n.Name]++
		name := c.Guests[v.MAC]
		if name == "" || names[n.Name+"/"+name] || model.CheckName("endpoint", name) != nil {
			name = observedName(v)
		}
		if names[n.Name+"/"+name] { // somebody has chosen to be called so
			name += "-" + strings.ReplaceAll(string(v.MAC), ":", "")
		}
		names[n.Name+"/"+name] = true
		list = append(list, model.Endpoint{Name: name, Network: n.Name, Addresses: []netip.Addr{v.Address}, MAC: v.MAC, Kind: model.KindTraffic, Interface: n.Bridge})
	}
	return list
}

// isAllowed reports whether an endpoint of the network may have the address beside its own:
// who is seen with it is that endpoint, or another that may have it too.
func (c *Config) isAllowed(network string, a netip.Addr) bool {
	return slices.ContainsFunc(c.Endpoints, func(e model.Endpoint) bool {
		_, allowed := e.Allowed(a)
		return allowed && e.Network == network
	})
}

// observedName names an endpoint by its address, which no other of its network has.
func observedName(v model.Neighbour) string {
	return "ip-" + strings.ReplaceAll(v.Address.String(), ".", "-")
}

// SetLeases takes over what the DHCP servers know at a moment: Leases and Discovered,
// which are no part of the desired state and are not stored.
func (c *Config) SetLeases(leases []model.Lease, now time.Time) {
	c.Leases = slices.DeleteFunc(slices.Clone(leases), func(l model.Lease) bool { return !l.Holds(now) })
	c.Discovered = c.discovered()
	if c.firstWith(func(t *model.Target) bool { return t.MAC != "" }) >= 0 {
		c.editTargets(func(_ *model.Mapping, _ int, t *model.Target) { c.followLease(t) })
	}
}

// followLease points a mapping's target that is a DHCP client at the address
// that the client has now. The client is known by its MAC: another one that
// takes its name gets nothing. One that is known by several addresses has what
// its lease says; without one, what it had.
func (c *Config) followLease(t *model.Target) {
	if t.MAC == "" {
		return
	}
	had, best := t.Internal.Address, 0
	t.Internal.Address = netip.IPv4Unspecified()
	for _, e := range c.Discovered {
		if e.MAC != t.MAC || e.Network != t.Network {
			continue
		}
		claim := 1
		switch {
		case e.Name == t.Endpoint:
			claim = 4
		case e.Kind == model.KindLease:
			claim = 3
		case e.Address4() == had:
			claim = 2
		}
		if claim > best {
			best, t.Internal.Address = claim, e.Address4()
		}
	}
}

// discovered are the clients with a lease that are no endpoint of ours, as
// endpoints with names that are unique in their network. The name is that which the
// host knows the guest by, else the hostname that the client gave; where an endpoint or
// an earlier client has that, the end of its MAC is added, so that no client can take a
// name from another. After them come those that were observed and have no lease.
func (c *Config) discovered() []model.Endpoint {
	leases := c.ClientLeases()
	slices.SortStableFunc(leases, func(a, b model.Lease) int {
		// Those whom the host names go first: a client may call itself as it likes.
		return cmp.Or(cmp.Compare(c.Guests[b.MAC], c.Guests[a.MAC]), a.Since.Compare(b.Since), cmp.Compare(a.Network, b.Network), a.Address.Compare(b.Address))
	})
	names := make(map[string]bool) // "NETWORK/NAME", with the name in lower case
	places := make(map[string]bool)
	for _, e := range c.Endpoints {
		names[e.Network+"/"+strings.ToLower(e.Name)] = true
		places[placeOf(e.Network, e.Address4())] = true
	}
	var list []model.Endpoint
	for _, l := range leases {
		n, err := c.Network(l.Network)
		if err != nil {
			continue
		}
		taken := func(name string) bool { return names[n.Name+"/"+name] }
		e := model.Endpoint{Name: clientName(l, c.Guests[l.MAC], taken), Network: n.Name, Addresses: []netip.Addr{l.Address}, MAC: l.MAC, Kind: model.KindLease, Interface: n.Bridge}
		names[n.Name+"/"+e.Name], places[placeOf(n.Name, e.Address4())] = true, true
		list = append(list, e)
	}
	return append(list, c.observed(places, names)...)
}

// ClientLeases returns the leases that clients hold who are no endpoints of ours, in
// networks that there are.
func (c *Config) ClientLeases() []model.Lease {
	if len(c.Leases) == 0 {
		return nil
	}
	networks, managed := make(map[string]bool, len(c.Networks)), make(map[string]bool, len(c.Endpoints))
	for _, n := range c.Networks {
		networks[n.Name] = true
	}
	for _, e := range c.Endpoints {
		managed[placeOf(e.Network, e.Address4())] = true
	}
	return slices.DeleteFunc(slices.Clone(c.Leases), func(l model.Lease) bool {
		return l.State != model.LeaseBound || !networks[l.Network] || managed[placeOf(l.Network, l.Address)]
	})
}

func placeOf(network string, a netip.Addr) string { return network + "/" + a.String() }

// clientName is the name that the host knows a client by, or the one that it gives itself.
func clientName(l model.Lease, guest string, taken func(name string) bool) string {
	digits := strings.ReplaceAll(string(l.MAC), ":", "")
	var names []string
	for _, own := range []string{guest, l.Hostname} {
		if own != "" {
			names = append(names, own, own+"-"+digits[max(0, len(digits)-6):], own+"-"+digits)
		}
	}
	if names == nil {
		names = []string{"dhcp-" + digits}
	}
	for _, name := range names {
		if model.CheckName("endpoint", name) == nil && !taken(name) {
			return name
		}
	}
	// One card, several clients, one name: the address tells them apart.
	return "dhcp-" + digits + "-" + strings.ReplaceAll(l.Address.String(), ".", "-")
}
