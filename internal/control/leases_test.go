package control

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/hostnat/hostnat/internal/config"
	"github.com/hostnat/hostnat/internal/model"
	"github.com/hostnat/hostnat/internal/store"
)

// fakeLeases are leases for tests.
type fakeLeases struct {
	list    []model.Lease
	refuse  int // how many of the next Holds fail, each with a lease that came first
	held    []netip.Addr
	dropped []netip.Addr
}

func (f *fakeLeases) Leases(time.Time) []model.Lease { return f.list }

func (f *fakeLeases) Hold(network string, a netip.Addr, _ model.MAC, now time.Time) bool {
	if f.refuse > 0 {
		f.refuse--
		f.list = append(f.list, model.Lease{Network: network, Address: a, MAC: "02:00:00:00:00:99", State: model.LeaseBound, Since: now, Expires: now.Add(time.Hour)})
		return false
	}
	f.held = append(f.held, a)
	return true
}

func (f *fakeLeases) Forget(_ string, a netip.Addr) (model.Lease, bool, error) {
	f.dropped = append(f.dropped, a)
	return model.Lease{}, true, nil
}

func withLeases(t *testing.T) (*Control, *fakeKernel, *fakeLeases) {
	t.Helper()
	s, err := store.Open(store.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	k, f := &fakeKernel{}, &fakeLeases{}
	c, err := New(Options{Store: s, Kernel: k, Leases: f})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.CreateNetwork(t.Context(), config.NetworkSpec{Name: "web", Subnet: "172.16.1.0/24"}); err != nil {
		t.Fatal(err)
	}
	return c, k, f
}

// An address that a client takes while an endpoint is being attached is the client's.
func TestAttachBesideDHCP(t *testing.T) {
	t.Parallel()
	c, _, f := withLeases(t)
	f.refuse = 2
	e, err := c.AttachEndpoint(t.Context(), config.EndpointSpec{Network: "web", Name: "c1", Netns: "c1"})
	if err != nil || e.Address4() != netip.MustParseAddr("172.16.1.4") || len(f.held) != 1 {
		t.Errorf("%v, %v, held %v", e.Address4(), err, f.held)
	}
	f.refuse = 1
	_, err = c.AttachEndpoint(t.Context(), config.EndpointSpec{Network: "web", Name: "c2", Netns: "c2", Address: "172.16.1.9"})
	if model.CodeOf(err) != model.Conflict {
		t.Errorf("an address that was leased at that moment: %v", err)
	}
	if err := c.DetachEndpoint(t.Context(), "c1"); err != nil || len(f.dropped) != 1 {
		t.Errorf("%v, dropped %v", err, f.dropped)
	}
}

func TestLeasesChanged(t *testing.T) {
	t.Parallel()
	c, k, f := withLeases(t)
	ctx := t.Context()
	bob := func(a string) model.Lease {
		return model.Lease{Network: "web", Address: netip.MustParseAddr(a), MAC: "02:00:00:00:00:b0", Hostname: "bob", State: model.LeaseBound, Expires: time.Now().Add(time.Hour)}
	}
	servers := &fakeServers{}
	c.servers = servers
	f.list = []model.Lease{bob("172.16.1.30")}
	applied := len(k.applied)
	if err := c.LeasesChanged(ctx); err != nil || len(k.applied) != applied {
		t.Errorf("%v; the kernel is changed for a lease that nothing hangs on", err)
	}
	if want := []string{"leases 1"}; !slices.Equal(servers.told, want) {
		t.Errorf("the servers are told %q, want %q", servers.told, want)
	}
	if want := []int{1}; !slices.Equal(k.leases, want) {
		t.Errorf("the kernel is told of %d leases, want %d", k.leases, want)
	}
	list, err := c.Endpoints(ctx, "web")
	if err != nil || len(list) != 1 || list[0].Name != "bob" || list[0].Managed || list[0].Kind != model.KindLease {
		t.Errorf("endpoints: %+v, %v", list, err)
	}
	if _, err := c.AddMapping(ctx, config.MappingSpec{Protocol: "tcp", External: "9999", Internal: "bob:80"}); err != nil {
		t.Fatal(err)
	}
	f.list = []model.Lease{bob("172.16.1.31")}
	if err := c.LeasesChanged(ctx); err != nil {
		t.Fatal(err)
	}
	if got := k.last().Mappings[0].InternalText(); got != "172.16.1.31:80" {
		t.Errorf("the kernel's mapping leads to %s", got)
	}
	leases, err := c.DHCPLeases(ctx, "web")
	if err != nil || len(leases) != 1 || leases[0].Endpoint != "bob" {
		t.Errorf("leases: %+v, %v", leases, err)
	}
	f.list = nil
	if err := c.LeasesChanged(ctx); err != nil || len(k.last().Mappings) != 0 {
		t.Errorf("%v; without the client the kernel has %+v", err, k.last().Mappings)
	}
}

// Who is on a bridge is an endpoint as soon as somebody looks, and its name leads
// to it.
func TestObservedEndpoints(t *testing.T) {
	t.Parallel()
	c, k, _ := withLeases(t)
	ctx := t.Context()
	if list, err := c.Endpoints(ctx, "web"); err != nil || len(list) != 0 {
		t.Fatalf("endpoints: %+v, %v", list, err)
	}
	k.observed = []model.Neighbour{{Bridge: "hn-web", Address: netip.MustParseAddr("172.16.1.9"), MAC: "02:00:00:00:00:09"}}
	list, err := c.Endpoints(ctx, "web")
	if err != nil || len(list) != 1 || list[0].Name != "ip-172-16-1-9" || list[0].Managed || list[0].Kind != model.KindTraffic {
		t.Errorf("endpoints: %+v, %v", list, err)
	}
	if m, err := c.AddMapping(ctx, config.MappingSpec{Protocol: "tcp", External: "9999", Internal: "ip-172-16-1-9:80"}); err != nil || m.Internal != "172.16.1.9:80" {
		t.Errorf("mapping: %+v, %v", m, err)
	}
	k.observed = nil
	if list, err := c.Endpoints(ctx, "web"); err != nil || len(list) != 0 {
		t.Errorf("endpoints when it is gone: %+v, %v", list, err)
	}
	if got := k.last().Mappings[0].InternalText(); got != "172.16.1.9:80" {
		t.Errorf("the mapping leads to %s", got)
	}
	// What cannot be asked is as it was.
	k.observed = []model.Neighbour{{Bridge: "hn-web", Address: netip.MustParseAddr("172.16.1.9"), MAC: "02:00:00:00:00:09"}}
	if e, err := c.Endpoint(ctx, "ip-172-16-1-9"); err != nil || e.Address4().String() != "172.16.1.9" {
		t.Errorf("%+v, %v", e, err)
	}
	k.broken = errKernel
	if list, err := c.Endpoints(ctx, "web"); err != nil || len(list) != 1 {
		t.Errorf("endpoints when nobody can be heard of: %+v, %v", list, err)
	}
}
