package datapath

import (
	"net/netip"

	"github.com/hostnat/hostnat/internal/model"
)

// Config is everything that user space tells the data path. Interface numbers
// and ids are those of the kernel and of package nat.
type Config struct {
	Anchor        uint32                // interface from which routes are looked up
	Reassembly    uint32                // interface to the reassembly namespace; 0: there is none
	LocalPorts    model.PortRange       // the host's ephemeral ports
	NATs          map[uint32]model.NAT  // by id
	Pools         []Pool                //
	Networks      map[uint32]Network    // by id
	Insides       map[uint32]Inside     // by interface
	Outsides      map[uint32]Outside    // by interface
	Endpoints     []Endpoint            //
	Leases        []Lease               //
	HostAddresses map[netip.Addr]uint32 // the host's own, without loopback, with their interfaces
	Broadcasts    map[netip.Addr]uint32 // of the host's subnets, with their interfaces: nobody's sources
	Deprecated    map[netip.Addr]bool   // those of them that new flows shall have only where there is no other
	RouteMTUs     []RouteMTU            //
	IPsec         []IPsecPolicy         // in the order in which the kernel asks them; at most MaxIPsecPolicies
	Mappings      map[uint32]Mapping    // by id
	OneToOne      map[uint32]OneToOne   // mappings of whole addresses, by ids that no mapping has; their TCP and UDP ports are in Mappings
	Transparent   bool                  // programs of ours talk to endpoints under the addresses of remotes
}

// Pool is what a NAT may use outside for packets that leave by Interface;
// Interface 0 is any. A NAT that has addresses of its own has them in a pool of
// Interface 0.
type Pool struct {
	NAT       uint32
	Interface uint32
	Source    netip.Addr    `address:"or none"` // valid: the pool is for what the host's routes choose this address for, by any interface that the NAT has a pool of
	Follows   bool          // the NAT has no addresses of its own: the route says which it is, and Addresses, the best first, are for where it does not
	Bound     bool          // of Interface 0: the NAT may leave by those interfaces alone that it has a pool of
	Addresses []PoolAddress // at most 8
}

// PoolAddress is an external address with its dynamic port ranges.
type PoolAddress struct {
	Address netip.Addr
	Bits    int               // of the prefix that the host has on the link with it; 0: none
	Ports   []model.PortRange // at most 4; none: a mapping has the whole address, and no new binding gets it
}

// Network is a network's kernel side.
type Network struct {
	Compartment       uint32
	NAT               uint32 // 0: internal only
	Bridge            uint32 // interface
	Input             uint32 // interface that the host's routing rules know its packets by; 0: Anchor
	Subnet            netip.Prefix
	Gateway           netip.Addr `address:"or none"`
	GatewayMAC        model.MAC
	Open              bool           // its endpoints and those of other open networks of the compartment reach each other
	EndpointsIsolated bool           // its endpoints do not reach each other
	DHCPInside        bool           // somebody inside may be its DHCP server
	Switched          bool           // the bridge is hostnat's own: frames between the network's machines need not go up it
	Unguarded         bool           // what other tools plug into its switch is not checked
	Names             bool           // a name server of hostnat's answers at its gateway
	Routers           bool           // its endpoints have prefixes outside the subnet behind them
	Unrouted          bool           // the host's main routing table does not know its prefix, which others may have too
	HostOverlap       []netip.Prefix // within the subnet, but the host reaches them by other interfaces: a LAN or VPN that it came to
}

// Inside is an interface behind the NAT: an endpoint's link on the host's
// side, or (Bridge) a network's switch, or (PointToPoint) both at once.
type Inside struct {
	Network      uint32
	Bridge       bool
	Port         bool       // of the bridge, and no managed endpoint's
	PointToPoint bool       // an endpoint's link that has the gateway's address itself
	Address      netip.Addr `address:"or none"` // the endpoint's own; unset on a bridge
	Further      bool       // the endpoint has Sources, or Forwards
	MAC          model.MAC
}

// Outside is an interface of the host that isn't inside.
type Outside struct {
	NoEthernet bool // tun and the like
}

// Endpoint is where packets for an inside address are delivered.
type Endpoint struct {
	ID          uint32 // 0 where nothing is ever changed of it by itself
	Compartment uint32
	Address     netip.Addr
	Interface   uint32
	Network     uint32
	Peer        bool // a veth pair: deliver to its other end
	MTU         int  // bytes; 0: unknown, everything is delivered
	MAC         model.MAC
	GatewayMAC  model.MAC
	Sources     []netip.Prefix // further addresses that it may send from and is reached at
	Forwards    bool           // to others on its switch it may send from any address
}

// Mapping is a configured binding, or a run of them: the n-th external port leads
// to the n-th port of one of the targets.
type Mapping struct {
	NAT, Compartment uint32
	Protocol         model.Protocol
	External         model.AddrPorts // 0.0.0.0: any address of the host
	Targets          []Target        // at least one; each as many ports as External
	From             []netip.Prefix  // empty: every remote
}

// Target is where a mapping's sessions go.
type Target struct {
	Network  uint32
	Internal model.AddrPorts
}

// OneToOne is a mapping of a whole external address to an internal one, for
// protocols without ports (RFC 3022 section 2.1, Basic NAT).
type OneToOne struct {
	NAT                  uint32
	Compartment, Network uint32
	External, Internal   netip.Addr
	From                 []netip.Prefix // empty: every remote
}
