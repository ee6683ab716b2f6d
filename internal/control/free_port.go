package control

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"

	"github.com/hostnat/hostnat/internal/config"
	"github.com/hostnat/hostnat/internal/model"
)

// choosePort finds mappings of config an external port at random, out of the
// ports that their NAT gives out. Should a flow take it a moment later, the
// mapping wins: putting it in ends that flow's sessions.
func (c *Control) choosePort(ctx context.Context, cfg *config.Config) config.ChooseExternal {
	return func(m model.Mapping) (uint16, error) {
		facts, err := c.host.Facts(ctx)
		if err != nil {
			return 0, err
		}
		n, err := cfg.NAT(m.NAT)
		if err != nil {
			return 0, err
		}
		use := model.InUse{Mappings: cfg.Mappings}
		for b, err := range c.tables.Bindings(ctx, model.Selection{Protocol: m.Protocol}) {
			if err != nil {
				return 0, err
			}
			use.Bindings = append(use.Bindings, b)
		}
		return c.unlistened(ctx, m, use, dynamicRanges(n, facts, m.External.Address))
	}
}

// unlistened chooses free ports in a row on which no program of the host listens.
// It asks row by row: to find whose all the host's sockets are takes much longer.
func (c *Control) unlistened(ctx context.Context, m model.Mapping, use model.InUse, ranges []model.PortRange) (uint16, error) {
	count := m.Targets[0].Internal.Count()
	for {
		low, ok := use.FreePorts(m.Protocol, m.External.Address, ranges, count, rand.IntN)
		if !ok {
			return 0, noPortLeft(m, count, ranges)
		}
		row := model.AddrPorts{Address: m.External.Address, Ports: model.PortRange{Low: low, High: low + uint16(count-1)}}
		l, err := c.host.Listener(ctx, m.Protocol, row)
		if err != nil || l == nil {
			return low, err
		}
		taken := netip.AddrPortFrom(m.External.Address, l.Address.Port())
		use.Listeners = append(use.Listeners, model.Listener{Protocol: m.Protocol, Address: taken})
	}
}

// dynamicRanges are the ports that a NAT gives out on an address, on any of its
// addresses if that is 0.0.0.0. On an address that it does not have, they are
// those of an address without a range.
func dynamicRanges(n model.NAT, facts model.HostFacts, at netip.Addr) []model.PortRange {
	var ranges []model.PortRange
	for _, a := range externalAddresses(n, facts) {
		if at.IsUnspecified() || a.Address == at {
			ranges = append(ranges, a.Ports.Without(facts.LocalPorts)...)
		}
	}
	if len(ranges) == 0 {
		return model.DefaultPorts.Without(facts.LocalPorts)
	}
	return ranges
}

func noPortLeft(m model.Mapping, count int, ranges []model.PortRange) error {
	where := ""
	if a := m.External.Address; !a.IsUnspecified() {
		where = " on " + a.String()
	}
	what := fmt.Sprintf("free %s port", m.Protocol)
	if count > 1 {
		what = fmt.Sprintf("%d free %s ports in a row", count, m.Protocol)
	}
	return model.Errorf(model.Exhausted, "NAT %q has no %s%s in %s", m.NAT, what, where, rangesText(ranges)).
		WithHint("give --external [A:]PORT, or give the NAT more ports ('hostnat port list' shows who has them)")
}
