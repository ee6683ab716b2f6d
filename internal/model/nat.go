package model

import (
	"net/netip"
	"slices"
	"time"
)

func NewNAT(name string, id uint32, p Profile) NAT {
	n := NAT{
		Name: name, ID: id,
		ExternalInterfaces: []string{}, ExternalAddresses: []ExternalAddress{},
		Pooling: Paired, EndpointDependent: true, Exhaustion: Prohibited,
	}
	n.UseProfile(p)
	return n
}

func (n *NAT) UseProfile(p Profile) {
	n.Profile = p
	n.Timeouts, n.TCPFiltering = p.Defaults()
	n.UDPFiltering = n.TCPFiltering
	n.UDPInboundRefresh = false
	n.HoldDown = p.HoldDown()
}

func (n NAT) Clone() NAT {
	n.ExternalInterfaces = slices.Clone(n.ExternalInterfaces)
	n.ExternalAddresses = slices.Clone(n.ExternalAddresses)
	return n
}

// What the data path has room for.
const (
	MaxAddresses = 8 // external addresses of a NAT
	MaxRanges    = 4 // port ranges of an external address
)

// String is "A:LO-HI".
func (a ExternalAddress) String() string { return a.Address.String() + ":" + a.Ports.String() }

// FixedAddresses are the addresses that a NAT was given, each once.
func (n NAT) FixedAddresses() []netip.Addr {
	var list []netip.Addr
	for _, a := range n.ExternalAddresses {
		if !slices.Contains(list, a.Address) {
			list = append(list, a.Address)
		}
	}
	return list
}

// NAT is one translator: its external side, its timeouts and its filtering.
// With neither ExternalInterfaces nor ExternalAddresses it follows the address
// of whichever interface the host's routes choose.
type NAT struct {
	Name               string
	ID                 uint32 // stable over restarts; part of kernel keys; never 0
	ExternalInterfaces []string
	ExternalAddresses  []ExternalAddress
	Profile            Profile
	Timeouts           Timeouts
	TCPFiltering       Filtering
	UDPFiltering       Filtering
	UDPInboundRefresh  bool
	Pooling            Pooling
	EndpointDependent  bool    // go on with endpoint-dependent mapping when a range is used up
	HoldDown           Seconds // a freed UDP port or ICMP identifier is not given out again for so long; 0 to an hour
	Limits             Limits
	MSSClamp           bool       // TCP's segment size is lowered to what the way out takes
	Exhaustion         Exhaustion // what a sender is told whose flow finds no port
	LinkLocal          bool       // endpoints reach 169.254.0.0/16 outside, where clouds have metadata services
	Table              uint32     // the routing table by which everything leaves; 0: the host's rules decide
	Metadata
}

// Pooling is how a NAT with several external addresses chooses among them
// (RFC 4787 section 4.1).
type Pooling string

// The two ways of pooling.
const (
	Paired    Pooling = "paired"    // an endpoint keeps to one address (REQ-2)
	Arbitrary Pooling = "arbitrary" // each binding has any of them
)

// Limits are what one endpoint may have at a time. 0: no limit.
type Limits struct {
	Sessions uint32
	Ports    uint32 // external ports, all protocols together
	Rate     uint32 // new sessions a second
}

// Exhaustion is what a sender is told whose flow finds no external port.
type Exhaustion string

// The answers: ICMP destination unreachable codes 13 (decision D3) and 1, or none.
const (
	Prohibited  Exhaustion = "prohibited"
	Unreachable Exhaustion = "unreachable"
	Silent      Exhaustion = "silent"
)

// ExternalAddress is an address and the dynamic ports a NAT may use on it.
type ExternalAddress struct {
	Address netip.Addr
	Ports   PortRange
	Added   bool // the host did not have it: hostnat puts it on an interface and takes it away again
}

// PortRange is an inclusive range of ports, host byte order, 1 to 65535.
type PortRange struct {
	Low  uint16
	High uint16
}

// Profile names a set of default timeouts and filtering.
type Profile string

// The two profiles (decision D1 in the design's RFC notes).
const (
	ProfileRFC    Profile = "rfc"    // floors and defaults of RFC 4787, 5382, 5508, 6146
	ProfileWinNAT Profile = "winnat" // what New-NetNat sets on Windows
)

// Timeouts are idle lifetimes. Resolution one second, range 1 s to 30 days.
type Timeouts struct {
	UDP            Seconds
	TCPEstablished Seconds
	TCPTransitory  Seconds // opening and closing (RFC 5382 REQ-5)
	ICMP           Seconds
}

// Seconds is a duration in whole seconds, a plain number in JSON.
type Seconds uint32

// Duration converts to a time.Duration.
func (s Seconds) Duration() time.Duration { return time.Duration(s) * time.Second }

// Filtering is which outsiders may send to a binding (RFC 4787 section 5).
type Filtering string

// The three filtering behaviours.
const (
	EndpointIndependent     Filtering = "endpoint-independent"
	AddressDependent        Filtering = "address-dependent"
	AddressAndPortDependent Filtering = "address-and-port-dependent"
)

// HoldDown returns the profile's time for which a freed port is in hold-down: twice the
// maximum segment lifetime (RFC 6888 REQ-8), or what Windows does.
func (p Profile) HoldDown() Seconds {
	if p == ProfileWinNAT {
		return 0
	}
	return 120
}

// Defaults returns the profile's timeouts and filtering.
func (p Profile) Defaults() (Timeouts, Filtering) {
	if p == ProfileWinNAT {
		return Timeouts{UDP: 120, TCPEstablished: 1800, TCPTransitory: 120, ICMP: 30}, AddressDependent
	}
	// RFC 4787 REQ-5c, RFC 5382 REQ-5, RFC 5508 REQ-2.
	return Timeouts{UDP: 300, TCPEstablished: 7440, TCPTransitory: 240, ICMP: 60}, AddressDependent
}

// Equal reports whether the NATs are the same in everything.
func (n *NAT) Equal(o *NAT) bool {
	return n.Name == o.Name && n.ID == o.ID && slices.Equal(n.ExternalInterfaces, o.ExternalInterfaces) &&
		slices.Equal(n.ExternalAddresses, o.ExternalAddresses) && n.Profile == o.Profile && n.Timeouts == o.Timeouts &&
		n.TCPFiltering == o.TCPFiltering && n.UDPFiltering == o.UDPFiltering && n.UDPInboundRefresh == o.UDPInboundRefresh &&
		n.Pooling == o.Pooling && n.EndpointDependent == o.EndpointDependent && n.HoldDown == o.HoldDown && n.Limits == o.Limits &&
		n.MSSClamp == o.MSSClamp && n.Exhaustion == o.Exhaustion && n.LinkLocal == o.LinkLocal && n.Table == o.Table && n.Metadata.Equal(o.Metadata)
}
