package control

import (
	"context"
	"fmt"
	"time"

	"github.com/hostnat/hostnat/internal/config"
	"github.com/hostnat/hostnat/internal/event"
	"github.com/hostnat/hostnat/internal/model"
)

// Reconcile makes the kernel equal to the configuration again: at the start,
// and now and then. After Down it does nothing until the next change.
func (c *Control) Reconcile(ctx context.Context) error {
	c.changing.Lock()
	defer c.changing.Unlock()
	c.traffic.Forget(time.Now())
	return c.reconcile(ctx)
}

// Follow reconciles if links, addresses or routes of the host have changed by
// somebody else's doing.
func (c *Control) Follow(ctx context.Context) error {
	c.changing.Lock()
	defer c.changing.Unlock()
	drifted, err := c.reconciler.Drifted(ctx)
	if err == nil && !drifted {
		return nil
	}
	return c.reconcile(ctx) // it finds out what is wrong, if the kernel could not be asked
}

// reconcile is Reconcile for who holds changing.
func (c *Control) reconcile(ctx context.Context) error {
	c.mu.RLock()
	cfg, down := c.config.Clone(), c.down
	c.mu.RUnlock()
	if down {
		return nil
	}
	c.observe(ctx, false)
	c.discover(&cfg)
	if err := c.apply(ctx, cfg); err != nil {
		return fmt.Errorf("reconcile: %w", err)
	}
	return c.renumberOverlapping(ctx)
}

// Down takes everything out of the kernel and keeps the configuration. The
// next change, or the next start, puts it back.
func (c *Control) Down(ctx context.Context) error {
	c.changing.Lock()
	defer c.changing.Unlock()
	if err := c.reconciler.Down(context.WithoutCancel(ctx)); err != nil {
		return fmt.Errorf("down: %w", err)
	}
	c.relays.Apply(config.Config{})
	c.servers.Serve(ctx, config.Config{}, model.HostFacts{})
	c.served = nil
	c.mu.Lock()
	defer c.mu.Unlock()
	c.down, c.failed, c.report = true, nil, nothing(c.config)
	c.log.Info("everything taken out of the kernel")
	return nil
}

// Watch returns events from now on. The channel is closed when ctx ends.
func (c *Control) Watch(ctx context.Context) (<-chan event.Event, error) {
	return c.events.Watch(ctx)
}
