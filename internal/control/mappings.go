package control

import (
	"context"
	"fmt"
	"slices"

	"github.com/hostnat/hostnat/internal/config"
	"github.com/hostnat/hostnat/internal/model"
)

// Mappings returns all static mappings.
func (c *Control) Mappings(context.Context) ([]MappingView, error) {
	cfg, report := c.snapshot()
	views := []MappingView{}
	for _, m := range cfg.Mappings {
		views = append(views, viewMapping(m, serves(cfg, report, m)))
	}
	return views, nil
}

// Mapping returns the mapping of that id.
func (c *Control) Mapping(_ context.Context, id uint32) (MappingView, error) {
	cfg, report := c.snapshot()
	m, err := cfg.Mapping(id)
	if err != nil {
		return MappingView{}, err
	}
	return viewMapping(m, serves(cfg, report, m)), nil
}

// serves reports whether the data path has a mapping, and one of its targets is
// there.
func serves(cfg config.Config, report Report, m model.Mapping) bool {
	return report.Active[m.ID] && slices.ContainsFunc(m.Targets, func(t model.Target) bool {
		return !slices.ContainsFunc(cfg.Endpoints, func(e model.Endpoint) bool {
			return e.Network == t.Network && e.Address4() == t.Internal.Address && report.Absent[e.Name] != nil
		})
	})
}

// AddMapping adds a static mapping, unless a program of the host listens on one
// of its external ports and the spec does not say by force. One that exists with
// the same targets is returned. Without external ports, free ones are chosen.
func (c *Control) AddMapping(ctx context.Context, spec config.MappingSpec) (MappingView, error) {
	var m model.Mapping
	err := c.change(ctx, "add mapping", func(cfg *config.Config) error {
		next := cfg.NextMapping
		var err error
		if m, err = cfg.AddMapping(spec, c.choosePort(ctx, cfg)); err != nil || m.ID < next {
			return err
		}
		if m.IsOneToOne() {
			return c.checkOneToOne(ctx, *cfg, m, spec.Force, false)
		}
		if spec.Force {
			return nil
		}
		if err := c.checkListener(ctx, m); err != nil {
			return err
		}
		facts, err := c.host.Facts(ctx)
		if err != nil {
			return err
		}
		return checkPools(*cfg, facts, m)
	}, nil)
	if err != nil {
		return MappingView{}, err
	}
	cfg, report := c.snapshot()
	return viewMapping(m, serves(cfg, report, m)), nil
}

// checkPools refuses a mapping, the last one of config, that would leave a NAT
// without a dynamic port. One that only makes a pool smaller is fine: dynamic
// ports keep out of mappings.
func checkPools(cfg config.Config, facts model.HostFacts, m model.Mapping) error {
	without := cfg.Mappings[:len(cfg.Mappings)-1]
	for _, n := range cfg.NATs {
		if dynamicCount(n, facts, m.Protocol, cfg.Mappings) == 0 && dynamicCount(n, facts, m.Protocol, without) > 0 {
			return model.Errorf(model.Conflict, "%s %s would take the last dynamic %s port of NAT %q", m.Protocol, m.ExternalText(), m.Protocol, n.Name).
				WithHint("choose fewer ports, give the NAT another address, or take them with --force")
		}
	}
	return nil
}

// dynamicCount is how many ports a NAT has to give out that are in no mapping.
func dynamicCount(n model.NAT, facts model.HostFacts, p model.Protocol, mappings []model.Mapping) (count int) {
	for _, a := range externalAddresses(n, facts) {
		count += model.InUse{Mappings: mappings}.Free(p, a.Address, a.Ports.Without(facts.LocalPorts))
	}
	return count
}

// DeleteMapping deletes the mapping of that id.
func (c *Control) DeleteMapping(ctx context.Context, id uint32) error {
	return c.change(ctx, fmt.Sprintf("delete mapping %d", id), func(cfg *config.Config) error {
		return cfg.DeleteMapping(id)
	}, nil)
}

func (c *Control) checkListener(ctx context.Context, m model.Mapping) error {
	l, err := c.host.Listener(ctx, m.Protocol, m.External)
	if err != nil || l == nil {
		return err
	}
	return model.Errorf(model.Conflict, "%s listens on %s %s", program(*l), m.Protocol, l.Address).
		WithHint("end it, choose another external port, or take this one with --force")
}

// program names a listener for people: "nginx (pid 41)".
func program(l model.Listener) string {
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
