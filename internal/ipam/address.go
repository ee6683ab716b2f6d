// Package ipam chooses free addresses and subnets. It is pure: what is in use
// is passed in, and nothing is kept.
package ipam

import (
	"net/netip"

	"github.com/hostnat/hostnat/internal/model"
)

// FreeAddress returns the lowest address of the network that no endpoint of it
// has. The gateway, the network and the broadcast address, and what the network
// excludes, are never returned.
func FreeAddress(network model.Network, endpoints []model.Endpoint) (netip.Addr, error) {
	used := map[netip.Addr]bool{network.Gateway4(): true}
	for _, e := range endpoints {
		if e.Network == network.Name {
			used[e.Address4()] = true
		}
	}
	broadcast := model.LastAddress(network.Subnet4())
	for a := network.Subnet4().Addr().Next(); a.Less(broadcast); a = a.Next() {
		if !used[a] && !network.Excludes(a) {
			return a, nil
		}
	}
	return netip.Addr{}, model.Errorf(model.Exhausted, "network %q (%s) has no free address", network.Name, network.Subnet4()).
		WithHint("detach an endpoint, or create a larger network")
}
