package control

import (
	"context"
	"time"
)

// PoolUse returns the dynamic ports of each NAT, as Ports does. Only reading all
// bindings tells how much of a pool is in use, so what is returned may be some
// seconds old where there are many.
func (c *Control) PoolUse(ctx context.Context) ([]PortView, error) {
	return c.poolUse.Get(time.Now, func() ([]PortView, error) {
		cfg, _ := c.snapshot()
		facts, err := c.host.Facts(ctx)
		if err != nil {
			return nil, err
		}
		return c.dynamicPorts(ctx, cfg, facts)
	})
}
