package reconcile

import (
	"net/netip"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/hostnat/hostnat/internal/config"
	"github.com/hostnat/hostnat/internal/datapath"
	"github.com/hostnat/hostnat/internal/model"
)

// The data path is told of those who have an address by DHCP alone.
func TestLeasesOf(t *testing.T) {
	t.Parallel()
	end := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	lease := func(network, address string, state model.LeaseState) model.Lease {
		return model.Lease{Network: network, Address: netip.MustParseAddr(address), MAC: "02:00:00:00:00:70", State: state, Expires: end}
	}
	c := config.Config{
		Compartments: []model.Compartment{{Name: model.DefaultCompartment, ID: 1}, {Name: "blue", ID: 7}},
		Networks:     []model.Network{{Name: "web", Compartment: model.DefaultCompartment}, {Name: "twin", Compartment: "blue"}},
		Endpoints:    []model.Endpoint{{Name: "vm", Network: "web", Addresses: []netip.Addr{netip.MustParseAddr("172.16.1.2")}}},
		Leases: []model.Lease{
			lease("web", "172.16.1.2", model.LeaseBound), // the endpoint's own
			lease("twin", "172.16.1.2", model.LeaseBound),
			lease("web", "172.16.1.10", model.LeaseBound),
			lease("web", "172.16.1.11", model.LeaseOffered),
			lease("web", "172.16.1.12", model.LeaseDeclined),
			lease("web", "172.16.1.13", model.LeaseReleased),
			lease("gone", "172.16.1.14", model.LeaseBound),
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
