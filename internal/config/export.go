package config

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/hostnat/hostnat/internal/config/wanted"
	"github.com/hostnat/hostnat/internal/model"
)

// Export is the configuration as files would ask for it: of each object what is
// not as it is in a new one. leftOut says what is not in it, and why.
func (c *Config) Export() (w wanted.Objects, leftOut []string) {
	left := make(map[string]int)
	leave := func(owner, what string, count int) {
		if owner != "" {
			what += " of " + owner
		}
		left[what] += count
	}
	networks := make(map[string]bool) // that are left out
	for _, p := range c.Pools {
		w.Pools = append(w.Pools, wanted.OfPool(p))
	}
	for _, n := range c.NATs {
		e, usual := wanted.OfNAT(n), wanted.OfNAT(wanted.DefaultNAT(n))
		wanted.Without(&e, &usual, "name", "profile")
		w.NATs = append(w.NATs, e)
	}
	for _, n := range c.Networks {
		if model.IsPluginOwner(n.Owner) {
			networks[n.Name] = true
			leave(n.Owner, "network", 1)
			continue
		}
		e, usual := wanted.OfNetwork(n), wanted.OfNetwork(wanted.UsualNetwork(n))
		wanted.Without(&e, &usual, "name", "subnets")
		w.Networks = append(w.Networks, e)
	}
	c.exportEndpoints(&w, networks, leave)
	for _, r := range c.Reservations {
		if model.IsPluginOwner(r.Owner) || networks[r.Network] {
			leave(r.Owner, "reservation", 1)
			continue
		}
		w.Reservations = append(w.Reservations, wanted.OfReservation(r))
	}
	c.exportMappings(&w, networks, leave)
	usual := wanted.OfProxy(model.Proxy{})
	for _, p := range c.Proxies {
		if model.IsPluginOwner(p.Owner) {
			leave(p.Owner, "port proxy", 1)
			continue
		}
		e := wanted.OfProxy(p)
		wanted.Without(&e, &usual, "kind", "protocol", "listen")
		w.Proxies = append(w.Proxies, e)
	}
	for _, what := range sortedKeys(left) {
		leftOut = append(leftOut, fmt.Sprintf("%d× %s", left[what], what))
	}
	return w, leftOut
}

// leaving counts what an export leaves out.
type leaving func(owner, what string, count int)

func (c *Config) exportEndpoints(w *wanted.Objects, without map[string]bool, leave leaving) {
	for _, e := range c.Endpoints {
		switch {
		case model.IsPluginOwner(e.Owner) || without[e.Network]:
			leave(e.Owner, "endpoint", 1)
		case e.Kind == model.KindPID:
			leave("", "endpoint of a process, by its id", 1)
		default:
			x := wanted.OfEndpoint(e)
			if x.IfName == model.DefaultIfName {
				x.IfName = ""
			}
			w.Endpoints = append(w.Endpoints, x)
		}
	}
}

func (c *Config) exportMappings(w *wanted.Objects, without map[string]bool, leave leaving) {
	for _, m := range c.Mappings {
		inLeft := func(t model.Target) bool { return without[t.Network] }
		if model.IsPluginOwner(m.Owner) || slices.ContainsFunc(m.Targets, inLeft) {
			leave(m.Owner, "mapping", 1)
			continue
		}
		w.Mappings = append(w.Mappings, wanted.OfMapping(m))
	}
}

// TakesAll reports whether a mapping has the only external address that its NAT was
// given.
func (c *Config) TakesAll(m model.Mapping) bool {
	n, err := c.NAT(m.NAT)
	return err == nil && m.IsOneToOne() && slices.Equal(n.FixedAddresses(), []netip.Addr{m.External.Address})
}
