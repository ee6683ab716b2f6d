package nat

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"
)

// KindTraffic is an endpoint that hostnat did not attach and that did not ask
// for its address: what it sends tells of it.
const KindTraffic EndpointKind = "traffic"

// Managed reports whether hostnat attached the endpoint; else it was learnt.
func (e Endpoint) Managed() bool { return e.Kind != KindLease && e.Kind != KindTraffic }

// Neighbour is somebody on a bridge who spoke to the host not long ago.
type Neighbour struct {
	Bridge  string // link
	Address netip.Addr
	MAC     MAC
}

// maxHeard is how many endpoints of a network are known by their traffic: one
// who makes up addresses does not fill the daemon's memory.
const maxHeard = 256

// Hear takes over who is on the bridges, besides others perhaps; Learn makes
// endpoints of those who have neither an endpoint's address nor a lease.
func (c *Config) Hear(list []Neighbour) { c.Heard = list }

// heard are the neighbours whose place in a network is not known to be somebody's.
func (c *Config) heard(places, names map[string]bool) []Endpoint {
	networks := make(map[string]Network, len(c.Networks)) // by bridge
	for _, n := range c.Networks {
		networks[n.Bridge] = n
	}
	neighbours := slices.Clone(c.Heard)
	slices.SortFunc(neighbours, func(a, b Neighbour) int {
		return cmp.Or(cmp.Compare(a.Bridge, b.Bridge), a.Address.Compare(b.Address))
	})
	var list []Endpoint
	count := make(map[string]int)
	for _, v := range neighbours {
		n, ok := networks[v.Bridge]
		if !ok || n.Gateway == v.Address || checkHostAddress("address", v.Address, n.Subnet) != nil ||
			places[placeOf(n.Name, v.Address)] || count[n.Name] == maxHeard {
			continue
		}
		count[n.Name]++
		name := heardName(v)
		if names[n.Name+"/"+name] { // somebody has chosen to be called so
			name += "-" + strings.ReplaceAll(string(v.MAC), ":", "")
		}
		list = append(list, Endpoint{Name: name, Network: n.Name, Address: v.Address, MAC: v.MAC, Kind: KindTraffic, Interface: n.Bridge})
	}
	return list
}

// heardName names an endpoint by its address, which no other of its network has.
func heardName(v Neighbour) string { return "ip-" + strings.ReplaceAll(v.Address.String(), ".", "-") }
