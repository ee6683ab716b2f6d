package datapath

import (
	"net/netip"
	"time"

	"github.com/hostnat/hostnat/internal/datapath/kernel"
	"github.com/hostnat/hostnat/internal/model"
)

// Lease is an address that somebody who is no managed endpoint has by DHCP: from
// the ports of its bridge nobody else may speak for it.
type Lease struct {
	Compartment uint32
	Address     netip.Addr
	MAC         model.MAC
	Until       time.Time
}

// maxLeases is the size of the map. Who comes after that is not protected.
const maxLeases = 65536

// leaseValues have their ends in whole seconds, at most one too late: the two
// clocks cannot be read at once, and the same lease shall be the same value.
func leaseValues(list []Lease, now clock) map[kernel.EndpointKey]kernel.Lease {
	values := make(map[kernel.EndpointKey]kernel.Lease, len(list))
	for _, l := range list {
		if len(values) == maxLeases {
			break
		}
		until := time.Duration(now.monotonic) + l.Until.Sub(now.wall)
		if until <= 0 {
			continue
		}
		values[kernel.EndpointKey{Compartment: l.Compartment, Address: kernel.AddressOf(l.Address)}] = kernel.Lease{
			Until: uint64(until.Round(time.Second) + time.Second/2), Mac: kernel.MACOf(l.MAC),
		}
	}
	return values
}
