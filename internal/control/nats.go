package control

import (
	"context"

	"github.com/hostnat/hostnat/internal/nat"
)

// NATs returns all NATs.
func (c *Control) NATs(context.Context) ([]nat.NAT, error) {
	config, _ := c.snapshot()
	return config.NATs, nil
}

// NAT returns the NAT of that name.
func (c *Control) NAT(_ context.Context, name string) (nat.NAT, error) {
	config, _ := c.snapshot()
	return config.NAT(name)
}

// CreateNAT adds a NAT. Its external interfaces and addresses must be the host's.
func (c *Control) CreateNAT(ctx context.Context, spec nat.NATSpec) (n nat.NAT, err error) {
	err = c.change(ctx, "create NAT "+spec.Name, func(config *nat.Config) error {
		if n, err = config.AddNAT(spec); err != nil {
			return err
		}
		facts, err := c.kernel.Facts(ctx)
		if err != nil {
			return err
		}
		for _, link := range n.ExternalInterfaces {
			if !facts.HasInterface(link) {
				return nat.Errorf(nat.NotFound, "external interface %s does not exist", link).WithHint("use one that 'ip link' shows")
			}
		}
		for _, a := range n.ExternalAddresses {
			if err := checkHostHas(facts, a.Address); err != nil {
				return err
			}
		}
		return nil
	}, nil)
	return n, err
}

// SetNAT changes settings of a NAT; nat.SettingKeys has the keys.
func (c *Control) SetNAT(ctx context.Context, name string, settings map[string]string) (n nat.NAT, err error) {
	err = c.change(ctx, "set NAT "+name, func(config *nat.Config) error {
		n, err = config.SetNAT(name, settings)
		return err
	}, nil)
	return n, err
}

// DeleteNAT deletes a NAT that no network is behind.
func (c *Control) DeleteNAT(ctx context.Context, name string) error {
	return c.change(ctx, "delete NAT "+name, func(config *nat.Config) error {
		return config.DeleteNAT(name)
	}, nil)
}
