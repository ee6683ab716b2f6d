package nat

import (
	"net/netip"
	"time"
)

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
}

// ExternalAddress is an address and the dynamic ports a NAT may use on it.
type ExternalAddress struct {
	Address netip.Addr `json:"address"`
	Ports   PortRange  `json:"ports"`
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

// Defaults returns the profile's timeouts and filtering.
func (p Profile) Defaults() (Timeouts, Filtering) {
	if p == ProfileWinNAT {
		return Timeouts{UDP: 120, TCPEstablished: 1800, TCPTransitory: 120, ICMP: 30}, AddressDependent
	}
	// RFC 4787 REQ-5c, RFC 5382 REQ-5, RFC 5508 REQ-2.
	return Timeouts{UDP: 300, TCPEstablished: 7440, TCPTransitory: 240, ICMP: 60}, AddressDependent
}
