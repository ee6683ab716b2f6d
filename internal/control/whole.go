package control

import (
	"context"
	"net/netip"
	"slices"

	"github.com/hostnat/hostnat/internal/nat"
)

// checkWhole refuses a mapping of a whole address, the last one of config, that
// nobody could reach, and without force one that takes away what the host or a
// NAT needs.
func (c *Control) checkWhole(ctx context.Context, config nat.Config, m nat.Mapping, force bool) error {
	facts, err := c.kernel.Facts(ctx)
	if err != nil {
		return err
	}
	if err := checkWholeAddress(config, facts, m); err != nil || force {
		return err
	}
	if err := c.checkListeners(ctx, config, facts, m); err != nil {
		return err
	}
	return checkOnlyAddress(config, facts, m)
}

// checkWholeAddress refuses an address that neither the host nor the NAT has: no
// packet for it would come.
func checkWholeAddress(config nat.Config, facts nat.HostFacts, m nat.Mapping) error {
	a := m.External.Address
	if facts.InterfaceOf(a) != "" {
		return nil
	}
	for _, n := range config.NATs {
		for _, has := range n.FixedAddresses() {
			if n.Name == m.NAT && has == a {
				return nil
			}
		}
	}
	return nat.Errorf(nat.NotFound, "external address %s is neither the host's nor NAT %q's", a, m.NAT).
		WithHint("add it first: hostnat address add %s %s", m.NAT, a)
}

// checkListeners refuses an address on which a program of the host listens. One
// that listens on all addresses counts where the address is the host's own, not
// where hostnat has added it for a NAT.
func (c *Control) checkListeners(ctx context.Context, config nat.Config, facts nat.HostFacts, m nat.Mapping) error {
	listeners, err := c.kernel.Listeners(ctx)
	if err != nil {
		return err
	}
	own := facts.HasOwn(m.External.Address)
	for _, l := range foreign(listeners, config) {
		at := l.Address.Addr()
		if at != m.External.Address && !(own && at.IsUnspecified()) {
			continue
		}
		return nat.Errorf(nat.Conflict, "%s listens on %s %s", program(l), l.Protocol, l.Address).
			WithHint("end it, choose another external address, or take this one with --force")
	}
	return nil
}

// checkOnlyAddress refuses to take a NAT's last address with dynamic ports.
func checkOnlyAddress(config nat.Config, facts nat.HostFacts, m nat.Mapping) error {
	without := config.Mappings[:len(config.Mappings)-1]
	for _, n := range config.NATs {
		for _, p := range []nat.Protocol{nat.TCP, nat.UDP} {
			if dynamicCount(n, facts, p, without) > 0 && dynamicCount(n, facts, p, config.Mappings) == 0 {
				return nat.Errorf(nat.Conflict, "%s is the only external address of NAT %q: nobody else behind it could open a flow", m.External.Address, n.Name).
					WithHint("give the NAT another address (hostnat address add %s A), or take this one with --force", n.Name)
			}
		}
	}
	return nil
}

// isWhole reports whether an external address is mapped as a whole: no port of it is given out.
func isWhole(config nat.Config, a netip.Addr) bool {
	return slices.ContainsFunc(config.Mappings, func(m nat.Mapping) bool { return m.IsWhole() && m.External.Address == a })
}
