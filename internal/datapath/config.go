package datapath

import (
	"net/netip"

	"github.com/hostnat/hostnat/internal/nat"
)

// Config is everything that user space tells the data path. Interface numbers
// and ids are those of the kernel and of package nat.
type Config struct {
	Anchor        uint32                // interface from which routes are looked up
	NetnsCookie   uint64                // of the namespace whose programs reach mappings by loopback
	LocalPorts    nat.PortRange         // the host's ephemeral ports
	NATs          map[uint32]nat.NAT    // by id
	Pools         []Pool                //
	Networks      map[uint32]Network    // by id
	Insides       map[uint32]Inside     // by interface
	Outsides      map[uint32]Outside    // by interface
	Endpoints     []Endpoint            //
	HostAddresses map[netip.Addr]uint32 // the host's own, without loopback, with their interfaces
	Mappings      map[uint32]Mapping    // by id
}

// Pool is what a NAT may use outside for packets that leave by Interface;
// Interface 0 is any.
type Pool struct {
	NAT       uint32
	Interface uint32
	Addresses []PoolAddress // at most 8
}

// PoolAddress is an external address with its dynamic port ranges.
type PoolAddress struct {
	Address netip.Addr
	Ports   []nat.PortRange // at most 4
}

// Network is a network's kernel side.
type Network struct {
	Compartment uint32
	NAT         uint32 // 0: internal only
	Bridge      uint32 // interface
	Subnet      netip.Prefix
	Gateway     netip.Addr
	GatewayMAC  nat.MAC
}

// Inside is an interface behind the NAT: an endpoint's link on the host's
// side, or (Bridge) a network's switch.
type Inside struct {
	Network uint32
	Bridge  bool
	Address netip.Addr // the endpoint's own; unset on a bridge
	MAC     nat.MAC
}

// Outside is an interface of the host that isn't inside.
type Outside struct {
	NoEthernet bool // tun and the like
}

// Endpoint is where packets for an inside address are delivered.
type Endpoint struct {
	Compartment uint32
	Address     netip.Addr
	Interface   uint32
	Network     uint32
	Peer        bool // a veth pair: deliver to its other end
	MAC         nat.MAC
	GatewayMAC  nat.MAC
}

// Mapping is a configured binding.
type Mapping struct {
	NAT, Network, Compartment uint32
	Protocol                  nat.Protocol
	External                  netip.AddrPort // 0.0.0.0: any address of the host
	Internal                  netip.AddrPort
	From                      []netip.Prefix // empty: every remote
}
