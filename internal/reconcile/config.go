package reconcile

import (
	"net/netip"

	"github.com/hostnat/hostnat/internal/config"
	"github.com/hostnat/hostnat/internal/datapath"
	"github.com/hostnat/hostnat/internal/host"
	"github.com/hostnat/hostnat/internal/model"
)

// view is the host with the configuration on it, as the data path must see it.
type view struct {
	config config.Config
	links  []host.Link
	byName map[string]int // index in links; nil: not made

	attached map[datapath.Attachment]bool // before

	anchor     uint32
	reassembly uint32          // 0: there is none
	local      model.PortRange // the host's ephemeral ports
	host       model.HostFacts // what the host reaches by itself
	routes     []host.RouteMTU
	ipsec      []host.IPsecPolicy
	absent     map[string]error // endpoints that are not there at the moment, by name
}

// withLinks is a view of other links, which are found by name at once.
func (v view) withLinks(links []host.Link) view {
	v.links, v.byName = links, make(map[string]int, len(links))
	for i, l := range links {
		v.byName[l.Name] = i
	}
	return v
}

func (v view) link(name string) (host.Link, bool) {
	if v.byName != nil {
		i, ok := v.byName[name]
		if !ok {
			return host.Link{}, false
		}
		return v.links[i], true
	}
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
		Anchor:     v.anchor,
		Reassembly: v.reassembly,
		LocalPorts: v.local,
		NATs:       make(map[uint32]model.NAT),
		Networks:   make(map[uint32]datapath.Network),
		Insides:    make(map[uint32]datapath.Inside),
		Outsides:   make(map[uint32]datapath.Outside),
		Mappings:   make(map[uint32]datapath.Mapping),
		OneToOne:   make(map[uint32]datapath.OneToOne),

		HostAddresses: v.hostAddresses(),
		Broadcasts:    v.broadcasts(),
		Deprecated:    v.deprecated(),
		RouteMTUs:     v.routeMTUs(),
		IPsec:         v.ipsecPolicies(),
		Transparent:   v.config.HasTransparentProxy(),
	}
	for _, l := range v.outsides() {
		c.Outsides[uint32(l.Index)] = datapath.Outside{NoEthernet: !l.HasEthernet}
	}
	for _, n := range v.config.NATs {
		c.NATs[n.ID] = n
		c.Pools = append(c.Pools, v.pools(n)...)
	}
	if overlaps(c.Pools, v.local) {
		c.LocalPorts = model.PortRange{} // then every port the host talks from is watched
	}
	for _, n := range v.config.Networks {
		v.addNetwork(&c, n)
	}
	for _, e := range v.config.Endpoints {
		v.addEndpoint(&c, e)
	}
	c.Leases = leasesOf(v.config)
	v.addPorts(&c)
	for _, m := range v.config.Mappings {
		v.addMapping(&c, m)
	}
	return c
}

// hostAddresses are all addresses of the host with their interfaces; of one that
// several have, the last.
func (v view) hostAddresses() map[netip.Addr]uint32 {
	addresses := make(map[netip.Addr]uint32)
	for _, l := range v.links {
		for _, p := range l.Addresses {
			if !p.Addr().IsLoopback() {
				addresses[p.Addr()] = uint32(l.Index)
			}
		}
	}
	return addresses
}

// broadcasts are the broadcast addresses of the host's own subnets: nobody there
// has one of them for a source (RFC 1812 section 5.3.7).
func (v view) broadcasts() map[netip.Addr]uint32 {
	addresses := make(map[netip.Addr]uint32)
	for _, l := range v.links {
		for _, p := range l.Addresses {
			if p.Bits() < 31 && !p.Addr().IsLoopback() { // RFC 3021: longer prefixes have none
				addresses[model.LastAddress(p.Masked())] = uint32(l.Index)
			}
		}
	}
	return addresses
}

// outsides are the interfaces that can be somebody's way to the host: all but
// loopback, our own, and ports of a bridge or bond, whose traffic is seen there. A
// container's end of a link is none while it waits here: the programs would go with it
// into the container, and take what comes there for what comes to the host.
func (v view) outsides() []host.Link {
	inside := map[string]bool{host.AnchorName: true, host.ReassemblyLink: true}
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
		if !l.Loopback && !l.Owned() && !inside[l.Name] && !isPort && !l.WaitsToMove() {
			list = append(list, l)
		}
	}
	return list
}

func (v view) addNetwork(c *datapath.Config, n model.Network) {
	network := datapath.Network{
		Compartment: v.config.CompartmentID(n.Compartment),
		Subnet:      n.Subnet4(), Gateway: n.Gateway4(),
		Open: n.Isolation == model.NotIsolated, EndpointsIsolated: n.Isolation == model.IsolatedEndpoints, DHCPInside: !n.DHCP.On(), Switched: n.IsSwitched(), Unguarded: !n.PortSecurity.On(), Names: n.DNS.On(), Routers: v.hasRouters(n), Unrouted: n.Unrouted(),
		HostOverlap: n.HostOverlap(v.host),
	}
	if t, err := v.config.NAT(n.NAT); err == nil {
		network.NAT = t.ID
	}
	if bridge, ok := v.link(n.Bridge); ok {
		network.Bridge = uint32(bridge.Index)
		network.Input = v.input(bridge)
		network.GatewayMAC = bridge.MAC
		if !n.IsPointToPoint() { // then the endpoint's link is the network's
			c.Insides[network.Bridge] = datapath.Inside{Network: n.ID, Bridge: true}
		}
	}
	c.Networks[n.ID] = network
}

func (v view) addEndpoint(c *datapath.Config, e model.Endpoint) {
	link, ok := v.link(e.Interface)
	n, err := v.config.Network(e.Network)
	if !ok || err != nil {
		return // absent at the moment
	}
	network := c.Networks[n.ID]
	index := uint32(link.Index)
	c.Insides[index] = datapath.Inside{Network: n.ID, Address: e.Address4(), MAC: e.MAC, PointToPoint: n.IsPointToPoint(), Further: len(e.Allow) > 0}
	c.Endpoints = append(c.Endpoints, datapath.Endpoint{
		ID: e.ID, Compartment: network.Compartment, Address: e.Address4(), Interface: index, Network: n.ID,
		Peer: e.InNamespace() || e.Kind == model.KindPair, MTU: link.MTU, MAC: e.MAC, GatewayMAC: network.GatewayMAC,
		Sources: e.Further(), Forwards: e.Forwards(),
	})
}

func (v view) addMapping(c *datapath.Config, m model.Mapping) {
	mapping, leads := v.mapping(m)
	switch {
	case !leads:
	case m.IsOneToOne():
		addOneToOne(c, m.ID, mapping)
	default:
		c.Mappings[m.ID] = mapping
	}
}

// addPorts adds what some tool has plugged into a network's bridge.
func (v view) addPorts(c *datapath.Config) {
	networks := make(map[uint32]uint32, len(c.Networks)) // by bridge
	for id, n := range c.Networks {
		networks[n.Bridge] = id
	}
	for _, l := range v.links {
		network, isPort := networks[uint32(l.MasterIndex)]
		if _, managed := c.Insides[uint32(l.Index)]; isPort && l.MasterIndex != 0 && !managed && !l.Owned() {
			c.Insides[uint32(l.Index)] = datapath.Inside{Network: network, Port: true}
		}
	}
}

// mapping is what the data path is told of a mapping; false: nothing, as there
// is nothing that it could lead to.
func (v view) mapping(m model.Mapping) (datapath.Mapping, bool) {
	t, err := v.config.NAT(m.NAT)
	if err != nil {
		return datapath.Mapping{}, false
	}
	mapping := datapath.Mapping{NAT: t.ID, Protocol: m.Protocol, External: m.External, From: m.From}
	for _, to := range m.Present(v.absent).Targets {
		n, err := v.config.Network(to.Network)
		if err != nil {
			continue
		}
		mapping.Compartment = v.config.CompartmentID(n.Compartment)
		mapping.Targets = append(mapping.Targets, datapath.Target{Network: n.ID, Internal: to.Internal})
	}
	return mapping, len(mapping.Targets) > 0
}
