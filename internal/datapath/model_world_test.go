package datapath

import (
	"maps"
	"net/netip"

	"github.com/hostnat/hostnat/internal/nat"
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
	unplugged     = netip.MustParseAddr("172.16.1.9") // on network 1's bridge
	inside3       = netip.MustParseAddr("172.16.3.2")
)

var outsideMAC = twinMAC(0x32) // the host's

func twinMAC(last byte) natmodel.MAC { return natmodel.MAC{2, 0, 0, 0, 1, last} }
func natMAC(m natmodel.MAC) nat.MAC  { return nat.MAC(hardwareString(m)) }

// rules are what a NAT is told to do; a generated world draws them.
type rules struct {
	TCP, UDP nat.Filtering
	Refresh  bool
}

func twinNAT(r rules) nat.NAT {
	return nat.NAT{
		Timeouts:     nat.Timeouts{UDP: 100, TCPEstablished: 400, TCPTransitory: 60, ICMP: 30},
		TCPFiltering: r.TCP, UDPFiltering: r.UDP, UDPInboundRefresh: r.Refresh,
	}
}

// twinPools: both NATs use the first address, with ranges that overlap.
var twinPools = map[uint32][]PoolAddress{
	1: {
		{Address: hostAddress, Ports: []nat.PortRange{{Low: 2000, High: 2003}, {Low: 2006, High: 2006}}},
		{Address: secondAddress, Ports: []nat.PortRange{{Low: 3000, High: 3001}}},
	},
	2: {{Address: hostAddress, Ports: []nat.PortRange{{Low: 2002, High: 2004}}}},
}

// twinListeners are sockets of the host within these ranges.
var twinListeners = []natmodel.Listener{
	{Protocol: nat.UDP, Address: netip.AddrPortFrom(hostAddress, 2001)},
	{Protocol: nat.TCP, Address: netip.AddrPortFrom(hostAddress, 2002)},
}

// twinMappings are those that a world may have.
var twinMappings = map[uint32]Mapping{
	1: {NAT: 1, Network: 1, Compartment: 1, Protocol: nat.TCP, External: external0(2003), Internal: netip.AddrPortFrom(inside2, 1001)},
	2: {NAT: 1, Network: 1, Compartment: 1, Protocol: nat.UDP, External: netip.AddrPortFrom(hostAddress, 2002),
		Internal: netip.AddrPortFrom(unplugged, 1001), From: []netip.Prefix{netip.MustParsePrefix("198.51.100.7/32")}},
	3: {NAT: 2, Network: 2, Compartment: 2, Protocol: nat.UDP, External: external0(8080), Internal: netip.AddrPortFrom(inside2, 1002)},
	4: {NAT: 1, Network: 1, Compartment: 1, Protocol: nat.TCP, External: netip.AddrPortFrom(secondAddress, 8080),
		Internal: netip.AddrPortFrom(inside2, 1001)},
	5: {NAT: 1, Network: 1, Compartment: 1, Protocol: nat.TCP, External: netip.AddrPortFrom(hostAddress, 8081),
		Internal: netip.AddrPortFrom(unplugged, 1002)},
}

func external0(port uint16) netip.AddrPort { return netip.AddrPortFrom(netip.IPv4Unspecified(), port) }

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
		Endpoints:     twinEndpoints,
		Mappings:      modelMappings(w.Mappings),
		HostAddresses: []netip.Addr{hostAddress, secondAddress, gateway1, gateway3},
		Listeners:     twinListeners,
		Ephemeral:     nat.PortRange{Low: 32768, High: 60999},
		MTU:           twinMTU,
		MaxSessions:   w.Sessions,
		MaxBindings:   w.Bindings,
	}
	for id, pool := range twinPools {
		n := twinNAT(w.Rules)
		rules := natmodel.NAT{
			Timeouts: n.Timeouts, TCPFiltering: n.TCPFiltering, UDPFiltering: n.UDPFiltering,
			UDPInboundRefresh: n.UDPInboundRefresh,
		}
		for _, a := range pool {
			rules.Pool = append(rules.Pool, natmodel.PoolAddress(a))
		}
		c.NATs[id] = rules
	}
	for id, n := range twinNetworks {
		c.Networks[id] = natmodel.Network{
			Compartment: n.Compartment, NAT: n.NAT, Subnet: n.Subnet, Gateway: n.Gateway, GatewayMAC: macOf(n.GatewayMAC),
		}
	}
	return c
}

func modelMappings(ids map[uint32]bool) map[uint32]natmodel.Mapping {
	list := make(map[uint32]natmodel.Mapping)
	for id, m := range pickMappings(ids) {
		list[id] = natmodel.Mapping{
			Network: m.Network, NAT: m.NAT, Protocol: m.Protocol, External: m.External, Internal: m.Internal, From: m.From,
		}
	}
	return list
}
