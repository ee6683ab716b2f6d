package control

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/hostnat/hostnat/internal/traffic"
)

// Traffic says what is sent, by endpoint and by session, since it was asked before. A large
// table is read less often than it is asked.
func (c *Control) Traffic(_ context.Context, q traffic.Query) (traffic.Top, error) {
	if err := q.Check(); err != nil {
		return traffic.Top{}, err
	}
	q.ByAlias = c.aliasesWith(q.Match)
	rates, err := c.traffic.Rates(time.Now, c.tables.Traffic)
	if err != nil {
		return traffic.Top{}, err
	}
	return rates.Top(q), nil
}

// aliasesWith are the names of the endpoints that have a text in an alias.
func (c *Control) aliasesWith(text string) map[string]bool {
	if text == "" {
		return nil
	}
	text = strings.ToLower(text)
	cfg, _ := c.snapshot()
	found := make(map[string]bool)
	for _, e := range cfg.Endpoints {
		if slices.ContainsFunc(e.Aliases, func(alias string) bool { return strings.Contains(alias, text) }) {
			found[e.Name] = true
		}
	}
	return found
}
