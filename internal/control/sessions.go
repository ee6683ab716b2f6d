package control

import (
	"context"
	"iter"

	"github.com/hostnat/hostnat/internal/model"
)

// Bindings yields the kernel's bindings that the filter selects, in no order.
func (c *Control) Bindings(ctx context.Context, f model.Filter) (iter.Seq2[model.Binding, error], error) {
	f, err := c.meant(ctx, f)
	if err != nil {
		return nil, err
	}
	selected, err := f.Bindings()
	if err != nil {
		return nil, err
	}
	return c.tables.Bindings(ctx, selected), nil
}

// Sessions yields the kernel's sessions that the filter selects, in no order.
func (c *Control) Sessions(ctx context.Context, f model.Filter) (iter.Seq2[model.Session, error], error) {
	f, err := c.meant(ctx, f)
	if err != nil {
		return nil, err
	}
	selected, err := f.Parse()
	if err != nil {
		return nil, err
	}
	return c.tables.Sessions(ctx, selected), nil
}

// meant is a filter with an endpoint's own name for an alias of it. It refuses the name of
// what there is not: nothing would be found, and who has mistyped it would take that for an
// answer.
func (c *Control) meant(ctx context.Context, f model.Filter) (model.Filter, error) {
	cfg, _ := c.snapshot()
	if f.NAT != "" {
		if _, err := cfg.NAT(f.NAT); err != nil {
			return f, err
		}
	}
	if f.Network != "" {
		if _, err := cfg.Network(f.Network); err != nil {
			return f, err
		}
	}
	if f.Endpoint == "" {
		return f, nil
	}
	e, err := c.Endpoint(ctx, f.Endpoint)
	if err == nil {
		f.Endpoint = e.Name
	}
	if model.CodeOf(err) == model.Conflict { // two networks have one of that name: both are meant
		return f, nil
	}
	return f, err
}

// DeleteSessions ends the sessions that the filter selects. To end all of them
// takes the word all; a filter beside it is refused.
func (c *Control) DeleteSessions(ctx context.Context, f model.Filter, all bool) (ended int, err error) {
	switch nothing := f == (model.Filter{}); {
	case nothing && !all:
		return 0, model.Errorf(model.Invalid, "no filter is given, and this would end every session").WithHint("give a filter, or --all")
	case all && !nothing:
		return 0, model.Errorf(model.Invalid, "a filter and --all contradict each other").WithHint("give one of them")
	}
	f, err = c.meant(ctx, f)
	if err != nil {
		return 0, err
	}
	selected, err := f.Parse()
	if err != nil {
		return 0, err
	}
	n, err := c.tables.EndSessions(context.WithoutCancel(ctx), func(s model.Session) bool { return selected.Session(&s) })
	if err != nil {
		return 0, err
	}
	c.log.Info("sessions ended", "filter", f, "count", n)
	return n, nil
}
