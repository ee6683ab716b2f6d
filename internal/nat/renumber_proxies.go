package nat

import "net/netip"

// moveProxies points the port proxies that name addresses of the network by
// number at the new ones: where they connect to, and its gateway as what they
// listen on. The addresses of a network that is Apart are others' in the eyes of
// the host, which is who connects.
func (c *Config) moveProxies(n Network, r Renumbering, gateway netip.Addr, moved map[netip.Addr]netip.Addr) {
	if n.Apart() {
		return
	}
	move := func(h *HostPorts) {
		a := h.Address()
		if !a.Is4() || !r.From.Contains(a) {
			return
		}
		if a == gateway {
			h.Host = n.Gateway.String()
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
