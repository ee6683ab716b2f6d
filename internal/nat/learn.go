package nat

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// KindLease is an endpoint that hostnat did not attach: it asked for an address
// by DHCP.
const KindLease EndpointKind = "lease"

// Learn takes over what the DHCP servers know at a moment: Leases and Learnt,
// which are no part of the desired state and are not stored.
func (c *Config) Learn(leases []Lease, now time.Time) {
	c.Leases = slices.DeleteFunc(slices.Clone(leases), func(l Lease) bool { return !l.Holds(now) })
	c.Learnt = c.learnt()
	if c.firstWith(func(t *Target) bool { return t.MAC != "" }) >= 0 {
		c.editTargets(func(_ *Mapping, _ int, t *Target) { c.followLease(t) })
	}
}

// followLease points a mapping's target that is a DHCP client at the address
// that the client has now. The client is known by its MAC: another one that
// takes its name gets nothing. One that is known by several addresses has what
// its lease says; without one, what it had.
func (c *Config) followLease(t *Target) {
	if t.MAC == "" {
		return
	}
	had, best := t.Internal.Address, 0
	t.Internal.Address = netip.IPv4Unspecified()
	for _, e := range c.Learnt {
		if e.MAC != t.MAC || e.Network != t.Network {
			continue
		}
		claim := 1
		switch {
		case e.Name == t.Endpoint:
			claim = 4
		case e.Kind == KindLease:
			claim = 3
		case e.Address == had:
			claim = 2
		}
		if claim > best {
			best, t.Internal.Address = claim, e.Address
		}
	}
}

// learnt are the clients with a lease that are no endpoint of ours, as
// endpoints with names that are unique in their network. The name is the hostname
// that the client gave; where an endpoint or an earlier client has that, the
// end of its MAC is added, so that no client can take a name from another. After
// them come those that were heard of and have no lease.
func (c *Config) learnt() []Endpoint {
	leases := c.ClientLeases()
	slices.SortStableFunc(leases, func(a, b Lease) int {
		return cmp.Or(a.Since.Compare(b.Since), cmp.Compare(a.Network, b.Network), a.Address.Compare(b.Address))
	})
	names := make(map[string]bool) // "NETWORK/NAME", with the name in lower case
	places := make(map[string]bool)
	for _, e := range c.Endpoints {
		names[e.Network+"/"+strings.ToLower(e.Name)] = true
		places[placeOf(e.Network, e.Address)] = true
	}
	var list []Endpoint
	for _, l := range leases {
		n, err := c.Network(l.Network)
		if err != nil {
			continue
		}
		taken := func(name string) bool { return names[n.Name+"/"+name] }
		e := Endpoint{Name: learntName(l, taken), Network: n.Name, Address: l.Address, MAC: l.MAC, Kind: KindLease, Interface: n.Bridge}
		names[n.Name+"/"+e.Name], places[placeOf(n.Name, e.Address)] = true, true
		list = append(list, e)
	}
	return append(list, c.heard(places, names)...)
}

// ClientLeases returns the leases that clients hold who are no endpoints of ours, in
// networks that there are.
func (c *Config) ClientLeases() []Lease {
	if len(c.Leases) == 0 {
		return nil
	}
	networks, managed := make(map[string]bool, len(c.Networks)), make(map[string]bool, len(c.Endpoints))
	for _, n := range c.Networks {
		networks[n.Name] = true
	}
	for _, e := range c.Endpoints {
		managed[placeOf(e.Network, e.Address)] = true
	}
	return slices.DeleteFunc(slices.Clone(c.Leases), func(l Lease) bool {
		return l.State != LeaseBound || !networks[l.Network] || managed[placeOf(l.Network, l.Address)]
	})
}

func placeOf(network string, a netip.Addr) string { return network + "/" + a.String() }

func learntName(l Lease, taken func(name string) bool) string {
	digits := strings.ReplaceAll(string(l.MAC), ":", "")
	names := []string{l.Hostname, l.Hostname + "-" + digits[max(0, len(digits)-6):], l.Hostname + "-" + digits}
	if l.Hostname == "" {
		names = []string{"dhcp-" + digits}
	}
	for _, name := range names {
		if CheckName("endpoint", name) == nil && !taken(name) {
			return name
		}
	}
	// One card, several clients, one name: the address tells them apart.
	return "dhcp-" + digits + "-" + strings.ReplaceAll(l.Address.String(), ".", "-")
}
