package control

import (
	"context"

	"github.com/hostnat/hostnat/internal/nat"
)

// Current returns a copy of the configuration, with what the DHCP servers know.
func (c *Control) Current() nat.Config {
	config, _ := c.snapshot()
	return config
}

// OutgoingMTU is that of the host's way to the outside, in bytes, as it was
// when the kernel was last looked at; 0: not known yet.
func (c *Control) OutgoingMTU() int { return c.lastReport().Host.MTU }

// Applied counts how often the configuration was made true, or taken out: while
// it stays the same, only leases have changed.
func (c *Control) Applied() uint64 {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.applied
}

// Running reports whether hostnat is in the kernel: not after Down.
func (c *Control) Running() bool {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return !c.down
}

// Changes ticks at once, and then after the configuration was made true, again
// or anew, and when leases have changed: for what follows Current. What happens
// while a tick waits to be received causes no second one. It ends with ctx.
func (c *Control) Changes(ctx context.Context) <-chan struct{} {
	ticks := make(chan struct{}, 1)
	ticks <- struct{}{}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.followers == nil {
		c.followers = make(map[chan struct{}]struct{})
	}
	c.followers[ticks] = struct{}{}
	context.AfterFunc(ctx, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.followers, ticks)
	})
	return ticks
}

// tell ticks. The caller holds mu.
func (c *Control) tell() {
	for f := range c.followers {
		select {
		case f <- struct{}{}:
		default: // one waits
		}
	}
}
