package daemon

import (
	"context"
	"log/slog"
	"time"

	"github.com/hostnat/hostnat/internal/control"
	"github.com/hostnat/hostnat/internal/dhcp"
)

// serveDHCP runs a DHCP server for each network that wants one.
func serveDHCP(ctx context.Context, c *control.Control, servers *dhcp.Servers) error {
	defer servers.Stop()
	changes := c.Changes(ctx)
	var last uint64
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-changes:
		}
		now := c.Applied()
		if now == last {
			continue // leases changed, which come from the servers
		}
		last = now
		if c.Running() {
			servers.Sync(ctx, c.Current(), c.OutgoingMTU())
		} else {
			servers.Stop()
		}
	}
}

// leaseDelay is how long changes of leases are gathered: with hundreds of
// clients at once, mappings need not be looked at after each.
const leaseDelay = 50 * time.Millisecond

// followLeases tells control when leases change.
func followLeases(ctx context.Context, c *control.Control, changed <-chan struct{}, log *slog.Logger) error {
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-changed:
		}
		if err := c.LeasesChanged(ctx); err != nil && ctx.Err() == nil {
			log.Error("the kernel does not follow the leases", "error", err)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(leaseDelay):
		}
	}
}
