package config

import (
	"net/netip"
	"slices"

	"github.com/hostnat/hostnat/internal/model"
)

// moveKept gives what is kept for clients of a network its new address. What
// has no place in a smaller subnet goes; leases are refused by the server.
func (c *Config) moveKept(n *model.Network, r Renumbering) {
	n.Ranges, n.Exclude = r.moveRanges(n.Ranges), r.moveRanges(n.Exclude)
	n.Routes, n.NTP = r.moveRoutes(n.Routes), r.moveStations(n.NTP)
	if next := r.moveStations([]netip.Addr{n.PXE.NextServer}); n.PXE.NextServer.IsValid() {
		n.PXE.NextServer = netip.Addr{}
		if len(next) == 1 {
			n.PXE.NextServer = next[0]
		}
	}
	c.Reservations = slices.DeleteFunc(c.Reservations, func(v model.Reservation) bool {
		a, fits := r.move(v.Address)
		return v.Network == n.Name && (!fits || a == n.Gateway4())
	})
	for i, v := range c.Reservations {
		if v.Network == n.Name {
			c.Reservations[i].Address, _ = r.move(v.Address)
		}
	}
	c.Remembered = slices.DeleteFunc(c.Remembered, func(v model.Remembered) bool {
		a, fits := r.move(v.Address)
		return v.Network == n.Name && (!fits || a == n.Gateway4())
	})
	for i, v := range c.Remembered {
		if v.Network == n.Name {
			c.Remembered[i].Address, _ = r.move(v.Address)
		}
	}
	c.Leases = slices.DeleteFunc(c.Leases, func(l model.Lease) bool { return l.Network == n.Name })
	c.Discovered = slices.DeleteFunc(c.Discovered, func(e model.Endpoint) bool { return e.Network == n.Name })
}

// moveRanges keeps of each range what has a place in the new subnet.
func (r Renumbering) moveRanges(ranges []model.AddressRange) []model.AddressRange {
	var list []model.AddressRange
	for _, v := range ranges {
		low, lowFits := r.move(v.Low)
		high, highFits := r.move(v.High)
		if !highFits {
			high = model.LastAddress(r.To).Prev()
		}
		if lowFits {
			list = append(list, model.AddressRange{Low: low, High: high})
		}
	}
	return list
}

// moveRoutes keeps the routes whose gateways have a place in the new subnet.
func (r Renumbering) moveRoutes(routes []model.Route) []model.Route {
	var list []model.Route
	for _, v := range routes {
		if via, fits := r.move(v.Via); fits {
			list = append(list, model.Route{Prefix: v.Prefix, Via: via})
		}
	}
	return list
}

// moveStations gives those of the addresses that are the network's their new
// ones, and leaves the others.
func (r Renumbering) moveStations(addresses []netip.Addr) []netip.Addr {
	var list []netip.Addr
	for _, a := range addresses {
		fits := true
		if r.From.Contains(a) {
			a, fits = r.move(a)
		}
		if fits {
			list = append(list, a)
		}
	}
	return list
}

// moveProxies points the port proxies that name addresses of the network by
// number at the new ones: where they connect to, and its gateway as what they
// listen on. The addresses of a network that is Unrouted are others' in the eyes of
// the host, which is who connects.
func (c *Config) moveProxies(n model.Network, r Renumbering, gateway netip.Addr, moved map[netip.Addr]netip.Addr) {
	if n.Unrouted() {
		return
	}
	move := func(h *model.HostPorts) {
		a := h.Address()
		if !a.Is4() || !r.From.Contains(a) {
			return
		}
		if a == gateway {
			h.Host = n.Gateway4().String()
		} else if to, err := r.target(a, n, moved); err == nil {
			h.Host = to.String()
		}
	}
	for i := range c.Proxies {
		p := &c.Proxies[i]
		if p.Listen.Address() == gateway {
			move(&p.Listen)
		}
		move(&p.Connect)
		for k := range p.Routes {
			move(&p.Routes[k].Connect)
		}
	}
}
