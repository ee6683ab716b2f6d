package model

import (
	"encoding/json"
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
	Name               string            `json:"name"`
	ID                 uint32            `json:"id"` // stable over restarts; part of kernel keys; never 0
	ExternalInterfaces []string          `json:"externalInterfaces"`
	ExternalAddresses  []ExternalAddress `json:"externalAddresses"`
	Profile            Profile           `json:"profile"`
	Timeouts           Timeouts          `json:"timeouts"`
	TCPFiltering       Filtering         `json:"tcpFiltering"`
	UDPFiltering       Filtering         `json:"udpFiltering"`
	UDPInboundRefresh  bool              `json:"udpInboundRefresh"`
	Pooling            Pooling           `json:"pooling"`
	EndpointDependent  bool              `json:"endpointDependent"` // go on with endpoint-dependent mapping when a range is used up
	HoldDown           Seconds           `json:"holdDown"`          // a freed UDP port or ICMP identifier is not given out again for so long; 0 to an hour
	Limits             Limits            `json:"limits"`
	MSSClamp           bool              `json:"mssClamp"`   // TCP's segment size is lowered to what the way out takes
	Exhaustion         Exhaustion        `json:"exhaustion"` // what a sender is told whose flow finds no port
	LinkLocal          bool              `json:"linkLocal"`  // endpoints reach 169.254.0.0/16 outside, where clouds have metadata services
	Table              uint32            `json:"table"`      // the routing table by which everything leaves; 0: the host's rules decide
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
	Sessions uint32 `json:"sessions"`
	Ports    uint32 `json:"ports"` // external ports, all protocols together
	Rate     uint32 `json:"rate"`  // new sessions a second
}

// Exhaustion is what a sender is told whose flow finds no external port.
type Exhaustion string

// The answers: ICMP destination unreachable codes 13 (decision D3) and 1, or none.
const (
	Prohibited  Exhaustion = "prohibited"
	Unreachable Exhaustion = "unreachable"
	Silent      Exhaustion = "silent"
)

// UnmarshalJSON gives what is left out its default: a NAT that was stored before
// there was such a setting.
func (n *NAT) UnmarshalJSON(text []byte) error {
	head := struct {
		Profile Profile `json:"profile"`
	}{ProfileRFC}
	if err := json.Unmarshal(text, &head); err != nil {
		return err
	}
	type plain NAT
	p := plain(NewNAT("", 0, head.Profile))
	if err := json.Unmarshal(text, &p); err != nil {
		return err
	}
	*n = NAT(p)
	return nil
}

// ExternalAddress is an address and the dynamic ports a NAT may use on it.
type ExternalAddress struct {
	Address netip.Addr `json:"address"`
	Ports   PortRange  `json:"ports"`
	Added   bool       `json:"added,omitempty"` // the host did not have it: hostnat puts it on an interface and takes it away again
}

// PortRange is an inclusive range of ports, host byte order, 1 to 65535.
type PortRange struct {
	Low  uint16 `json:"low"`
	High uint16 `json:"high"`
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
	UDP            Seconds `json:"udp"`
	TCPEstablished Seconds `json:"tcpEstablished"`
	TCPTransitory  Seconds `json:"tcpTransitory"` // opening and closing (RFC 5382 REQ-5)
	ICMP           Seconds `json:"icmp"`
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

// HoldDown returns the profile's time for which a freed port rests: twice the
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
