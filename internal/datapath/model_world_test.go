package datapath

import (
	"maps"
	"net/netip"
	"slices"
	"time"

	"github.com/hostnat/hostnat/internal/datapath/dptest/wire"
	"github.com/hostnat/hostnat/internal/datapath/kernel"
	"github.com/hostnat/hostnat/internal/model"
	"github.com/hostnat/hostnat/internal/natmodel"
)

// The world that model and data path share: small, so that everything collides.
// Two compartments have the same subnet; the third network has no NAT.
const (
	twinMTU      = 600
	twinSessions = 32 // room in the tables
	twinBindings = 24
)

var (
	secondAddress = netip.MustParseAddr("203.0.113.9")
	gateway1      = netip.MustParseAddr("172.16.1.1")
	gateway3      = netip.MustParseAddr("172.16.3.1")
	inside2       = netip.MustParseAddr("172.16.1.2")
	unplugged     = netip.MustParseAddr("172.16.1.9") // on the bridges of networks 1 and 2
	plugged       = netip.MustParseAddr("172.16.1.8") // on network 1's, by a port that was noticed
	inside3       = netip.MustParseAddr("172.16.3.2")
)

var (
	behind2  = netip.MustParseAddr("10.50.0.7")    // behind an endpoint that is a router
	shared2  = netip.MustParseAddr("172.16.1.200") // a virtual router's address
	groupMAC = natmodel.MAC{0, 0, 0x5e, 0, 1, 7}   // and its MAC
)

// twinAllowances: nobody has any; the first endpoint has further addresses; it forwards
// for its neighbours too.
var twinAllowances = []struct {
	sources  []netip.Prefix
	forwards bool
}{
	{},
	{sources: []netip.Prefix{netip.MustParsePrefix("10.50.0.0/24"), netip.MustParsePrefix("172.16.1.200/32")}},
	{sources: []netip.Prefix{netip.MustParsePrefix("10.50.0.0/24"), netip.MustParsePrefix("172.16.1.192/28")}, forwards: true},
}

// endpoints are those of all worlds, but for what else the first may be.
func (w world) endpoints(all []Endpoint) []Endpoint {
	all = slices.Clone(all)
	all[0].Sources, all[0].Forwards = twinAllowances[w.Allowances].sources, twinAllowances[w.Allowances].forwards
	return all
}

// insides are those of all worlds.
func (w world) insides(all map[uint32]Inside) map[uint32]Inside {
	all = maps.Clone(all)
	for index, i := range all {
		i.Further = w.Allowances > 0 && i.Network == 1 && i.Address == inside2
		all[index] = i
	}
	return all
}

var outsideMAC = twinMAC(0x32) // the host's

func twinMAC(last byte) natmodel.MAC { return natmodel.MAC{2, 0, 0, 0, 1, last} }

func natMAC(m natmodel.MAC) model.MAC { return model.MAC(hardwareString(m)) }

func leadsTo(network uint32, internal netip.AddrPort) []Target {
	return []Target{{Network: network, Internal: model.SinglePort(internal)}}
}

// rules are what a NAT is told to do; a generated world draws them.
type rules struct {
	TCP, UDP                     model.Filtering
	Refresh, Short               bool
	Arbitrary, EndpointDependent bool
	HoldDown                     model.Seconds
	Limits                       model.Limits
	Exhaustion                   model.Exhaustion
}

// changed is with one of them another.
func (r rules) changed(which, to int) rules {
	filtering := []model.Filtering{model.AddressDependent, model.EndpointIndependent, model.AddressAndPortDependent}[to%3]
	switch which {
	case 0:
		r.TCP = filtering
	case 1:
		r.UDP = filtering
	case 2:
		r.Refresh = !r.Refresh
	case 3:
		r.Short = !r.Short
	case 4:
		r.Arbitrary = !r.Arbitrary
	case 5:
		r.HoldDown = []model.Seconds{0, 25, 120}[to%3]
	case 6:
		r.Limits.Sessions, r.Limits.Ports = uint32(to%3)*2, uint32(to%2)*3
	case 7:
		r.Exhaustion = []model.Exhaustion{model.Prohibited, model.Unreachable, model.Silent}[to%3]
	}
	return r
}

func twinNAT(r rules) model.NAT {
	timeouts := model.Timeouts{UDP: 100, TCPEstablished: 400, TCPTransitory: 60, ICMP: 30}
	if r.Short {
		timeouts = model.Timeouts{UDP: 40, TCPEstablished: 150, TCPTransitory: 30, ICMP: 12}
	}
	return model.NAT{
		Timeouts:     timeouts,
		TCPFiltering: r.TCP, UDPFiltering: r.UDP, UDPInboundRefresh: r.Refresh,
		Pooling: map[bool]model.Pooling{false: model.Paired, true: model.Arbitrary}[r.Arbitrary], EndpointDependent: r.EndpointDependent, HoldDown: r.HoldDown,
		Limits: r.Limits, Exhaustion: r.Exhaustion,
	}
}

// twinPools: both NATs use the first address, with ranges that overlap, but for
// what is kept for endpoint-dependent mapping.
var twinPools = map[uint32][]PoolAddress{
	1: {
		{Address: wire.HostAddress, Ports: []model.PortRange{{Low: 2000, High: 2003}, {Low: 2006, High: 2006}}},
		{Address: secondAddress, Ports: []model.PortRange{{Low: 3000, High: 3001}}},
	},
	2: {{Address: wire.HostAddress, Ports: []model.PortRange{{Low: 2002, High: 2002}, {Low: 2004, High: 2005}}}},
}

// twinListeners are sockets of the host within these ranges.
var twinListeners = []natmodel.Listener{
	{Protocol: model.UDP, Address: netip.AddrPortFrom(wire.HostAddress, 2001)},
	{Protocol: model.TCP, Address: netip.AddrPortFrom(wire.HostAddress, 2002)},
}

// transparentFlow is a socket of the host that speaks to an endpoint as a remote.
var transparentFlow = natmodel.Transparent{Remote: netip.MustParseAddrPort("198.51.100.7:80"), Internal: netip.AddrPortFrom(inside2, 1001)}

// drawnMappings are those that generated worlds have.
const drawnMappings = 11

// twinMappings are those that a world may have.
var twinMappings = map[uint32]Mapping{
	1: {NAT: 1, Compartment: 1, Protocol: model.TCP, External: external0(2003), Targets: leadsTo(1, netip.AddrPortFrom(inside2, 1001))},
	2: {NAT: 1, Compartment: 1, Protocol: model.UDP, External: model.SinglePort(netip.AddrPortFrom(wire.HostAddress, 2002)),
		Targets: leadsTo(1, netip.AddrPortFrom(unplugged, 1001)), From: []netip.Prefix{netip.MustParsePrefix("198.51.100.7/32")}},
	3: {NAT: 2, Compartment: 2, Protocol: model.UDP, External: external0(8080), Targets: leadsTo(2, netip.AddrPortFrom(inside2, 1002))},
	4: {NAT: 1, Compartment: 1, Protocol: model.TCP, External: model.SinglePort(netip.AddrPortFrom(secondAddress, 8080)),
		Targets: leadsTo(1, netip.AddrPortFrom(inside2, 1001))},
	5: {NAT: 1, Compartment: 1, Protocol: model.TCP, External: model.SinglePort(netip.AddrPortFrom(wire.HostAddress, 8081)),
		Targets: leadsTo(1, netip.AddrPortFrom(unplugged, 1002))},
	6: {NAT: 1, Compartment: 1, Protocol: model.UDP, External: run(wire.HostAddress, 4000, 4003), Targets: []Target{{1, run(inside2, 1000, 1003)}},
		From: []netip.Prefix{netip.MustParsePrefix("198.51.100.0/24"), netip.MustParsePrefix("203.0.113.0/24")}},
	7: {NAT: 1, Compartment: 1, Protocol: model.TCP, External: run(netip.IPv4Unspecified(), 2005, 2007), Targets: []Target{{1, run(unplugged, 1000, 1002)}}},
	8: {NAT: 1, Compartment: 1, Protocol: model.UDP, External: external0(9000),
		Targets: []Target{{1, run(inside2, 1001, 1001)}, {1, run(unplugged, 1001, 1001)}}},
	9: {NAT: 1, Compartment: 1, Protocol: model.TCP, External: run(wire.HostAddress, 9100, 9101),
		Targets: []Target{{1, run(unplugged, 1000, 1001)}, {1, run(inside2, 1001, 1002)}}},
	10: {NAT: 1, Compartment: 1, Protocol: model.TCP, External: run(wire.HostAddress, 2003, 2004), Targets: []Target{{1, run(unplugged, 1000, 1001)}}}, // before 1
	11: {NAT: 1, Compartment: 1, Protocol: model.UDP, External: external0(9200), Targets: leadsTo(1, netip.AddrPortFrom(behind2, 1001))},
}

// twinOneToOne is the mapping of a whole address that a world may have.
var twinOneToOne = OneToOne{
	NAT: 1, Compartment: 1, Network: 1, External: secondAddress, Internal: inside2,
	From: []netip.Prefix{netip.MustParsePrefix("198.51.100.0/24"), netip.MustParsePrefix("203.0.113.0/24")},
}

// networks are those of all worlds, but for which are open to each other.
func (w world) networks(all map[uint32]Network) map[uint32]Network {
	all = maps.Clone(all)
	for id, n := range all {
		n.Open, n.EndpointsIsolated, n.Unrouted = w.Open && id != 2 && !(w.Apart && id == 1), w.Kept, w.Unrouted && id == 2
		n.DHCPInside, n.Routers = w.Kept, w.Allowances > 0 && id == 1
		if w.HostOverlap {
			n.HostOverlap = twinOverlap[id]
		}
		all[id] = n
	}
	return all
}

// twinOverlap is what the host has come to elsewhere: a part of one network that
// has the gateway and an endpoint in it, and the whole of another.
var twinOverlap = map[uint32][]netip.Prefix{
	1: {netip.MustParsePrefix("172.16.1.0/29")},
	3: {netip.MustParsePrefix("172.16.3.0/24")},
}

// twinLeases: nobody has any; who is on network 1's bridge has his own address; the
// port that was noticed has another one's.
var twinLeases = [][]Lease{
	nil,
	{leased(plugged, 0x28), leased(unplugged, 0x29)},
	{leased(plugged, 0x29)},
}

func leased(a netip.Addr, mac byte) Lease {
	return Lease{Compartment: 1, Address: a, MAC: natMAC(twinMAC(mac)), Until: time.Now().Add(24 * time.Hour)}
}

func run(a netip.Addr, low, high uint16) model.AddrPorts {
	return model.AddrPorts{Address: a, Ports: model.PortRange{Low: low, High: high}}
}

func external0(port uint16) model.AddrPorts {
	return model.SinglePort(netip.AddrPortFrom(netip.IPv4Unspecified(), port))
}

func pickMappings(ids map[uint32]bool) map[uint32]Mapping {
	picked := maps.Clone(twinMappings)
	maps.DeleteFunc(picked, func(id uint32, _ Mapping) bool { return !ids[id] })
	return picked
}

// twinNetworks are the same for both sides but for the bridge's number.
var twinNetworks = map[uint32]Network{
	1: {Compartment: 1, NAT: 1, Subnet: netip.MustParsePrefix("172.16.1.0/24"), Gateway: gateway1, GatewayMAC: natMAC(twinMAC(0x11))},
	2: {Compartment: 2, NAT: 2, Subnet: netip.MustParsePrefix("172.16.1.0/24"), Gateway: gateway1, GatewayMAC: natMAC(twinMAC(0x12))},
	3: {Compartment: 1, NAT: 0, Subnet: netip.MustParsePrefix("172.16.3.0/24"), Gateway: gateway3, GatewayMAC: natMAC(twinMAC(0x13))},
}

var twinEndpoints = []natmodel.Endpoint{
	{Network: 1, Address: inside2, MAC: twinMAC(0x21)},
	{Network: 2, Address: inside2, MAC: twinMAC(0x22)},
	{Network: 3, Address: inside3, MAC: twinMAC(0x23)},
}

// modelConfig is the world for the model.
func modelConfig(w world) natmodel.Config {
	c := natmodel.Config{
		NATs:          make(map[uint32]natmodel.NAT),
		Networks:      make(map[uint32]natmodel.Network),
		Endpoints:     slices.Clone(twinEndpoints),
		Mappings:      modelMappings(w.Mappings),
		HostAddresses: []netip.Addr{wire.HostAddress, secondAddress, gateway1, gateway3},
		OutsideMAC:    outsideMAC,
		Listeners:     twinListeners,
		Ephemeral:     model.PortRange{Low: 32768, High: 60999},
		MTU:           twinMTU,
		Reassembly:    true,
		MaxSessions:   w.Sessions,
		MaxBindings:   w.Bindings,
		Pair:          pairAddress,
		Spread:        spreadTarget,
	}
	for id, pool := range twinPools {
		n := twinNAT(w.Rules)
		rules := natmodel.NAT{
			Timeouts: n.Timeouts, TCPFiltering: n.TCPFiltering, UDPFiltering: n.UDPFiltering, UDPInboundRefresh: n.UDPInboundRefresh,
			Pooling: n.Pooling, EndpointDependent: n.EndpointDependent, HoldDown: n.HoldDown.Duration(), Limits: n.Limits, Exhaustion: n.Exhaustion,
		}
		for _, a := range pool {
			to := natmodel.PoolAddress{Address: a.Address, Ports: a.Ports}
			if n.EndpointDependent {
				to.Ports, to.Dependent = SplitDependent(a.Ports)
			}
			rules.Pool = append(rules.Pool, to)
		}
		c.NATs[id] = rules
	}
	c.Endpoints[0].Sources, c.Endpoints[0].Forwards = twinAllowances[w.Allowances].sources, twinAllowances[w.Allowances].forwards
	if w.Socket {
		c.Transparent = []natmodel.Transparent{transparentFlow}
	}
	for _, l := range twinLeases[w.Leases] {
		c.Leases = append(c.Leases, natmodel.Lease{Compartment: l.Compartment, Address: l.Address, MAC: kernel.MACOf(l.MAC)})
	}
	if w.OneToOne {
		c.OneToOne = []natmodel.OneToOne{{
			Compartment: twinOneToOne.Compartment, Network: twinOneToOne.Network, External: twinOneToOne.External, Internal: twinOneToOne.Internal, From: twinOneToOne.From,
		}}
	}
	for id, n := range w.networks(twinNetworks) {
		c.Networks[id] = natmodel.Network{
			Open: n.Open, EndpointsIsolated: n.EndpointsIsolated, DHCPInside: n.DHCPInside, Names: n.Names, Unrouted: n.Unrouted, HostOverlap: n.HostOverlap,
			Compartment: n.Compartment, NAT: n.NAT, Subnet: n.Subnet, Gateway: n.Gateway, GatewayMAC: kernel.MACOf(n.GatewayMAC),
		}
	}
	return c
}

func modelMappings(ids map[uint32]bool) map[uint32]natmodel.Mapping {
	list := make(map[uint32]natmodel.Mapping)
	for id, m := range pickMappings(ids) {
		to := natmodel.Mapping{NAT: m.NAT, Compartment: m.Compartment, Protocol: m.Protocol, External: m.External, From: m.From}
		for _, t := range m.Targets {
			to.Targets = append(to.Targets, natmodel.Target(t))
		}
		list[id] = to
	}
	return list
}

// What the data path chooses by itself: any other choice that stays would do.

func pairAddress(pool []natmodel.PoolAddress, compartment uint32, internal netip.Addr) int {
	return kernel.PairedAddress(compartment, internal, len(pool))
}

func spreadTarget(targets []natmodel.Target, remote netip.Addr) int {
	return kernel.ChosenTarget(remote, len(targets), func(i int) (netip.Addr, uint16) {
		return targets[i].Internal.Address, targets[i].Internal.Ports.Low
	})
}
