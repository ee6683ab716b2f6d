package control

import (
	"net/netip"
	"testing"
	"time"

	"github.com/hostnat/hostnat/internal/config"
	"github.com/hostnat/hostnat/internal/model"
)

// withClones has two clones in the network snap, the second with a lease.
func withClones(t *testing.T) (*Control, *fakeKernel, *fakeLeases) {
	t.Helper()
	c, k, f := withLeases(t)
	if _, err := c.CreateNetwork(t.Context(), config.NetworkSpec{Name: "snap", Subnet: "172.16.1.0/24", Compartment: model.EachCompartment}); err != nil {
		t.Fatal(err)
	}
	f.refuse = 1 << 10 // nobody asks whether an address is free that only the endpoint can have
	for _, name := range []string{"e1", "e2"} {
		if _, err := c.AttachEndpoint(t.Context(), config.EndpointSpec{Network: "snap", Name: name, Netns: name}); err != nil {
			t.Fatal(err)
		}
	}
	f.list = []model.Lease{{Network: "snap/e2", Address: netip.MustParseAddr("172.16.1.2"), MAC: "02:00:00:00:00:77", State: model.LeaseBound, Expires: time.Now().Add(time.Hour)}}
	return c, k, f
}

// The kernel is told of point-to-point links; people are not.
func TestPrivateEndpoints(t *testing.T) {
	t.Parallel()
	c, k, _ := withClones(t)
	told := map[string]bool{}
	for _, n := range k.applied[len(k.applied)-1].Networks {
		told[n.Name] = true
	}
	if !told["snap/e1"] || !told["snap/e2"] || told["snap"] || !told["web"] {
		t.Errorf("the kernel is told of networks %v", told)
	}
	networks, err := c.Networks(t.Context())
	if err != nil || len(networks) != 2 || networks[1].Name != "snap" {
		t.Errorf("networks %+v, %v", networks, err)
	}
	views, err := c.Endpoints(t.Context(), "snap")
	if err != nil || len(views) != 2 {
		t.Fatalf("endpoints %+v, %v", views, err)
	}
	for _, v := range views {
		if v.Network != "snap" || v.Address4() != netip.MustParseAddr("172.16.1.2") || v.Gateway != netip.MustParseAddr("172.16.1.1") || v.Domain != "snap.internal" {
			t.Errorf("endpoint %+v", v)
		}
	}
}

func TestLeasesOfPrivateEndpoints(t *testing.T) {
	t.Parallel()
	c, _, _ := withClones(t)
	for _, network := range []string{"", "snap"} {
		leases, err := c.DHCPLeases(t.Context(), network)
		if err != nil || len(leases) != 1 || leases[0].Network != "snap" || leases[0].Endpoint != "e2" {
			t.Errorf("leases of %q: %+v, %v", network, leases, err)
		}
	}
	if leases, err := c.DHCPLeases(t.Context(), "web"); err != nil || len(leases) > 0 {
		t.Errorf("leases of web: %+v, %v", leases, err)
	}
	if err := c.DeleteLease(t.Context(), "snap", "172.16.1.2"); model.CodeOf(err) != model.Conflict {
		t.Errorf("deleting one: %v", err)
	}
}
