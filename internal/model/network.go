package model

import (
	"net/netip"
	"slices"
)

// Compartment is a routing domain; addresses are unique inside one.
type Compartment struct {
	Name string
	ID   uint32 // part of kernel keys; never 0
}

// Equal reports whether the networks are the same in everything.
func (n *Network) Equal(o *Network) bool {
	return n.Name == o.Name && n.ID == o.ID && n.Type == o.Type && n.NAT == o.NAT && n.Compartment == o.Compartment && slices.Equal(n.Subnets, o.Subnets) &&
		slices.Equal(n.Gateways, o.Gateways) && n.Bridge == o.Bridge && n.Adopted == o.Adopted && n.Overlap == o.Overlap &&
		n.Isolation == o.Isolation && n.PortSecurity == o.PortSecurity && n.DNS == o.DNS && n.Domain == o.Domain && n.DHCP == o.DHCP && n.LeaseTime == o.LeaseTime &&
		n.MTU == o.MTU && n.PartOf == o.PartOf && n.PXE == o.PXE && slices.Equal(n.NTP, o.NTP) && slices.Equal(n.Routes, o.Routes) &&
		slices.Equal(n.Ranges, o.Ranges) && slices.Equal(n.Exclude, o.Exclude) && n.Metadata.Equal(o.Metadata)
}

// DefaultNAT is the name of the NAT that exists from the start and follows the
// host's own addresses.
const DefaultNAT = "default"

// DefaultCompartment is the compartment of networks that name none.
const DefaultCompartment = "default"

// MAC is an Ethernet address in canonical lower-case text, "02:42:ac:10:01:02".
type MAC string

// Network is one internal layer-2 segment: a switch, a subnet and the host's
// gateway address on it.
type Network struct {
	Name         string
	ID           uint32 // stable over restarts; part of kernel keys; never 0
	Type         NetworkType
	NAT          string         // or NoNAT
	Compartment  string         // of a per-endpoint network: EachCompartment
	Subnets      []netip.Prefix // masked: no host bits; at most one of each family
	Gateways     []netip.Addr   // the host vNIC's addresses: the i-th is inside the i-th of Subnets
	Bridge       string         // link name of the switch; empty: there is none
	Adopted      bool           // the bridge was there before and stays after
	Overlap      Overlap        // what to do when the host's own network comes to overlap Subnet
	Isolation    Isolation      // whom its endpoints reach
	PortSecurity Switch         // whether what other tools plug into its switch is checked
	DNS          Switch         // whether the gateway answers for names
	Domain       string         // of the endpoints' names; empty: OwnDomain. See DomainName

	DHCP      Switch         // whether clients get addresses from the gateway
	LeaseTime Seconds        // 0: DefaultLeaseTime
	MTU       int            // bytes; 0: that of the outgoing interface
	NTP       []netip.Addr   // time servers that DHCP tells
	PXE       PXE            // what machines are told that boot from the network
	Routes    []Route        // that DHCP tells beside the default route
	Ranges    []AddressRange // for DHCP clients; none: the whole subnet
	Exclude   []AddressRange // never given out unless asked for

	PartOf uint32 // id of the per-endpoint network that this is an endpoint's Part of; 0: none

	Metadata
}

// GatewayPrefix is the gateway's address as the host has it on the network's
// link. It is a single one if the network is Unrouted: with the subnet's length the
// kernel would take the subnet's broadcast address, which may be that of the
// host's own LAN, to be on this link.
func (n Network) GatewayPrefix() netip.Prefix {
	if n.Unrouted() {
		return netip.PrefixFrom(n.Gateway4(), n.Gateway4().BitLen())
	}
	return netip.PrefixFrom(n.Gateway4(), n.Subnet4().Bits())
}

// Subnet4 is the IPv4 one of the subnets; not valid if there is none.
func (n Network) Subnet4() netip.Prefix {
	for _, p := range n.Subnets {
		if p.Addr().Is4() {
			return p
		}
	}
	return netip.Prefix{}
}

// Holds reports whether a prefix is a part of the network's IPv4 subnet.
func (n Network) Holds(p netip.Prefix) bool {
	return p.Bits() >= n.Subnet4().Bits() && n.Subnet4().Contains(p.Addr())
}

// Behind are the prefixes outside the network's subnet that one of its endpoints has
// behind it.
func (n Network) Behind(e Endpoint) []netip.Prefix {
	return slices.DeleteFunc(e.Further(), n.Holds)
}

// Gateway4 is the gateway's IPv4 address; not valid if there is none.
func (n Network) Gateway4() netip.Addr { return first4(n.Gateways) }

func first4(list []netip.Addr) netip.Addr {
	for _, a := range list {
		if a.Is4() {
			return a
		}
	}
	return netip.Addr{}
}

// OwnerDocker is that of networks whose bridges are Docker's, which leaves all filtering
// on them to hostnat.
const OwnerDocker = "docker"

// IsSwitched reports whether the data path hands frames between the network's machines
// over itself: its bridge is hostnat's own, or one of a Docker that hostnat follows. What
// others' firewalls do to frames of another adopted bridge is its owner's wish.
func (n Network) IsSwitched() bool {
	return (!n.Adopted || n.Owner == OwnerDocker) && !n.IsPointToPoint()
}

// Joins reports whether what is in the two networks, which may be the same, can
// be told apart by address alone, and reached by one mapping.
func (n Network) Joins(other Network) bool {
	return n.Compartment == other.Compartment && !n.PerEndpoint() && !other.PerEndpoint()
}
