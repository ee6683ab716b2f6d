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

// MarshalText makes a TCPState its name in JSON.
func (s TCPState) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText is the reverse of MarshalText.
func (s *TCPState) UnmarshalText(b []byte) error {
	for i, n := range stateNames {
		if n == string(b) {
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
	NAT             string         `json:"nat"`
	Network         string         `json:"network"`
	Endpoint        string         `json:"endpoint"`
	Compartment     string         `json:"compartment"`
	Protocol        Protocol       `json:"protocol"`
	Internal        netip.AddrPort `json:"internal"`
	External        netip.AddrPort `json:"external"`
	Remote          netip.AddrPort `json:"remote"`
	State           TCPState       `json:"state"`
	LifetimeSeconds uint32         `json:"lifetimeSeconds"` // seconds left before it ends if nothing is sent
	CreatedAt       time.Time      `json:"createdAt"`
	PacketsOut      uint64         `json:"packetsOut"`
	BytesOut        uint64         `json:"bytesOut"` // IP bytes, headers included
	PacketsIn       uint64         `json:"packetsIn"`
	BytesIn         uint64         `json:"bytesIn"`
}

// Binding ties an internal address and port to an external one, for any remote
// (endpoint-independent mapping, RFC 4787 REQ-1).
type Binding struct {
	NAT          string         `json:"nat"`
	Network      string         `json:"network"`
	Endpoint     string         `json:"endpoint"` // empty: an address that no endpoint has
	Compartment  string         `json:"compartment"`
	Protocol     Protocol       `json:"protocol"`
	Internal     netip.AddrPort `json:"internal"`
	External     netip.AddrPort `json:"external"` // 0.0.0.0 for a configured one on any address
	SessionCount uint32         `json:"sessionCount"`
	Configured   bool           `json:"configured"`
}
