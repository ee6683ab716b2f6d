package control

import (
	"context"
	"time"
)

// observeAgain is how old what is known of who is on the bridges may be when nobody asks.
const observeAgain = 5 * time.Second

// observe asks who is on the bridges, unless that was done lately or must be known
// now. Who cannot be heard of is not news: the rest goes on as it is.
func (c *Control) observe(ctx context.Context, now bool) {
	c.mu.RLock()
	fresh := time.Since(c.observedAt) < observeAgain
	c.mu.RUnlock()
	if fresh && !now {
		return
	}
	list, err := c.host.Neighbours(ctx)
	if err != nil {
		c.log.Warn("it is not known who is on the bridges", "error", err)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.observed, c.observedAt = list, time.Now()
}
