package control

import (
	"context"

	"github.com/hostnat/hostnat/internal/nat"
)

// Servers are what serves networks beside the kernel: DHCP and DNS. They follow
// before a change is said to be done.
type Servers interface {
	// Serve serves the networks of a configuration that is in the kernel, and no
	// others. MTU is that of the host's way to the outside, in bytes; 0: not known.
	Serve(ctx context.Context, c nat.Config, mtu int)
	// Learn tells of a configuration in which nothing but leases is new.
	Learn(ctx context.Context, c nat.Config)
}

// noServers is for a Control that has none.
type noServers struct{}

func (noServers) Serve(context.Context, nat.Config, int) {}
func (noServers) Learn(context.Context, nat.Config)      {}
