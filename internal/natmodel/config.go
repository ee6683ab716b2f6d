package natmodel

import (
	"net/netip"
	"slices"
	"time"

	"github.com/hostnat/hostnat/internal/model"
)

// Config is the world that a Model lives in. Ids are the caller's.
type Config struct {
	NATs          map[uint32]NAT
	Networks      map[uint32]Network
	Endpoints     []Endpoint
	Mappings      map[uint32]Mapping
	OneToOne      []OneToOne
	HostAddresses []netip.Addr
	Listeners     []Listener      // sockets of the host, not connected
	Transparent   []Transparent   // sockets of ours, connected
	Leases        []Lease         // of clients on bridges
	Ephemeral     model.PortRange // from which the host's programs talk
	MTU           int             // of the way out
	OutsideMAC    MAC             // of the host's outside link
	Reassembly    bool            // there is one, for fragments out of order and for what is too big
	MaxSessions   int
	MaxBindings   int // mappings of one port count

	// What the RFCs leave to the NAT, as long as it stays with it. Nil: the first.
	Pair   func(pool []PoolAddress, compartment uint32, internal netip.Addr) int // the address of an internal one
	Spread func(targets []Target, remote netip.Addr) int                         // the target of a remote
}

// NAT is a NAT with what it may use outside.
type NAT struct {
	Timeouts                   model.Timeouts
	TCPFiltering, UDPFiltering model.Filtering
	UDPInboundRefresh          bool
	Pool                       []PoolAddress
	Pooling                    model.Pooling // RFC 4787 REQ-2
	EndpointDependent          bool          // go on with endpoint-dependent mapping when the ports are used up
	HoldDown                   time.Duration // that a freed port is in hold-down: RFC 6888 REQ-8
	Limits                     model.Limits  // an endpoint's: RFC 6888 REQ-4, REQ-5
	Exhaustion                 model.Exhaustion
	LinkLocal                  bool // its endpoints reach 169.254.0.0/16 outside
}

// PoolAddress is an external address with its dynamic ports.
type PoolAddress struct {
	Address   netip.Addr
	Ports     []model.PortRange
	Dependent model.PortRange // kept for endpoint-dependent mapping; 0-0: none
}

// Network is an inside network. NAT 0: internal only.
type Network struct {
	Compartment       uint32
	NAT               uint32
	Subnet            netip.Prefix
	Gateway           netip.Addr
	GatewayMAC        MAC
	Open              bool           // other open networks of the compartment reach it, and it them
	EndpointsIsolated bool           // its endpoints do not reach each other
	Unrouted          bool           // the host's routing tables do not know its prefix
	DHCPInside        bool           // somebody inside may be its DHCP server
	Names             bool           // a name server of hostnat's answers at its gateway
	HostOverlap       []netip.Prefix // within Subnet: the host reaches them by other interfaces
}

// Endpoint is a managed endpoint of a network.
type Endpoint struct {
	Network  uint32
	Address  netip.Addr
	MAC      MAC
	Sources  []netip.Prefix // what else it has or has behind it: it sends from there and is reached there
	Forwards bool           // to its neighbours it may send from any address
}

// Mapping is a static mapping: the n-th external port leads to the n-th of a
// target. External 0.0.0.0: any address of the host.
type Mapping struct {
	NAT         uint32
	Compartment uint32
	Protocol    model.Protocol
	External    model.AddrPorts
	Targets     []Target
	From        []netip.Prefix // empty: every remote
}

// OneToOne is a mapping of an external address to an internal one, for what has no
// ports (RFC 3022 section 2.1, Basic NAT).
type OneToOne struct {
	Compartment, Network uint32
	External, Internal   netip.Addr
	From                 []netip.Prefix // empty: every remote
}

// Target is where a mapping leads; several share its remotes.
type Target struct {
	Network  uint32
	Internal model.AddrPorts
}

// Listener is a socket of the host.
type Listener struct {
	Protocol model.Protocol
	Address  netip.AddrPort
}

// Transparent is a TCP socket that talks to an endpoint under a remote's address.
type Transparent struct{ Remote, Internal netip.AddrPort }

// Lease is an address that somebody who is no endpoint of ours has by DHCP.
type Lease struct {
	Compartment uint32
	Address     netip.Addr
	MAC         MAC
}

// MAC is an Ethernet address.
type MAC [6]byte

func (c *Config) isHost(a netip.Addr) bool { return slices.Contains(c.HostAddresses, a) }

// isAnothersLease reports whether the DHCP server has given an address to somebody
// with another MAC.
func (c *Config) isAnothersLease(n Network, a netip.Addr, mac MAC) bool {
	return slices.ContainsFunc(c.Leases, func(l Lease) bool {
		return l.Compartment == n.Compartment && l.Address == a && l.MAC != mac
	})
}

// isInside is asked of packets outside, where compartments mean nothing: whether
// an address is a network's and nobody's outside. Of a network that the host's
// routing tables leave out, and of what the host has elsewhere, the gateway alone
// counts.
func (c *Config) isInside(a netip.Addr) bool {
	for _, n := range c.Networks {
		if a == n.Gateway || !n.Unrouted && n.Subnet.Contains(a) && !c.isHostOverlap(a) {
			return true
		}
	}
	for _, e := range c.Endpoints {
		if n := c.Networks[e.Network]; !n.Unrouted && !n.Subnet.Contains(a) && e.owns(a) {
			return true
		}
	}
	return false
}

// isHostOverlap reports whether the host reaches an address of a network by its
// other interfaces. A gateway is the host's here.
func (c *Config) isHostOverlap(a netip.Addr) bool {
	is := false
	for _, n := range c.Networks {
		if a == n.Gateway {
			return false
		}
		is = is || slices.ContainsFunc(n.HostOverlap, func(p netip.Prefix) bool { return p.Contains(a) })
	}
	return is
}

// isolates reports whether a destination is another network's. What the host has
// elsewhere is outside for all networks but its own.
func (c *Config) isolates(compartment uint32, a netip.Addr) bool {
	if c.isHostOverlap(a) {
		return false
	}
	_, is := c.networkOf(compartment, a)
	return is || c.isInside(a)
}

// isNear reports whether an endpoint takes a remote for one of its own network, or
// of one that is open to it: its answers would stay inside.
func (c *Config) isNear(compartment uint32, internal, remote netip.Addr) bool {
	other, is := c.networkOf(compartment, remote)
	own, known := c.networkOf(compartment, internal)
	return is && (!known || other == own || c.Networks[other].Open)
}

// networkOf returns the id of the compartment's network that has an address, or has
// it behind one of its endpoints.
func (c *Config) networkOf(compartment uint32, a netip.Addr) (uint32, bool) {
	for id, n := range c.Networks {
		if n.Compartment == compartment && n.Subnet.Contains(a) {
			return id, true
		}
	}
	e, has := c.behind(compartment, a)
	return e.Network, has
}

// behind finds the endpoint that has an address besides its own.
func (c *Config) behind(compartment uint32, a netip.Addr) (Endpoint, bool) {
	for _, e := range c.Endpoints {
		if c.Networks[e.Network].Compartment == compartment && e.owns(a) {
			return e, true
		}
	}
	return Endpoint{}, false
}

// owns reports whether an address is one of those that the endpoint has besides its own.
func (e Endpoint) owns(a netip.Addr) bool {
	return slices.ContainsFunc(e.Sources, func(p netip.Prefix) bool { return p.Contains(a) })
}

// hasMAC: an endpoint with further addresses may be a virtual router, which has a MAC
// for each of its groups (RFC 5798 section 7.3).
func (e Endpoint) hasMAC(m MAC) bool {
	return m == e.MAC || (e.Forwards || len(e.Sources) > 0) && [5]byte(m[:5]) == [5]byte{0, 0, 0x5e, 0, 1}
}

func (c *Config) listens(p model.Protocol, external netip.AddrPort) bool {
	return slices.Contains(c.Listeners, Listener{p, external})
}

func (c *Config) endpointAt(compartment uint32, a netip.Addr) (Endpoint, bool) {
	for _, e := range c.Endpoints {
		if e.Address == a && c.Networks[e.Network].Compartment == compartment {
			return e, true
		}
	}
	return Endpoint{}, false
}

// has reports whether an address is of the NAT's pool.
func (n NAT) has(a netip.Addr) bool {
	return slices.ContainsFunc(n.Pool, func(p PoolAddress) bool { return p.Address == a })
}

func (n NAT) filtering(p model.Protocol) model.Filtering {
	if p == model.TCP {
		return n.TCPFiltering
	}
	return n.UDPFiltering
}

func (c *Config) pairedAddress(pool []PoolAddress, key SessionKey) PoolAddress {
	if c.Pair == nil {
		return pool[0]
	}
	return pool[c.Pair(pool, key.Compartment, key.Internal.Addr())]
}

func (c *Config) target(targets []Target, remote netip.Addr) Target {
	if c.Spread == nil {
		return targets[0]
	}
	return targets[c.Spread(targets, remote)]
}
