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

// CreateNAT adds a NAT. Its external interfaces must be the host's; addresses
// that the host does not have are added, as AddAddress does.
func (c *Control) CreateNAT(ctx context.Context, spec nat.NATSpec) (n nat.NAT, err error) {
	create := func(config *nat.Config) error {
		if n, err = config.AddNAT(spec); err != nil {
			return err
		}
		facts, err := c.kernel.Facts(ctx)
		if err != nil {
			return err
		}
		if err := checkLinks(n, facts); err != nil {
			return err
		}
		for _, a := range n.ExternalAddresses {
			if !facts.HasOwn(a.Address) {
				config.MarkAdded(n.Name, a.Address)
			}
		}
		if n, err = config.NAT(n.Name); err != nil {
			return err
		}
		return checkRanges(*config, n.Name, facts)
	}
	placed := func(r Report) error {
		for _, a := range n.ExternalAddresses {
			if err := r.Addresses[a.Address]; err != nil {
				return err
			}
		}
		return nil
	}
	err = c.change(ctx, "create NAT "+spec.Name, create, placed)
	return n, err
}

// SetNAT changes settings of a NAT; nat.SettingKeys has the keys.
func (c *Control) SetNAT(ctx context.Context, name string, settings map[string]string) (n nat.NAT, err error) {
	err = c.change(ctx, "set NAT "+name, func(config *nat.Config) error {
		if n, err = config.SetNAT(name, settings); err != nil {
			return err
		}
		if _, moves := settings["external-interface"]; !moves {
			return nil
		}
		facts, err := c.kernel.Facts(ctx)
		if err != nil {
			return err
		}
		return checkLinks(n, facts)
	}, nil)
	return n, err
}

func checkLinks(n nat.NAT, facts nat.HostFacts) error {
	for _, link := range n.ExternalInterfaces {
		if !facts.HasInterface(link) {
			return nat.Errorf(nat.NotFound, "external interface %s does not exist", link).WithHint("use one that 'ip link' shows")
		}
	}
	return nil
}

// DeleteNAT deletes a NAT that no network is behind.
func (c *Control) DeleteNAT(ctx context.Context, name string) error {
	return c.change(ctx, "delete NAT "+name, func(config *nat.Config) error {
		return config.DeleteNAT(name)
	}, nil)
}
