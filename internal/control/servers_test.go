package control

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/hostnat/hostnat/internal/config"
	"github.com/hostnat/hostnat/internal/model"
)

// fakeServers notes what it is told.
type fakeServers struct{ told []string }

func (f *fakeServers) Serve(_ context.Context, c config.Config, _ model.HostFacts) {
	f.told = append(f.told, fmt.Sprintf("serve %d", len(c.Networks)))
}

func (f *fakeServers) ChangeLeases(_ context.Context, c config.Config) {
	f.told = append(f.told, fmt.Sprintf("leases %d", len(c.Networks)))
}

// TestServersFollow: when a change is done, or undone, the servers know it; after
// Down they serve nothing, and do not come back by a lease.
func TestServersFollow(t *testing.T) {
	t.Parallel()
	c, k, _ := withLeases(t)
	f := &fakeServers{}
	c.servers = f
	ctx := t.Context()
	if _, err := c.CreateNetwork(ctx, config.NetworkSpec{Name: "lab"}); err != nil {
		t.Fatal(err)
	}
	k.refuse = func(cfg config.Config) error {
		if len(cfg.Networks) == 3 {
			return errKernel
		}
		return nil
	}
	if _, err := c.CreateNetwork(ctx, config.NetworkSpec{Name: "third"}); err == nil {
		t.Fatal("the kernel refuses, the change does not")
	}
	if err := c.Down(ctx); err != nil {
		t.Fatal(err)
	}
	if err := c.LeasesChanged(ctx); err != nil {
		t.Fatal(err)
	}
	if want := []string{"serve 2", "serve 3", "serve 2", "serve 0"}; !slices.Equal(f.told, want) {
		t.Errorf("the servers are told %q, want %q", f.told, want)
	}
}

// TestServersNeedNoMappings: the servers are not told of a change of mappings,
// nor is one held up by them; of everything else they are, and of that the
// kernel was made new.
func TestServersNeedNoMappings(t *testing.T) {
	t.Parallel()
	c, k, book := withLeases(t)
	f := &fakeServers{}
	c.servers = f
	ctx := t.Context()
	told := func(what string, want int) {
		t.Helper()
		if len(f.told) != want {
			t.Errorf("%s: the servers were told %d times, want %d", what, len(f.told), want)
		}
		f.told = nil
	}
	addTo := func(port string) {
		t.Helper()
		if _, err := c.AddMapping(ctx, config.MappingSpec{Protocol: "udp", External: port, Internal: "172.16.1.9:80", Network: "web"}); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.Reconcile(ctx); err != nil {
		t.Fatal(err)
	}
	told("reconciled", 1)
	addTo("81")
	addTo("82")
	if err := c.DeleteMapping(ctx, 1); err != nil {
		t.Fatal(err)
	}
	told("mappings", 0)
	if _, err := c.SetNAT(ctx, model.DefaultNAT, map[string]string{"udp-timeout": "77s"}); err != nil {
		t.Fatal(err)
	}
	told("something else", 1)
	book.list = append(book.list, model.Lease{
		Network: "web", Address: netip.MustParseAddr("172.16.1.77"), MAC: "02:00:00:00:00:77",
		State: model.LeaseBound, Expires: time.Now().Add(time.Hour),
	})
	addTo("83")
	told("a mapping, and a lease that nobody has told of yet", 1)
	k.observed = []model.Neighbour{{Bridge: "hn-web", Address: netip.MustParseAddr("172.16.1.78"), MAC: "02:00:00:00:00:78"}}
	if _, err := c.Endpoints(ctx, "web"); err != nil { // hears of it
		t.Fatal(err)
	}
	f.told = nil
	addTo("84")
	told("a mapping, and somebody who was heard of", 1)
}
