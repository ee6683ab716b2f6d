package reconcile

import (
	"context"

	"github.com/hostnat/hostnat/internal/config"
	"github.com/hostnat/hostnat/internal/datapath"
)

// ChangeLeases tells the data path of a configuration in which nothing but leases is new.
// Sessions of who has one carry its name from then on.
func (k *Kernel) ChangeLeases(_ context.Context, c config.Config) error {
	k.mu.Lock()
	k.names = namesOf(c)
	k.mu.Unlock()
	if k.applied == nil {
		return nil // Apply is due, and tells it
	}
	leases := leasesOf(c)
	if _, err := k.datapath.Change(datapath.Part{Leases: &leases}); err != nil {
		k.applied = nil // what is known is to be found out anew
		return err
	}
	return nil
}

// leasesOf are those of clients that are no endpoints of ours.
func leasesOf(c config.Config) []datapath.Lease {
	leases := c.ClientLeases()
	if len(leases) == 0 {
		return nil
	}
	compartments := make(map[string]uint32, len(c.Networks))
	for _, n := range c.Networks {
		compartments[n.Name] = c.CompartmentID(n.Compartment)
	}
	list := make([]datapath.Lease, 0, len(leases))
	for _, l := range leases {
		list = append(list, datapath.Lease{Compartment: compartments[l.Network], Address: l.Address, MAC: l.MAC, Until: l.Expires})
	}
	return list
}
