package control

import (
	"context"
	"math/rand/v2"
	"net/netip"

	"github.com/hostnat/hostnat/internal/nat"
)

// choosePort finds mappings of config an external port at random, out of the
// ports that their NAT gives out. Should a flow take it a moment later, the
// mapping wins: putting it in ends that flow's sessions.
func (c *Control) choosePort(ctx context.Context, config *nat.Config) nat.ChooseExternal {
	return func(m nat.Mapping) (uint16, error) {
		facts, err := c.kernel.Facts(ctx)
		if err != nil {
			return 0, err
		}
		n, err := config.NAT(m.NAT)
		if err != nil {
			return 0, err
		}
		use := nat.InUse{Mappings: config.Mappings}
		if use.Bindings, err = c.kernel.Bindings(ctx); err != nil {
			return 0, err
		}
		return c.unheard(ctx, m, use, dynamicRanges(n, facts, m.External.Addr()))
	}
}

// unheard chooses a free port on which no program of the host listens. It asks
// port by port: to find whose all the host's sockets are takes much longer.
func (c *Control) unheard(ctx context.Context, m nat.Mapping, use nat.InUse, ranges []nat.PortRange) (uint16, error) {
	for {
		port, ok := use.FreePort(m.Protocol, m.External.Addr(), ranges, rand.IntN)
		if !ok {
			return 0, noPortLeft(m, ranges)
		}
		external := netip.AddrPortFrom(m.External.Addr(), port)
		l, err := c.kernel.Listener(ctx, m.Protocol, external)
		if err != nil || l == nil {
			return port, err
		}
		use.Listeners = append(use.Listeners, nat.Listener{Protocol: m.Protocol, Address: external})
	}
}

// dynamicRanges are the ports that a NAT gives out on an address, on any of its
// addresses if that is 0.0.0.0. On an address that it does not have, they are
// those of an address without a range.
func dynamicRanges(n nat.NAT, facts nat.HostFacts, at netip.Addr) []nat.PortRange {
	var ranges []nat.PortRange
	for _, a := range externalAddresses(n, facts) {
		if at.IsUnspecified() || a.Address == at {
			ranges = append(ranges, a.Ports.Without(facts.LocalPorts)...)
		}
	}
	if len(ranges) == 0 {
		return nat.DefaultPorts.Without(facts.LocalPorts)
	}
	return ranges
}

func noPortLeft(m nat.Mapping, ranges []nat.PortRange) error {
	where := ""
	if a := m.External.Addr(); !a.IsUnspecified() {
		where = " on " + a.String()
	}
	return nat.Errorf(nat.Exhausted, "NAT %q has no free %s port%s in %s", m.NAT, m.Protocol, where, rangesText(ranges)).
		WithHint("give --external [A:]PORT, or give the NAT more ports ('hostnat port list' shows who has them)")
}
