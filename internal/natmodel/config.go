package natmodel

import (
	"net/netip"
	"slices"

	"github.com/hostnat/hostnat/internal/nat"
)

// Config is the world that a Model lives in. Ids are the caller's.
type Config struct {
	NATs          map[uint32]NAT
	Networks      map[uint32]Network
	Endpoints     []Endpoint
	Mappings      map[uint32]Mapping
	HostAddresses []netip.Addr
	Listeners     []Listener    // sockets of the host, not connected
	Ephemeral     nat.PortRange // from which the host's programs talk
	MTU           int           // of the way out
	MaxSessions   int
	MaxBindings   int // mappings count
}

// NAT is a NAT with what it may use outside.
type NAT struct {
	Timeouts                   nat.Timeouts
	TCPFiltering, UDPFiltering nat.Filtering
	UDPInboundRefresh          bool
	Pool                       []PoolAddress
}

// PoolAddress is an external address with its dynamic ports.
type PoolAddress struct {
	Address netip.Addr
	Ports   []nat.PortRange
}

// Network is an inside network. NAT 0: internal only.
type Network struct {
	Compartment uint32
	NAT         uint32
	Subnet      netip.Prefix
	Gateway     netip.Addr
	GatewayMAC  MAC
}

// Endpoint is a managed endpoint of a network.
type Endpoint struct {
	Network uint32
	Address netip.Addr
	MAC     MAC
}

// Mapping is a static mapping. External 0.0.0.0: any address of the host.
type Mapping struct {
	Network  uint32
	NAT      uint32
	Protocol nat.Protocol
	External netip.AddrPort
	Internal netip.AddrPort
	From     []netip.Prefix // empty: every remote
}

// Listener is a socket of the host.
type Listener struct {
	Protocol nat.Protocol
	Address  netip.AddrPort
}

// MAC is an Ethernet address.
type MAC [6]byte

func (c *Config) isHost(a netip.Addr) bool { return slices.Contains(c.HostAddresses, a) }

// isInside is asked of packets outside, where compartments mean nothing.
func (c *Config) isInside(a netip.Addr) bool {
	for _, n := range c.Networks {
		if n.Subnet.Contains(a) {
			return true
		}
	}
	return false
}

func (c *Config) listens(p nat.Protocol, external netip.AddrPort) bool {
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

func (n NAT) filtering(p nat.Protocol) nat.Filtering {
	if p == nat.TCP {
		return n.TCPFiltering
	}
	return n.UDPFiltering
}
