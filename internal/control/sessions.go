package control

import (
	"cmp"
	"context"
	"slices"

	"github.com/hostnat/hostnat/internal/model"
)

// Bindings returns the kernel's bindings that the filter selects, sorted.
func (c *Control) Bindings(ctx context.Context, f model.Filter) ([]model.Binding, error) {
	selected, err := f.Bindings()
	if err != nil {
		return nil, err
	}
	all, err := c.kernel.Bindings(ctx)
	if err != nil {
		return nil, err
	}
	out := keep(all, selected)
	slices.SortFunc(out, func(a, b model.Binding) int {
		return cmp.Or(cmp.Compare(a.NAT, b.NAT), cmp.Compare(a.Network, b.Network), a.Internal.Compare(b.Internal),
			cmp.Compare(a.Protocol, b.Protocol), a.External.Compare(b.External))
	})
	return out, nil
}

// Sessions returns the kernel's sessions that the filter selects, sorted.
func (c *Control) Sessions(ctx context.Context, f model.Filter) ([]model.Session, error) {
	selected, err := f.Sessions()
	if err != nil {
		return nil, err
	}
	all, err := c.kernel.Sessions(ctx)
	if err != nil {
		return nil, err
	}
	out := keep(all, selected)
	slices.SortFunc(out, func(a, b model.Session) int {
		return cmp.Or(cmp.Compare(a.NAT, b.NAT), cmp.Compare(a.Network, b.Network), a.Internal.Compare(b.Internal),
			cmp.Compare(a.Protocol, b.Protocol), a.Remote.Compare(b.Remote), a.External.Compare(b.External))
	})
	return out, nil
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
	selected, err := f.Sessions()
	if err != nil {
		return 0, err
	}
	n, err := c.kernel.EndSessions(context.WithoutCancel(ctx), selected)
	if err != nil {
		return 0, err
	}
	c.log.Info("sessions ended", "filter", f, "count", n)
	return n, nil
}

func keep[T any](all []T, selected func(T) bool) []T {
	out := []T{}
	for _, v := range all {
		if selected(v) {
			out = append(out, v)
		}
	}
	return out
}
