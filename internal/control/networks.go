package control

import (
	"context"

	"github.com/hostnat/hostnat/internal/ipam"
	"github.com/hostnat/hostnat/internal/nat"
)

// Networks returns all networks.
func (c *Control) Networks(context.Context) ([]nat.Network, error) {
	config, _ := c.snapshot()
	return config.Networks, nil
}

// Network returns the network of that name.
func (c *Control) Network(_ context.Context, name string) (nat.Network, error) {
	config, _ := c.snapshot()
	return config.Network(name)
}

// CreateNetwork adds a network, with a free subnet if the spec has none.
func (c *Control) CreateNetwork(ctx context.Context, spec nat.NetworkSpec) (n nat.Network, err error) {
	err = c.change(ctx, "create network "+spec.Name, func(config *nat.Config) error {
		facts, err := c.kernel.Facts(ctx)
		if err != nil {
			return err
		}
		n, err = config.AddNetwork(spec, facts, ipam.FreeSubnetIn(config.SubnetPools()))
		return err
	}, nil)
	return n, err
}

// DeleteNetwork deletes a network; with force, its endpoints and mappings too.
func (c *Control) DeleteNetwork(ctx context.Context, name string, force bool) error {
	return c.change(ctx, "delete network "+name, func(config *nat.Config) error {
		return config.DeleteNetwork(name, force)
	}, nil)
}
