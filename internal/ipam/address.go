// Package ipam chooses free addresses and subnets. It is pure: what is in use
// is passed in, and nothing is kept.
package ipam

import (
	"net/netip"

	"github.com/hostnat/hostnat/internal/nat"
)

// FreeAddress returns the lowest address of the network that no endpoint of it
// has. The gateway, the network and the broadcast address, and what the network
// excludes, are never returned.
func FreeAddress(network nat.Network, endpoints []nat.Endpoint) (netip.Addr, error) {
	used := map[netip.Addr]bool{network.Gateway: true}
	for _, e := range endpoints {
		if e.Network == network.Name {
			used[e.Address] = true
		}
	}
	broadcast := nat.LastAddress(network.Subnet)
	for a := network.Subnet.Addr().Next(); a.Less(broadcast); a = a.Next() {
		if !used[a] && !network.Excludes(a) {
			return a, nil
		}
	}
	return netip.Addr{}, nat.Errorf(nat.Exhausted, "network %q (%s) has no free address", network.Name, network.Subnet).
		WithHint("detach an endpoint, or create a larger network")
}
