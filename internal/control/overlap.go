package control

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/hostnat/hostnat/internal/config"
	"github.com/hostnat/hostnat/internal/event"
	"github.com/hostnat/hostnat/internal/ipam"
	"github.com/hostnat/hostnat/internal/model"
)

// notice takes note of where the host's own network overlaps networks now, and
// announces what is new and what is over. The caller holds mu.
func (c *Control) notice(now []config.Clash) {
	before := c.clashes
	c.clashes = now
	for _, clash := range now {
		if !slices.Contains(before, clash) {
			c.log.Warn("a network is in the way of the host's own", "clash", clash.String())
			c.announce(event.NetworkOverlap, clash.Network, clash.Begun())
		}
	}
	for _, clash := range before {
		if !slices.Contains(now, clash) {
			c.announce(event.NetworkOverlapEnd, clash.Network, clash.Over())
		}
	}
}

func (c *Control) announce(id event.ID, network, description string) {
	e := event.New(id, time.Now())
	e.Network, e.Description = network, description
	c.events.Announce(e)
}

// renumberOverlapping moves the networks that overlap the host's own, if they
// are to. One that has nowhere to go stays, as a problem in status, and is tried
// again next time. The caller holds changing.
func (c *Control) renumberOverlapping(ctx context.Context) error {
	c.mu.RLock()
	clashes := slices.Clone(c.clashes)
	c.mu.RUnlock()
	cfg, report := c.snapshot()
	var errs []error
	done, stuck := make(map[string]bool), make(map[string]error)
	for _, clash := range clashes {
		n, err := cfg.Network(clash.Network)
		if err != nil || n.Overlap != model.Renumber || done[n.Name] {
			continue
		}
		done[n.Name] = true
		_, err = c.renumber(ctx, n.Name, "", report.Host)
		if model.CodeOf(err) == model.Exhausted {
			stuck[n.Name], err = err, nil
		}
		errs = append(errs, err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stuck = stuck
	return errors.Join(errs...)
}

// remedy says what fixes a clash. The caller holds mu.
func (c *Control) remedy(clash config.Clash) string {
	if err := c.stuck[clash.Network]; err != nil {
		return "it is to move by itself, but " + err.Error()
	}
	return fmt.Sprintf("'hostnat network renumber %s' moves it", clash.Network)
}

// RenumberNetwork moves a network to another subnet, to a free one as large as
// its own if subnet is empty: its gateway, endpoints and mappings. What its
// sessions were is over.
func (c *Control) RenumberNetwork(ctx context.Context, name, subnet string) (config.Renumbering, error) {
	facts, err := c.host.Facts(ctx)
	if err != nil {
		return config.Renumbering{}, err
	}
	c.changing.Lock()
	defer c.changing.Unlock()
	return c.renumber(ctx, name, subnet, facts)
}

// renumber is RenumberNetwork for who holds changing.
func (c *Control) renumber(ctx context.Context, name, subnet string, facts model.HostFacts) (r config.Renumbering, err error) {
	err = c.changeLocked(ctx, "renumber network "+name, func(cfg *config.Config) error {
		n, err := cfg.Network(name)
		if err != nil {
			return err
		}
		r, err = cfg.RenumberNetwork(name, subnet, facts, ipam.FreeSubnetLike(n.Subnet4(), cfg.SubnetPools()), ipam.FreeAddress)
		if err != nil || r.From == r.To {
			return err
		}
		if n, err = cfg.Network(name); err != nil {
			return err
		}
		return c.checkGateway(ctx, n, facts)
	}, nil)
	if err != nil || r.From == r.To {
		return r, err
	}
	// Endpoints' sessions went with their old addresses; what is left is of
	// machines that were not attached by name.
	stale := func(s model.Session) bool { return s.Network == name && !r.To.Contains(s.Internal.Addr()) }
	if _, err := c.tables.EndSessions(context.WithoutCancel(ctx), stale); err != nil {
		c.log.Error("ending the sessions of a network that moved", "network", name, "error", err)
	}
	if err := c.host.BounceCarrier(context.WithoutCancel(ctx), name); err != nil {
		c.log.Error("DHCP clients of a network that moved are not told; they follow when they renew", "network", name, "error", err)
	}
	c.announce(event.NetworkRenumber, name, fmt.Sprintf("moved from %s to %s, and its sessions ended", r.From, r.To))
	return r, nil
}

// SetNetwork changes settings of a network; config.NetworkSettingKeys has the
// keys. One that is to move on overlap, and has one, moves now.
func (c *Control) SetNetwork(ctx context.Context, name string, settings map[string]string) (n model.Network, err error) {
	err = c.change(ctx, "set network "+name, func(cfg *config.Config) error {
		n, err = cfg.SetNetwork(name, settings)
		return err
	}, nil)
	if err != nil {
		return model.Network{}, err
	}
	if n.Overlap == model.Renumber {
		if err := c.Reconcile(context.WithoutCancel(ctx)); err != nil {
			return model.Network{}, err
		}
	}
	return c.Network(ctx, name)
}
