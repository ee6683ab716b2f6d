package control

import (
	"context"

	"github.com/hostnat/hostnat/internal/config"
	"github.com/hostnat/hostnat/internal/ipam"
	"github.com/hostnat/hostnat/internal/model"
)

// Networks returns all networks.
func (c *Control) Networks(context.Context) ([]model.Network, error) {
	cfg, _ := c.snapshot()
	return cfg.Networks, nil
}

// Network returns the network of that name.
func (c *Control) Network(_ context.Context, name string) (model.Network, error) {
	cfg, _ := c.snapshot()
	return cfg.Network(name)
}

// CreateNetwork adds a network, with a free subnet if the spec has none.
func (c *Control) CreateNetwork(ctx context.Context, spec config.NetworkSpec) (n model.Network, err error) {
	err = c.change(ctx, "create network "+spec.Name, func(cfg *config.Config) error {
		facts, err := c.host.Facts(ctx)
		if err != nil {
			return err
		}
		if n, err = cfg.AddNetwork(spec, facts, ipam.FreeSubnetIn(cfg.SubnetPools())); err != nil {
			return err
		}
		return c.checkGateway(ctx, n, facts)
	}, nil)
	return n, err
}

// checkGateway refuses the gateway of a network whose subnet the host may have
// too if a machine on one of the host's own links has that address: the host would
// not reach it any more.
func (c *Control) checkGateway(ctx context.Context, n model.Network, facts model.HostFacts) error {
	if !n.Unrouted() {
		return nil
	}
	for _, link := range facts.LinksReaching(n.Gateway4()) {
		mac, taken, err := c.host.Holder(ctx, link, n.Gateway4())
		if err != nil {
			c.log.Warn("who has the address of a new gateway cannot be asked", "link", link, "address", n.Gateway4(), "error", err)
		}
		if taken {
			return n.GatewayTaken(mac, link)
		}
	}
	return nil
}

// DeleteNetwork deletes a network; with force, its endpoints and mappings too.
func (c *Control) DeleteNetwork(ctx context.Context, name string, force bool) error {
	return c.change(ctx, "delete network "+name, func(cfg *config.Config) error {
		return cfg.DeleteNetwork(name, force)
	}, nil)
}
