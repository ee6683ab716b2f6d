package control

import (
	"context"
	"net/netip"
	"slices"

	"github.com/hostnat/hostnat/internal/config"
	"github.com/hostnat/hostnat/internal/model"
)

// checkOneToOne refuses a mapping of a whole address, the last one of config, that
// nobody could reach. Without force it also refuses one that takes away what the host needs;
// and one that takes the NAT's only address, unless onlyAddress says that this is meant.
func (c *Control) checkOneToOne(ctx context.Context, cfg config.Config, m model.Mapping, force, onlyAddress bool) error {
	facts, err := c.host.Facts(ctx)
	if err != nil {
		return err
	}
	if err := checkOneToOneAddress(cfg, facts, m); err != nil || force {
		return err
	}
	if err := c.checkListeners(ctx, cfg, facts, m); err != nil || onlyAddress {
		return err
	}
	return checkOnlyAddress(cfg, facts, m)
}

// checkOneToOneAddress refuses an address that neither the host nor the NAT has: no
// packet for it would come.
func checkOneToOneAddress(cfg config.Config, facts model.HostFacts, m model.Mapping) error {
	a := m.External.Address
	if facts.InterfaceOf(a) != "" {
		return nil
	}
	for _, n := range cfg.NATs {
		for _, has := range n.FixedAddresses() {
			if n.Name == m.NAT && has == a {
				return nil
			}
		}
	}
	return model.Errorf(model.NotFound, "external address %s is neither the host's nor NAT %q's", a, m.NAT).
		WithHint("add it first: hostnat address add %s %s", m.NAT, a)
}

// checkListeners refuses an address on which a program of the host listens. One
// that listens on all addresses counts where the address is the host's own, not
// where hostnat has added it for a NAT.
func (c *Control) checkListeners(ctx context.Context, cfg config.Config, facts model.HostFacts, m model.Mapping) error {
	listeners, err := c.host.Listeners(ctx)
	if err != nil {
		return err
	}
	own := facts.HasOwn(m.External.Address)
	for _, l := range foreign(listeners, cfg) {
		at := l.Address.Addr()
		if at != m.External.Address && !(own && at.IsUnspecified()) {
			continue
		}
		return model.Errorf(model.Conflict, "%s listens on %s %s", program(l), l.Protocol, l.Address).
			WithHint("end it, choose another external address, or take this one with --force")
	}
	return nil
}

// checkOnlyAddress refuses to take a NAT's last address with dynamic ports.
func checkOnlyAddress(cfg config.Config, facts model.HostFacts, m model.Mapping) error {
	without := cfg.Mappings[:len(cfg.Mappings)-1]
	for _, n := range cfg.NATs {
		for _, p := range []model.Protocol{model.TCP, model.UDP} {
			if dynamicCount(n, facts, p, without) > 0 && dynamicCount(n, facts, p, cfg.Mappings) == 0 {
				return model.Errorf(model.Conflict, "%s is the only external address of NAT %q: nobody else behind it could open a flow", m.External.Address, n.Name).
					WithHint("give the NAT another address (hostnat address add %s A), or take this one with --force", n.Name)
			}
		}
	}
	return nil
}

// isOneToOne reports whether an external address is mapped as a whole: no port of it is given out.
func isOneToOne(cfg config.Config, a netip.Addr) bool {
	return slices.ContainsFunc(cfg.Mappings, func(m model.Mapping) bool { return m.IsOneToOne() && m.External.Address == a })
}
