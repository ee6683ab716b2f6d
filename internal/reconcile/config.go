package reconcile

import (
	"net/netip"

	"github.com/hostnat/hostnat/internal/datapath"
	"github.com/hostnat/hostnat/internal/host"
	"github.com/hostnat/hostnat/internal/nat"
)

// view is the host with the configuration on it, as the data path must see it.
type view struct {
	config nat.Config
	links  []host.Link
	anchor uint32
	cookie uint64        // of the host's network namespace
	local  nat.PortRange // the host's ephemeral ports
}

func (v view) link(name string) (host.Link, bool) {
	for _, l := range v.links {
		if l.Name == name {
			return l, true
		}
	}
	return host.Link{}, false
}

// datapathConfig says what the data path must be told.
func (v view) datapathConfig() datapath.Config {
	c := datapath.Config{
		Anchor:      v.anchor,
		NetnsCookie: v.cookie,
		LocalPorts:  v.local,
		NATs:        make(map[uint32]nat.NAT),
		Networks:    make(map[uint32]datapath.Network),
		Insides:     make(map[uint32]datapath.Inside),
		Outsides:    make(map[uint32]datapath.Outside),
		Mappings:    make(map[uint32]datapath.Mapping),

		HostAddresses: make(map[netip.Addr]uint32),
	}
	for _, l := range v.outsides() {
		c.Outsides[uint32(l.Index)] = datapath.Outside{NoEthernet: !l.HasEthernet}
	}
	for _, n := range v.config.NATs {
		c.NATs[n.ID] = n
		c.Pools = append(c.Pools, v.pools(n)...)
	}
	if overlaps(c.Pools, v.local) {
		c.LocalPorts = nat.PortRange{} // then every port the host talks from is watched
	}
	for _, n := range v.config.Networks {
		v.addNetwork(&c, n)
	}
	for _, e := range v.config.Endpoints {
		v.addEndpoint(&c, e)
	}
	for _, m := range v.config.Mappings {
		v.addMapping(&c, m)
	}
	for _, l := range v.links {
		for _, p := range l.Addresses {
			if !p.Addr().IsLoopback() {
				c.HostAddresses[p.Addr()] = uint32(l.Index)
			}
		}
	}
	return c
}

// outsides are the interfaces that can be somebody's way to the host: all but
// loopback, our own, and ports of a bridge or bond, whose traffic is seen there.
func (v view) outsides() []host.Link {
	inside := map[string]bool{host.AnchorName: true}
	for _, n := range v.config.Networks {
		inside[n.Bridge] = true
	}
	for _, e := range v.config.Endpoints {
		inside[e.Interface] = true
	}
	master := make(map[int]string)
	for _, l := range v.links {
		master[l.Index] = l.Type
	}
	var list []host.Link
	for _, l := range v.links {
		isPort := l.MasterIndex != 0 && master[l.MasterIndex] != "vrf"
		if !l.Loopback && !l.Owned() && !inside[l.Name] && !isPort {
			list = append(list, l)
		}
	}
	return list
}

func (v view) addNetwork(c *datapath.Config, n nat.Network) {
	network := datapath.Network{
		Compartment: v.config.CompartmentID(n.Compartment),
		Subnet:      n.Subnet, Gateway: n.Gateway,
	}
	if t, err := v.config.NAT(n.NAT); err == nil {
		network.NAT = t.ID
	}
	if bridge, ok := v.link(n.Bridge); ok {
		network.Bridge = uint32(bridge.Index)
		network.GatewayMAC = bridge.MAC
		c.Insides[network.Bridge] = datapath.Inside{Network: n.ID, Bridge: true}
	}
	c.Networks[n.ID] = network
}

func (v view) addEndpoint(c *datapath.Config, e nat.Endpoint) {
	link, ok := v.link(e.Interface)
	n, err := v.config.Network(e.Network)
	if !ok || err != nil {
		return // absent at the moment
	}
	network := c.Networks[n.ID]
	index := uint32(link.Index)
	c.Insides[index] = datapath.Inside{Network: n.ID, Address: e.Address, MAC: e.MAC}
	c.Endpoints = append(c.Endpoints, datapath.Endpoint{
		Compartment: network.Compartment, Address: e.Address, Interface: index, Network: n.ID,
		Peer: e.InNamespace(), MAC: e.MAC, GatewayMAC: network.GatewayMAC,
	})
}

func (v view) addMapping(c *datapath.Config, m nat.Mapping) {
	t, err := v.config.NAT(m.NAT)
	if err != nil {
		return
	}
	n, err := v.config.Network(m.Network)
	if err != nil {
		return
	}
	c.Mappings[m.ID] = datapath.Mapping{
		NAT: t.ID, Network: n.ID, Compartment: c.Networks[n.ID].Compartment,
		Protocol: m.Protocol, External: m.External, Internal: m.Internal, From: m.From,
	}
}

// pools are the external addresses of a NAT: its own, or what the outgoing
// interfaces have.
func (v view) pools(n nat.NAT) []datapath.Pool {
	interfaces := make(map[string]bool)
	for _, name := range n.ExternalInterfaces {
		interfaces[name] = true
	}
	fixed := v.fixedAddresses(n)
	if len(fixed) > 0 && len(interfaces) == 0 {
		return []datapath.Pool{{NAT: n.ID, Addresses: fixed}}
	}
	var list []datapath.Pool
	for _, l := range v.outsides() {
		if len(interfaces) > 0 && !interfaces[l.Name] {
			continue
		}
		addresses := fixed
		if a := firstAddress(l); len(addresses) == 0 && a.IsValid() {
			addresses = []datapath.PoolAddress{{Address: a, Ports: nat.DefaultPorts.Without(v.local)}}
		}
		if len(addresses) > 0 {
			list = append(list, datapath.Pool{NAT: n.ID, Interface: uint32(l.Index), Addresses: addresses})
		}
	}
	return list
}

func (v view) fixedAddresses(n nat.NAT) []datapath.PoolAddress {
	var list []datapath.PoolAddress
	for _, a := range n.ExternalAddresses {
		ports := a.Ports.Without(v.local)
		if i := indexOf(list, a.Address); i >= 0 {
			list[i].Ports = append(list[i].Ports, ports...)
			continue
		}
		list = append(list, datapath.PoolAddress{Address: a.Address, Ports: ports})
	}
	return list
}

func indexOf(list []datapath.PoolAddress, a netip.Addr) int {
	for i := range list {
		if list[i].Address == a {
			return i
		}
	}
	return -1
}

func firstAddress(l host.Link) netip.Addr {
	for _, p := range l.Addresses {
		if !p.Addr().IsLoopback() {
			return p.Addr()
		}
	}
	return netip.Addr{}
}

func overlaps(pools []datapath.Pool, local nat.PortRange) bool {
	for _, p := range pools {
		for _, a := range p.Addresses {
			for _, r := range a.Ports {
				if r.Low <= local.High && r.High >= local.Low {
					return true
				}
			}
		}
	}
	return false
}
