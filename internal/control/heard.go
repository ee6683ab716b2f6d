package control

import (
	"context"
	"time"
)

// hearAgain is how old what is known of who is on the bridges may be when nobody asks.
const hearAgain = 5 * time.Second

// hear asks who is on the bridges, unless that was done lately or must be known
// now. Who cannot be heard of is not news: the rest goes on as it is.
func (c *Control) hear(ctx context.Context, now bool) {
	c.mu.RLock()
	fresh := time.Since(c.heardAt) < hearAgain
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
	c.heard, c.heardAt = list, time.Now()
}
