package config

import (
	"net/netip"
	"slices"

	"github.com/hostnat/hostnat/internal/model"
)

// ClientSight says to which servers a transparent proxy can show which clients.
// It is not changed once it is made.
type ClientSight struct {
	servers map[netip.Addr]bool
	subnets map[netip.Prefix]int // how many networks have it
}

// NewClientSight makes one for a configuration.
func NewClientSight(c Config) *ClientSight {
	s := &ClientSight{servers: make(map[netip.Addr]bool, len(c.Endpoints)), subnets: make(map[netip.Prefix]int)}
	pointToPoint := make(map[string]bool)
	for _, n := range c.Networks {
		s.subnets[n.Subnet4()]++
		pointToPoint[n.Name] = n.IsPointToPoint()
	}
	for _, e := range c.Endpoints {
		if pointToPoint[e.Network] { // the next clone has the same address
			s.servers[e.Address4()] = false
		} else if _, known := s.servers[e.Address4()]; !known {
			s.servers[e.Address4()] = s.networksWith(e.Address4()) == 1
		}
	}
	return s
}

func (s *ClientSight) networksWith(a netip.Addr) (count int) {
	for p, networks := range s.subnets {
		if p.Contains(a) {
			count += networks
		}
	}
	return count
}

// Shows reports whether the connection to a server can have the client's own
// address as its source. The server must be an endpoint: its answers to that
// address then come through the host; and its address must not be another
// network's too, in another compartment: such a connection is not bound to a
// link. And the client must be outside: an
// endpoint's address would be answered past the host, and the host's own is
// none to bind to for a program that came over loopback. Dialled is the address
// at which the client reached the proxy: a program of the host has the same.
func (s *ClientSight) Shows(client, dialled, server netip.Addr) bool {
	if !client.Is4() || client.IsLoopback() || client == dialled || !s.servers[server] {
		return false
	}
	return s.networksWith(client) == 0
}

// TransparentNetworks returns the networks to whose endpoints a transparent
// proxy may connect. A target that is a name but no endpoint's may turn out to
// be in any of them. Point-to-point links are none: see ClientSight.
func (c *Config) TransparentNetworks() []model.Network {
	networks := slices.DeleteFunc(slices.Clone(c.Networks), model.Network.IsPointToPoint)
	wanted := make(map[string]bool)
	for _, p := range c.Proxies {
		if !p.Transparent {
			continue
		}
		for _, t := range p.Targets() {
			name, known := c.networkOfTarget(t)
			if !known {
				return networks
			}
			wanted[name] = true
		}
	}
	return slices.DeleteFunc(networks, func(n model.Network) bool { return !wanted[n.Name] })
}

// networkOfTarget returns the network of the endpoint that a target means,
// empty if it is an address of none. Not known: the name means something else.
func (c *Config) networkOfTarget(t model.HostPorts) (network string, known bool) {
	address := t.Address()
	for _, e := range c.Endpoints {
		if e.Name == t.Host || e.Address4() == address {
			return e.Network, true
		}
	}
	return "", address.IsValid()
}
