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
	c.editTargets(func(_ *Mapping, _ int, t *Target) { c.followLease(t) })
}

// followLease points a mapping's target that is a DHCP client at the address
// that the client has now. The client is known by its MAC: another one that
// takes its name gets nothing.
func (c *Config) followLease(t *Target) {
	if t.MAC == "" {
		return
	}
	t.Internal.Address = netip.IPv4Unspecified()
	for _, e := range c.Learnt {
		if e.MAC == t.MAC && e.Network == t.Network && (e.Name == t.Endpoint || !t.Resolved()) {
			t.Internal.Address = e.Address
		}
	}
}

// learnt are the clients with a lease that are no endpoint of ours, as
// endpoints with names that are unique on the host. The name is the hostname
// that the client gave; where an endpoint or an earlier client has that, the
// end of its MAC is added, so that no client can take a name from another.
func (c *Config) learnt() []Endpoint {
	leases := slices.Clone(c.Leases)
	slices.SortStableFunc(leases, func(a, b Lease) int {
		return cmp.Or(a.Since.Compare(b.Since), cmp.Compare(a.Network, b.Network), a.Address.Compare(b.Address))
	})
	taken := make(map[string]bool)
	managed := make(map[string]bool)
	for _, e := range c.Endpoints {
		taken[strings.ToLower(e.Name)] = true
		managed[e.Network+"/"+e.Address.String()] = true
	}
	var list []Endpoint
	for _, l := range leases {
		n, err := c.Network(l.Network)
		if err != nil || l.State != LeaseBound || managed[l.Network+"/"+l.Address.String()] {
			continue
		}
		e := Endpoint{Name: learntName(l, taken), Network: n.Name, Address: l.Address, MAC: l.MAC, Kind: KindLease, Interface: n.Bridge}
		taken[e.Name] = true
		list = append(list, e)
	}
	return list
}

func learntName(l Lease, taken map[string]bool) string {
	digits := strings.ReplaceAll(string(l.MAC), ":", "")
	names := []string{l.Hostname, l.Hostname + "-" + digits[max(0, len(digits)-6):], l.Hostname + "-" + digits}
	if l.Hostname == "" {
		names = []string{"dhcp-" + digits}
	}
	for _, name := range names {
		if CheckName("endpoint", name) == nil && !taken[name] {
			return name
		}
	}
	// One card, several clients, one name: the address tells them apart.
	return "dhcp-" + digits + "-" + strings.ReplaceAll(l.Address.String(), ".", "-")
}
