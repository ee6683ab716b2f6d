package control

import (
	"context"
	"slices"

	"github.com/hostnat/hostnat/internal/config"
	"github.com/hostnat/hostnat/internal/config/diff"
	"github.com/hostnat/hostnat/internal/model"
)

// Servers are what serves networks beside the kernel: DHCP and DNS. They follow
// before a change is said to be done.
type Servers interface {
	// Serve serves the networks of a configuration that is in the kernel, and no
	// others, on a host that is like that; an MTU of 0 is not known.
	Serve(ctx context.Context, c config.Config, host model.HostFacts)
	// ChangeLeases tells of a configuration in which nothing but leases is new.
	ChangeLeases(ctx context.Context, c config.Config)
}

// serve has the servers follow before a change is said to be done: who is told so
// finds it changed, names too. Mappings are nothing to them.
func (c *Control) serve(ctx context.Context, cfg config.Config) {
	if c.served != nil && slices.Equal(c.served.Leases, cfg.Leases) && slices.Equal(c.served.Observed, cfg.Observed) {
		if diff.SameButMappings(c.served, &cfg) {
			return
		}
	}
	c.servers.Serve(ctx, cfg, c.lastReport().Host)
	c.served = &cfg
}

// noServers is for a Control that has none.
type noServers struct{}

func (noServers) Serve(context.Context, config.Config, model.HostFacts) {}
func (noServers) ChangeLeases(context.Context, config.Config)           {}
