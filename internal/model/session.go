package model

import (
	"net/netip"
	"strings"
	"time"
)

// TCPState is a session's state, with WinNAT's numbers and (nearly) RFC 6146's
// meaning. Sessions of other protocols stay at StateNone.
type TCPState uint8

// The states.
const (
	StateNone        TCPState = 0 // "Closed/NA"
	StateInternalSYN TCPState = 1
	StateExternalSYN TCPState = 2
	StateEstablished TCPState = 3
	StateInternalFIN TCPState = 4
	StateExternalFIN TCPState = 5
	StateBothFIN     TCPState = 6
	StateTimeWait    TCPState = 7 // after a RST: RFC 6146's TRANS
)

var stateNames = [...]string{"none", "internal-syn", "external-syn", "established",
	"internal-fin", "external-fin", "both-fin", "time-wait"}

// String returns the name used in lists and filters.
func (s TCPState) String() string {
	if int(s) < len(stateNames) {
		return stateNames[s]
	}
	return "unknown"
}

// UnmarshalText reads what String writes.
func (s *TCPState) UnmarshalText(b []byte) error {
	for i, n := range stateNames {
		if strings.EqualFold(n, string(b)) {
			*s = TCPState(i)
			return nil
		}
	}
	return Errorf(Invalid, "session state %q is not known", Clip(string(b))).WithHint("use one of %s", strings.Join(stateNames[:], ", "))
}

// Session is one binding's conversation with one remote, as the kernel has it.
// For ICMP the ports of Internal and External are query identifiers and
// Remote's port is 0.
type Session struct {
	NAT             string
	Network         string
	Endpoint        string
	Compartment     string
	Protocol        Protocol
	Internal        netip.AddrPort
	External        netip.AddrPort
	Remote          netip.AddrPort
	State           TCPState
	LifetimeSeconds uint32 // seconds left before it ends if nothing is sent
	CreatedAt       time.Time
	PacketsOut      uint64
	BytesOut        uint64 // IP bytes, headers included
	PacketsIn       uint64
	BytesIn         uint64
}

// Binding ties an internal address and port to an external one, for any remote
// (endpoint-independent mapping, RFC 4787 REQ-1).
type Binding struct {
	NAT          string
	Network      string
	Endpoint     string // empty: an address that no endpoint has
	Compartment  string
	Protocol     Protocol
	Internal     netip.AddrPort
	External     netip.AddrPort // 0.0.0.0 for a configured one on any address
	SessionCount uint32
	Configured   bool
}
