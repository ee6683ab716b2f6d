package reconcile

import (
	"context"
	"net/netip"
	"slices"

	"github.com/hostnat/hostnat/internal/config"
	"github.com/hostnat/hostnat/internal/host"
	"github.com/hostnat/hostnat/internal/model"
	"golang.org/x/sys/unix"
)

// routing is what hostnat has in the host's routing tables and rules.
type routing struct {
	routes []host.OwnRoute
	rules  []host.OwnRule
}

// routing is what there is to be. inside is the rule for the host's way to
// networks.
func (v view) routing(inside host.OwnRule) (r routing) {
	for _, n := range v.config.Networks {
		r.routes = append(r.routes, v.routesTo(n)...)
	}
	if slices.ContainsFunc(r.routes, func(r host.OwnRoute) bool { return r.Table == host.InsideTable }) {
		r.rules = append(r.rules, inside)
	}
	transparent := transparentLinks(v.config)
	for _, link := range transparent {
		r.rules = append(r.rules, host.TransparentRule(link))
	}
	if lo := slices.IndexFunc(v.links, func(l host.Link) bool { return l.Loopback }); len(transparent) > 0 && lo >= 0 {
		r.routes = append(r.routes, host.TransparentRoute(v.links[lo].Index))
	}
	return r
}

// routesTo are the host's routes to a network. What of the subnet the host
// reaches elsewhere goes on to the host's own rules, as the network's part does
// without them.
func (v view) routesTo(n model.Network) (routes []host.OwnRoute) {
	link, there := v.link(n.Bridge)
	if !there || !link.Up || !slices.ContainsFunc(link.Addresses, func(p netip.Prefix) bool { return p.Addr() == n.Gateway4() }) {
		return nil
	}
	if gateway := n.GatewayPrefix(); link.Owned() || slices.Contains(link.Lent, gateway) {
		routes = host.GatewayRoutes(link.Index, gateway, !n.Unrouted())
	}
	if n.Unrouted() {
		return routes
	}
	add := func(kind int, p netip.Prefix, link int, source netip.Addr) {
		routes = append(routes, host.OwnRoute{Table: host.InsideTable, Type: kind, Prefix: p.Masked(), Link: link, Source: source})
	}
	for _, e := range v.config.Endpoints {
		if e.Network != n.Name {
			continue
		}
		for _, p := range n.Behind(e) {
			routes = append(routes, host.OwnRoute{Table: host.InsideTable, Type: unix.RTN_UNICAST, Prefix: p, Via: e.Address4(), Link: link.Index, Source: n.Gateway4()})
		}
	}
	elsewhere := slices.Concat(n.HostOverlap(v.host), v.ownerRoutes(n))
	if !slices.ContainsFunc(elsewhere, func(p netip.Prefix) bool { return p.Masked() == n.Subnet4().Masked() }) {
		add(unix.RTN_UNICAST, n.Subnet4(), link.Index, n.Gateway4())
	}
	for _, p := range elsewhere {
		add(unix.RTN_THROW, p, 0, netip.Addr{})
	}
	return routes
}

// hasRouters reports whether an endpoint of the network has something behind it.
func (v view) hasRouters(n model.Network) bool {
	return slices.ContainsFunc(v.config.Endpoints, func(e model.Endpoint) bool {
		return e.Network == n.Name && len(n.Behind(e)) > 0
	})
}

// ownerRoutes are parts of a subnet that the owner of an adopted bridge routes by
// way of a machine on it.
func (v view) ownerRoutes(n model.Network) (parts []netip.Prefix) {
	if !n.Adopted {
		return nil
	}
	for _, h := range v.host.Adopted {
		if p := h.Prefix; h.Source == "route via "+n.Bridge && n.Subnet4().Overlaps(p) && p.Bits() > n.Subnet4().Bits() {
			parts = append(parts, p)
		}
	}
	return parts
}

// routedSubnets are those that the host has routes to.
func routedSubnets(c config.Config) (subnets []netip.Prefix) {
	for _, n := range c.Networks {
		if !n.Unrouted() {
			subnets = append(subnets, n.Subnet4())
		}
	}
	return subnets
}

// observeRouting is what there is.
func observeRouting(ctx context.Context, rules []host.RoutingRule) (r routing, err error) {
	for _, rule := range rules {
		if own, is := rule.Own(); is {
			r.rules = append(r.rules, own)
		}
	}
	r.routes, err = host.OwnRoutes(ctx)
	return r, err
}

// route makes the host's rules and routes as they are to be.
func (k *Kernel) route(ctx context.Context, v view) error {
	rules, err := host.RoutingRules(ctx)
	if err != nil {
		return err
	}
	have, err := observeRouting(ctx, rules)
	if err != nil {
		return err
	}
	k.insideRule = host.InsideRule(rules, routedSubnets(v.config))
	return k.reroute(have, v.routing(k.insideRule))
}

// reroute turns one routing into another. Routes that came with an address go
// with it. No rule leads into a table before it is filled, or after.
func (k *Kernel) reroute(have, want routing) error {
	k.links.expectRoutes(want.routes)
	goneRules := without(have.rules, want.rules)
	goneRoutes := slices.DeleteFunc(without(have.routes, want.routes), func(r host.OwnRoute) bool { return !host.IsOwnTable(r.Table) })
	k.routed = want
	return firstError(
		each(without(want.routes, have.routes), host.AddRoute),
		each(without(want.rules, have.rules), host.AddRule),
		each(goneRules, host.DeleteRule),
		each(goneRoutes, host.DeleteRoute),
	)
}

// without returns what is in list and not in other.
func without[T comparable](list, other []T) []T {
	has := setOf(other)
	return slices.DeleteFunc(slices.Clone(list), func(v T) bool { return has[v] })
}

func each[T any](list []T, do func(T) error) func() error {
	return func() error {
		for _, v := range list {
			if err := do(v); err != nil {
				return err
			}
		}
		return nil
	}
}

// firstError carries out steps until one fails.
func firstError(steps ...func() error) error {
	for _, step := range steps {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}
