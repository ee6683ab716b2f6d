package daemon

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"github.com/hostnat/hostnat/internal/control"
	"github.com/hostnat/hostnat/internal/dns"
	"github.com/hostnat/hostnat/internal/nat"
)

// tryAgain is how often a name server that could not start is tried again.
const tryAgain = 2 * time.Second

// serveDNS runs a name server for each network that wants one, until ctx ends.
func serveDNS(ctx context.Context, c *control.Control, names *dns.Server) error {
	defer names.Configure(ctx, nat.Config{})
	changes := c.Changes(ctx)
	again := time.NewTicker(tryAgain)
	defer again.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-again.C:
			if len(names.Problems()) == 0 {
				continue
			}
		case <-changes:
		}
		if c.Running() {
			names.Configure(ctx, c.Current())
		} else {
			names.Configure(ctx, nat.Config{})
		}
	}
}

// holderOf returns a function that names the program of the host which holds a
// port, by UDP or TCP.
func holderOf(listeners func(context.Context) ([]nat.Listener, error)) func(context.Context, netip.AddrPort) string {
	return func(ctx context.Context, at netip.AddrPort) string {
		all, err := listeners(ctx)
		if err != nil {
			return ""
		}
		for _, l := range all {
			if l.Address.Port() == at.Port() && (l.Address.Addr().IsUnspecified() || l.Address.Addr() == at.Addr()) {
				return fmt.Sprintf("%s (pid %d)", l.Program, l.PID)
			}
		}
		return ""
	}
}
