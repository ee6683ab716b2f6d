package control

import (
	"context"
	"net/netip"
	"slices"
	"time"

	"github.com/hostnat/hostnat/internal/config"
	"github.com/hostnat/hostnat/internal/model"
)

// Leases is what control needs of the DHCP servers. Package dhcp's Leases is one.
type Leases interface {
	// Leases returns all leases as they are at a moment.
	Leases(now time.Time) []model.Lease
	// Hold keeps an address from DHCP clients until the servers know the
	// configuration that it is in. It is false if a client with another MAC has
	// the address.
	Hold(network string, a netip.Addr, mac model.MAC, now time.Time) bool
	// Forget drops a lease; false if there is none.
	Forget(network string, a netip.Addr) (model.Lease, bool, error)
}

// noLeases stands in where there is no DHCP.
type noLeases struct{}

func (noLeases) Leases(time.Time) []model.Lease                             { return nil }
func (noLeases) Hold(string, netip.Addr, model.MAC, time.Time) bool         { return true }
func (noLeases) Forget(string, netip.Addr) (l model.Lease, b bool, e error) { return }

// discover brings what a configuration knows of leases, and of who is on the bridges, up
// to date.
func (c *Control) discover(cfg *config.Config) {
	now := time.Now()
	c.mu.RLock()
	cfg.SetObserved(c.observed)
	c.mu.RUnlock()
	cfg.Guests = c.guests()
	cfg.SetLeases(c.leases.Leases(now), now)
}

// LeasesChanged makes the current configuration know what the DHCP servers
// know. Only if mappings follow a client that has moved, the kernel has
// something to do.
func (c *Control) LeasesChanged(ctx context.Context) error {
	c.changing.Lock()
	defer c.changing.Unlock()
	before, _ := c.snapshot()
	next := before.Clone()
	c.discover(&next)
	if !slices.EqualFunc(before.Mappings, next.Mappings, sameTargets) {
		return c.applyChange(ctx, next)
	}
	c.mu.Lock()
	c.config = next
	down := c.down
	c.mu.Unlock()
	if down {
		return nil
	}
	c.servers.ChangeLeases(ctx, next.Unfolded())
	return c.reconciler.ChangeLeases(ctx, next.Unfolded())
}

func sameTargets(a, b model.Mapping) bool { return slices.Equal(a.Targets, b.Targets) }

// DHCPLeases returns the leases of a network, of all networks if it is "".
func (c *Control) DHCPLeases(_ context.Context, network string) ([]LeaseView, error) {
	cfg, _ := c.snapshot()
	if network != "" {
		if _, err := cfg.Network(network); err != nil {
			return nil, err
		}
	}
	c.discover(&cfg)
	names := make(map[string]string)
	for _, list := range [][]model.Endpoint{cfg.Endpoints, cfg.Discovered} {
		for _, e := range list {
			names[e.Network+"/"+e.Address4().String()] = e.Name
		}
	}
	views := []LeaseView{}
	for _, l := range c.leases.Leases(time.Now()) {
		name, endpoint := model.CutPointToPoint(l.Network)
		l.Network = name
		if endpoint == "" {
			endpoint = names[l.Network+"/"+l.Address.String()]
		}
		if network == "" || l.Network == network {
			views = append(views, LeaseView{Lease: l, Endpoint: endpoint})
		}
	}
	return views, nil
}

// DeleteLease drops a lease. The client is not told: when it renews, it gets
// the same address again unless somebody else has it by then.
func (c *Control) DeleteLease(_ context.Context, network, address string) error {
	cfg, _ := c.snapshot()
	n, err := cfg.Network(network)
	if err != nil {
		return err
	}
	if n.PerEndpoint() {
		return model.Errorf(model.Conflict, "the leases of network %q are its endpoints' own", network).WithHint("'hostnat endpoint detach' takes an endpoint's address back")
	}
	a, err := model.ParseIPv4("address", address)
	if err != nil {
		return err
	}
	_, found, err := c.leases.Forget(network, a)
	if err == nil && !found {
		return model.Errorf(model.NotFound, "address %s of network %q is not leased", a, network).WithHint("'hostnat lease list' shows those that are")
	}
	return err
}

// Reservations returns all reservations.
func (c *Control) Reservations(context.Context) ([]model.Reservation, error) {
	cfg, _ := c.snapshot()
	return append([]model.Reservation{}, cfg.Reservations...), nil
}

// AddReservation keeps an address for a client.
func (c *Control) AddReservation(ctx context.Context, spec config.ReservationSpec) (r model.Reservation, err error) {
	err = c.change(ctx, "reserve "+spec.Address, func(cfg *config.Config) error {
		facts, err := c.host.Facts(ctx)
		if err != nil {
			return err
		}
		r, err = cfg.AddReservation(spec, facts)
		return err
	}, nil)
	return r, err
}

// DeleteReservation gives a reserved address back.
func (c *Control) DeleteReservation(ctx context.Context, network, address string) error {
	return c.change(ctx, "delete the reservation of "+address, func(cfg *config.Config) error {
		return cfg.DeleteReservation(network, address)
	}, nil)
}

// Pools returns the prefixes that subnets are taken from.
func (c *Control) Pools(context.Context) ([]model.Pool, error) {
	cfg, _ := c.snapshot()
	return cfg.SubnetPools(), nil
}

// AddPool adds a pool; the first one takes the place of the default ones.
func (c *Control) AddPool(ctx context.Context, spec config.PoolSpec) (p model.Pool, err error) {
	err = c.change(ctx, "add pool "+spec.Prefix, func(cfg *config.Config) error {
		p, err = cfg.AddPool(spec)
		return err
	}, nil)
	return p, err
}

// DeletePool deletes a pool.
func (c *Control) DeletePool(ctx context.Context, prefix string) error {
	return c.change(ctx, "delete pool "+prefix, func(cfg *config.Config) error {
		return cfg.DeletePool(prefix)
	}, nil)
}
