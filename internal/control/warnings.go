package control

import (
	"context"
	"net/netip"

	"github.com/hostnat/hostnat/internal/config/warning"
	"github.com/hostnat/hostnat/internal/model"
)

// Warnings returns what about an object is allowed and surely not meant, one line each. They
// hold for as long as Status has them.
func (c *Control) Warnings(ctx context.Context, about warning.Subject) []string {
	return c.warnings(ctx, func(w *warning.Warner) []warning.Warning { return w.About(about) })
}

// warnings has a Warner look. Who is on the bridges is asked only if somebody seems to be
// missing there: a machine may have come a moment ago.
func (c *Control) warnings(ctx context.Context, look func(*warning.Warner) []warning.Warning) (texts []string) {
	cfg, report := c.snapshot()
	facts, err := c.factsOf(ctx, report)
	if err != nil {
		return nil // Status says so
	}
	facts.Resolvers = c.resolvers()
	list := look(warning.New(&cfg, facts, report.Absent))
	if len(list) > 0 {
		cfg, report = c.inhabited(ctx)
		list = look(warning.New(&cfg, facts, report.Absent))
	}
	for _, w := range list {
		texts = append(texts, w.Text)
	}
	return texts
}

// resolving is a host with the resolvers among its facts.
type resolving struct {
	Host
	resolvers func() []netip.Addr
}

// Facts implements Host.
func (r resolving) Facts(ctx context.Context) (model.HostFacts, error) {
	facts, err := r.Host.Facts(ctx)
	facts.Resolvers = r.resolvers()
	return facts, err
}
