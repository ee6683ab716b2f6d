package control

import (
	"context"
	"time"

	"github.com/hostnat/hostnat/internal/traffic"
)

// Traffic says what is sent, by endpoint and by session, since it was asked before. A large
// table is read less often than it is asked.
func (c *Control) Traffic(_ context.Context, q traffic.Query) (traffic.Top, error) {
	if err := q.Check(); err != nil {
		return traffic.Top{}, err
	}
	rates, err := c.traffic.Rates(time.Now, c.tables.Traffic)
	if err != nil {
		return traffic.Top{}, err
	}
	return rates.Top(q), nil
}
