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
		if n, err = config.AddNetwork(spec, facts, ipam.FreeSubnetIn(config.SubnetPools())); err != nil {
			return err
		}
		return c.checkGateway(ctx, n, facts)
	}, nil)
	return n, err
}

// checkGateway refuses the gateway of a network whose subnet the host may have
// too if a machine on one of the host's own links has that address: the host would
// not reach it any more.
func (c *Control) checkGateway(ctx context.Context, n nat.Network, facts nat.HostFacts) error {
	if !n.Apart() {
		return nil
	}
	for _, link := range facts.LinksReaching(n.Gateway) {
		mac, taken, err := c.kernel.Holder(ctx, link, n.Gateway)
		if err != nil {
			c.log.Warn("who has the address of a new gateway cannot be asked", "link", link, "address", n.Gateway, "error", err)
		}
		if taken {
			return n.GatewayTaken(mac, link)
		}
	}
	return nil
}

// DeleteNetwork deletes a network; with force, its endpoints and mappings too.
func (c *Control) DeleteNetwork(ctx context.Context, name string, force bool) error {
	return c.change(ctx, "delete network "+name, func(config *nat.Config) error {
		return config.DeleteNetwork(name, force)
	}, nil)
}
