package control

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"github.com/hostnat/hostnat/internal/config"
	"github.com/hostnat/hostnat/internal/config/diff"
	"github.com/hostnat/hostnat/internal/costly"
	"github.com/hostnat/hostnat/internal/model"
	"github.com/hostnat/hostnat/internal/store"
	"github.com/hostnat/hostnat/internal/traffic"
)

// Options is what a Control needs.
type Options struct {
	Store   *store.Store
	Kernel  Kernel
	Leases  Leases       // nil: no DHCP
	Relays  Relays       // of port proxies; nil: none
	Servers Servers      // of DHCP and DNS; nil: none
	Log     *slog.Logger // nil: silent
	Version string       // of hostnat, for Status

	Resolvers func() []netip.Addr         // whom the host asks for names; nil: not known
	Guests    func() map[model.MAC]string // how the host calls guests that others have plugged in; nil: not known

	// Problems are asked by Status: what the servers beside the kernel cannot do.
	Problems []func() []string
}

// Control carries out the operations. It is safe for concurrent use: changes
// run one after the other, and lists do not wait for them.
type Control struct {
	store      *store.Store
	host       Host
	reconciler Reconciler
	tables     Tables
	events     Events
	leases     Leases
	relays     Relays
	servers    Servers
	log        *slog.Logger
	version    string
	started    time.Time

	problems  []func() []string
	resolvers func() []netip.Addr
	guests    func() map[model.MAC]string

	changing sync.Mutex     // held from reading the old configuration to the new one's Apply
	revision store.Revision // of the stored configuration. For who holds changing
	served   *config.Config // what the servers were told last; nil: nothing. For who holds changing

	mu     sync.RWMutex // guards the rest, for moments
	config config.Config
	report Report // of the last Apply
	failed error  // the last Apply's, if it did not succeed
	down   bool   // everything was taken out of the kernel on request

	observed   []model.Neighbour // on the bridges, at observedAt
	observedAt time.Time

	poolUse costly.Reading[[]PortView]
	traffic traffic.Meter

	clashes []config.Clash   // of the last Apply: where the host's own network overlaps networks
	stuck   map[string]error // networks that are to move because of that, and cannot, by name
}

// New returns a Control for the stored configuration. Nothing is in the kernel
// until Reconcile.
func New(o Options) (*Control, error) {
	cfg, revision, err := o.Store.Load()
	if err != nil {
		return nil, err
	}
	log := o.Log
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	leases := o.Leases
	if leases == nil {
		leases = noLeases{}
	}
	relays := o.Relays
	if relays == nil {
		relays = noRelays{}
	}
	servers := o.Servers
	if servers == nil {
		servers = noServers{}
	}
	resolvers := o.Resolvers
	if resolvers == nil {
		resolvers = func() []netip.Addr { return nil }
	}
	guests := o.Guests
	if guests == nil {
		guests = func() map[model.MAC]string { return nil }
	}
	cfg.SetLeases(leases.Leases(time.Now()), time.Now())
	return &Control{
		guests: guests,
		store:  o.Store, host: resolving{o.Kernel, resolvers}, resolvers: resolvers, reconciler: o.Kernel, tables: o.Kernel, events: o.Kernel, leases: leases, relays: relays, servers: servers, log: log, version: o.Version, started: time.Now(), problems: o.Problems,
		config: cfg, revision: revision, report: nothing(cfg),
	}, nil
}

// nothing is the report on a kernel that has none of the configuration.
func nothing(c config.Config) Report {
	r := Report{Absent: make(map[string]error)}
	for _, e := range c.Endpoints {
		r.Absent[e.Name] = model.Errorf(model.Unavailable, "nothing of hostnat is in the kernel")
	}
	return r
}

// snapshot returns the configuration and what the kernel made of it.
func (c *Control) snapshot() (config.Config, Report) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.config.Clone(), c.report
}

// change is every changing operation: edit a copy of the configuration, store
// it, and make it true in the kernel. If that fails, or done (nil: no check)
// is not content with the report, everything is put back.
func (c *Control) change(ctx context.Context, what string, edit func(*config.Config) error, done func(Report) error) error {
	c.changing.Lock()
	defer c.changing.Unlock()
	return c.changeLocked(ctx, what, edit, done)
}

// changeLocked is change for who holds changing.
func (c *Control) changeLocked(ctx context.Context, what string, edit func(*config.Config) error, done func(Report) error) error {
	before, _ := c.snapshot()
	next := before.Clone()
	c.discover(&next)
	if err := edit(&next); err != nil {
		return err
	}
	// What has begun is finished or undone, even if the caller goes away.
	ctx = context.WithoutCancel(ctx)
	if err := c.save(next); err != nil {
		return err
	}
	difference := diff.Of(&before, &next)
	apply := c.applyChange
	if done != nil && difference.OnlyMappings() { // attaching again repairs
		apply = c.apply
	}
	err := apply(ctx, next)
	switch {
	case err != nil:
		err = fmt.Errorf("%s: %w", what, err)
	case done != nil:
		err = done(c.lastReport())
	}
	if err != nil {
		return c.undo(ctx, what, before, err)
	}
	c.log.Info("changed", "what", what)
	c.announceChange(ctx, what, difference)
	return nil
}

// save stores a configuration. The caller holds changing.
func (c *Control) save(cfg config.Config) (err error) {
	c.revision, err = c.store.Save(cfg, c.revision)
	return err
}

// undo goes back to the configuration before a change and returns the change's error.
func (c *Control) undo(ctx context.Context, what string, before config.Config, cause error) error {
	c.log.Warn("change failed, undoing it", "what", what, "error", cause)
	saved := c.save(before)
	applied := c.apply(ctx, before)
	if err := errors.Join(saved, applied); err != nil {
		c.log.Error("undoing a change failed", "what", what, "error", err)
	}
	return cause
}

// apply makes the kernel equal to a configuration, which is then the current
// one whether that worked or not: Reconcile tries again.
func (c *Control) apply(ctx context.Context, cfg config.Config) error {
	c.served = nil // bridges may have gone and come back: the servers look themselves
	return c.applyBy(ctx, cfg, c.reconciler.Apply)
}

// applyChange is apply for what somebody has just changed.
func (c *Control) applyChange(ctx context.Context, cfg config.Config) error {
	return c.applyBy(ctx, cfg, c.reconciler.Change)
}

func (c *Control) applyBy(ctx context.Context, cfg config.Config, apply func(context.Context, config.Config) (Report, error)) error {
	report, err := apply(ctx, cfg.Effective().Unfolded())
	unfolded := cfg.Unfolded()
	c.relays.Apply(unfolded)
	c.applied(cfg, report, err)
	c.serve(ctx, unfolded)
	return err
}

// applied notes what came of an Apply.
func (c *Control) applied(cfg config.Config, report Report, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.config, c.failed, c.down = cfg, err, false
	if err == nil {
		c.report = report
		c.notice(cfg.Clashes(report.Host))
	}
}

func (c *Control) lastReport() Report {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.report
}
