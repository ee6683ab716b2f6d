package control

import (
	"context"
	"sync"
	"time"
)

// poolUses is how much of the pools is in use, which only reading all bindings
// tells: whoever asks often shares it with others.
type poolUses struct {
	mu   sync.Mutex
	rows []PortView
	at   time.Time
	took time.Duration
}

// A count that was quick is made anew each time; of others, no more than a
// twentieth of the time goes into counting.
const (
	quickCount = 20 * time.Millisecond
	countShare = 20
)

// PoolUse returns the dynamic ports of each NAT, as Ports does.
func (c *Control) PoolUse(ctx context.Context) ([]PortView, error) {
	u := &c.poolUses
	u.mu.Lock()
	defer u.mu.Unlock()
	began := time.Now()
	if u.took > quickCount && began.Sub(u.at) < countShare*u.took {
		return u.rows, nil
	}
	cfg, _ := c.snapshot()
	facts, err := c.host.Facts(ctx)
	if err != nil {
		return nil, err
	}
	rows, err := c.dynamicPorts(ctx, cfg, facts)
	if err != nil {
		return nil, err
	}
	u.rows, u.at, u.took = rows, time.Now(), time.Since(began)
	return rows, nil
}
