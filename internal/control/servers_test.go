package control

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"github.com/hostnat/hostnat/internal/nat"
)

// fakeServers notes what it is told.
type fakeServers struct{ told []string }

func (f *fakeServers) Serve(_ context.Context, c nat.Config, _ int) {
	f.told = append(f.told, fmt.Sprintf("serve %d", len(c.Networks)))
}

func (f *fakeServers) Learn(_ context.Context, c nat.Config) {
	f.told = append(f.told, fmt.Sprintf("learn %d", len(c.Networks)))
}

// TestServersFollow: when a change is done, or undone, the servers know it; after
// Down they serve nothing, and do not come back by a lease.
func TestServersFollow(t *testing.T) {
	t.Parallel()
	c, k, _ := withLeases(t)
	f := &fakeServers{}
	c.servers = f
	ctx := t.Context()
	if _, err := c.CreateNetwork(ctx, nat.NetworkSpec{Name: "lab"}); err != nil {
		t.Fatal(err)
	}
	k.refuse = func(config nat.Config) error {
		if len(config.Networks) == 3 {
			return errKernel
		}
		return nil
	}
	if _, err := c.CreateNetwork(ctx, nat.NetworkSpec{Name: "third"}); err == nil {
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
