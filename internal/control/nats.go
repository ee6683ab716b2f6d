package control

import (
	"context"

	"github.com/hostnat/hostnat/internal/config"
	"github.com/hostnat/hostnat/internal/model"
)

// NATs returns all NATs.
func (c *Control) NATs(context.Context) ([]model.NAT, error) {
	cfg, _ := c.snapshot()
	return cfg.NATs, nil
}

// NAT returns the NAT of that name.
func (c *Control) NAT(_ context.Context, name string) (model.NAT, error) {
	cfg, _ := c.snapshot()
	return cfg.NAT(name)
}

// CreateNAT adds a NAT. Its external interfaces must be the host's; addresses
// that the host does not have are added, as AddAddress does.
func (c *Control) CreateNAT(ctx context.Context, spec config.NATSpec) (n model.NAT, err error) {
	create := func(cfg *config.Config) error {
		if n, err = cfg.AddNAT(spec); err != nil {
			return err
		}
		facts, err := c.host.Facts(ctx)
		if err != nil {
			return err
		}
		if err := checkLinks(n, facts); err != nil {
			return err
		}
		for _, a := range n.ExternalAddresses {
			if facts.HasOwn(a.Address) {
				continue
			}
			if err := checkNotNeeded(a.Address, facts); err != nil {
				return err
			}
			cfg.MarkAdded(n.Name, a.Address)
		}
		if n, err = cfg.NAT(n.Name); err != nil {
			return err
		}
		return checkRanges(*cfg, n.Name, facts)
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

// SetNAT changes settings of a NAT; config.SettingKeys has the keys.
func (c *Control) SetNAT(ctx context.Context, name string, settings map[string]string) (n model.NAT, err error) {
	err = c.change(ctx, "set NAT "+name, func(cfg *config.Config) error {
		if n, err = cfg.SetNAT(name, settings); err != nil {
			return err
		}
		if _, moves := settings["external-interface"]; !moves {
			return nil
		}
		facts, err := c.host.Facts(ctx)
		if err != nil {
			return err
		}
		return checkLinks(n, facts)
	}, nil)
	return n, err
}

func checkLinks(n model.NAT, facts model.HostFacts) error {
	for _, link := range n.ExternalInterfaces {
		if !facts.HasInterface(link) {
			return model.Errorf(model.NotFound, "external interface %s does not exist", link).WithHint("use one that 'ip link' shows")
		}
	}
	return nil
}

// DeleteNAT deletes a NAT that no network is behind.
func (c *Control) DeleteNAT(ctx context.Context, name string) error {
	return c.change(ctx, "delete NAT "+name, func(cfg *config.Config) error {
		return cfg.DeleteNAT(name)
	}, nil)
}
