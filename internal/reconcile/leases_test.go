package reconcile

import (
	"net/netip"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/hostnat/hostnat/internal/datapath"
	"github.com/hostnat/hostnat/internal/nat"
)

// The data path is told of those who have an address by DHCP alone.
func TestLeasesOf(t *testing.T) {
	t.Parallel()
	end := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	lease := func(network, address string, state nat.LeaseState) nat.Lease {
		return nat.Lease{Network: network, Address: netip.MustParseAddr(address), MAC: "02:00:00:00:00:70", State: state, Expires: end}
	}
	c := nat.Config{
		Compartments: []nat.Compartment{{Name: nat.DefaultCompartment, ID: 1}, {Name: "blue", ID: 7}},
		Networks:     []nat.Network{{Name: "web", Compartment: nat.DefaultCompartment}, {Name: "twin", Compartment: "blue"}},
		Endpoints:    []nat.Endpoint{{Name: "vm", Network: "web", Address: netip.MustParseAddr("172.16.1.2")}},
		Leases: []nat.Lease{
			lease("web", "172.16.1.2", nat.LeaseBound), // the endpoint's own
			lease("twin", "172.16.1.2", nat.LeaseBound),
			lease("web", "172.16.1.10", nat.LeaseBound),
			lease("web", "172.16.1.11", nat.LeaseOffered),
			lease("web", "172.16.1.12", nat.LeaseDeclined),
			lease("web", "172.16.1.13", nat.LeaseReleased),
			lease("gone", "172.16.1.14", nat.LeaseBound),
		},
	}
	want := []datapath.Lease{
		{Compartment: 7, Address: netip.MustParseAddr("172.16.1.2"), MAC: "02:00:00:00:00:70", Until: end},
		{Compartment: 1, Address: netip.MustParseAddr("172.16.1.10"), MAC: "02:00:00:00:00:70", Until: end},
	}
	if diff := gocmp.Diff(want, leasesOf(c), compareNetip); diff != "" {
		t.Errorf("leases (-want +got):\n%s", diff)
	}
}
