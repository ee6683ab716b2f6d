package control

import (
	"context"
	"fmt"

	"github.com/hostnat/hostnat/internal/nat"
)

// Mappings returns all static mappings.
func (c *Control) Mappings(context.Context) ([]MappingView, error) {
	config, report := c.snapshot()
	views := []MappingView{}
	for _, m := range config.Mappings {
		views = append(views, MappingView{Mapping: m, Active: report.Active[m.ID]})
	}
	return views, nil
}

// AddMapping adds a static mapping, unless a program of the host listens on
// its external port and the spec does not say by force. One that exists with
// the same target is returned. Without an external port, a free one is chosen.
func (c *Control) AddMapping(ctx context.Context, spec nat.MappingSpec) (MappingView, error) {
	var m nat.Mapping
	err := c.change(ctx, "add mapping", func(config *nat.Config) error {
		next := config.NextMapping
		var err error
		if m, err = config.AddMapping(spec, c.choosePort(ctx, config)); err != nil || m.ID < next || spec.Force {
			return err
		}
		return c.checkListener(ctx, m)
	}, nil)
	if err != nil {
		return MappingView{}, err
	}
	return MappingView{Mapping: m, Active: c.lastReport().Active[m.ID]}, nil
}

// DeleteMapping deletes the mapping of that id.
func (c *Control) DeleteMapping(ctx context.Context, id uint32) error {
	return c.change(ctx, fmt.Sprintf("delete mapping %d", id), func(config *nat.Config) error {
		return config.DeleteMapping(id)
	}, nil)
}

func (c *Control) checkListener(ctx context.Context, m nat.Mapping) error {
	l, err := c.kernel.Listener(ctx, m.Protocol, m.External)
	if err != nil || l == nil {
		return err
	}
	return nat.Errorf(nat.Conflict, "%s listens on %s %s", program(*l), m.Protocol, l.Address).
		WithHint("end it, choose another external port, or take this one with --force")
}

// program names a listener for people: "nginx (pid 41)".
func program(l nat.Listener) string {
	switch {
	case l.Program != "" && l.PID != 0:
		return fmt.Sprintf("%s (pid %d)", l.Program, l.PID)
	case l.Program != "":
		return l.Program
	case l.PID != 0:
		return fmt.Sprintf("pid %d", l.PID)
	}
	return "a program of the host"
}
