package control

import (
	"context"
	"fmt"
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
		return c.unheard(ctx, m, use, dynamicRanges(n, facts, m.External.Address))
	}
}

// unheard chooses free ports in a row on which no program of the host listens.
// It asks row by row: to find whose all the host's sockets are takes much longer.
func (c *Control) unheard(ctx context.Context, m nat.Mapping, use nat.InUse, ranges []nat.PortRange) (uint16, error) {
	count := m.Targets[0].Internal.Count()
	for {
		low, ok := use.FreePorts(m.Protocol, m.External.Address, ranges, count, rand.IntN)
		if !ok {
			return 0, noPortLeft(m, count, ranges)
		}
		row := nat.AddrPorts{Address: m.External.Address, Ports: nat.PortRange{Low: low, High: low + uint16(count-1)}}
		l, err := c.kernel.Listener(ctx, m.Protocol, row)
		if err != nil || l == nil {
			return low, err
		}
		taken := netip.AddrPortFrom(m.External.Address, l.Address.Port())
		use.Listeners = append(use.Listeners, nat.Listener{Protocol: m.Protocol, Address: taken})
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

func noPortLeft(m nat.Mapping, count int, ranges []nat.PortRange) error {
	where := ""
	if a := m.External.Address; !a.IsUnspecified() {
		where = " on " + a.String()
	}
	what := fmt.Sprintf("free %s port", m.Protocol)
	if count > 1 {
		what = fmt.Sprintf("%d free %s ports in a row", count, m.Protocol)
	}
	return nat.Errorf(nat.Exhausted, "NAT %q has no %s%s in %s", m.NAT, what, where, rangesText(ranges)).
		WithHint("give --external [A:]PORT, or give the NAT more ports ('hostnat port list' shows who has them)")
}
