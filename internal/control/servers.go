package control

import (
	"context"
	"slices"

	"github.com/hostnat/hostnat/internal/nat"
)

// Servers are what serves networks beside the kernel: DHCP and DNS. They follow
// before a change is said to be done.
type Servers interface {
	// Serve serves the networks of a configuration that is in the kernel, and no
	// others, on a host that is like that; an MTU of 0 is not known.
	Serve(ctx context.Context, c nat.Config, host nat.HostFacts)
	// Learn tells of a configuration in which nothing but leases is new.
	Learn(ctx context.Context, c nat.Config)
}

// serve has the servers follow before a change is said to be done: who is told so
// finds it changed, names too. Mappings are nothing to them.
func (c *Control) serve(ctx context.Context, config nat.Config) {
	if c.served != nil && c.served.EqualBesideMappings(config) &&
		slices.Equal(c.served.Leases, config.Leases) && slices.Equal(c.served.Heard, config.Heard) {
		return
	}
	c.servers.Serve(ctx, config, c.lastReport().Host)
	c.served = &config
}

// noServers is for a Control that has none.
type noServers struct{}

func (noServers) Serve(context.Context, nat.Config, nat.HostFacts) {}
func (noServers) Learn(context.Context, nat.Config)                {}
