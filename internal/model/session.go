package model

import (
	"fmt"
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
	RemoteName      string // by which the inside party asked for Remote; empty: not known
	State           TCPState
	LifetimeSeconds uint32 // seconds left before it ends if nothing is sent
	CreatedAt       time.Time
	PacketsOut      uint64
	BytesOut        uint64 // IP bytes, headers included
	PacketsIn       uint64
	BytesIn         uint64
	Handshake       Handshake // of TCP
}

// Handshake is what is known of a TCP connection's beginning: how long each side of
// the NAT took to answer. Opened from inside, the outside has the time from the SYN to
// the SYN-ACK, and the endpoint that from the SYN-ACK to its ACK; opened from outside,
// the other way round. Microseconds are 0 of a side that was not asked, or has not
// answered. The zero value is of a session that is not TCP, or that an earlier version
// of hostnat has opened.
type Handshake struct {
	EndpointMicroseconds uint32
	OutsideMicroseconds  uint32
	RepeatedSYNs         uint8 // by the side that has opened the connection; 255 or more are 255
	Awaits               Side  // whose answer has not come
}

// Side is one of the NAT's.
type Side uint8

// The sides.
const (
	NoSide       Side = iota
	EndpointSide      // the inside party's
	OutsideSide       // the remote's
)

// String returns the name used in the API; NoSide has none.
func (s Side) String() string {
	return [...]string{"", "endpoint", "outside"}[min(s, OutsideSide)]
}

// Text is all that is known in few words; empty: nothing is.
func (h Handshake) Text() (text string) {
	add := func(more string) {
		if text != "" {
			text += ", "
		}
		text += more
	}
	if h.EndpointMicroseconds > 0 {
		add("the endpoint answered in " + microsecondsText(h.EndpointMicroseconds))
	}
	if h.OutsideMicroseconds > 0 {
		add("the outside answered in " + microsecondsText(h.OutsideMicroseconds))
	}
	if h.Awaits != NoSide {
		add("the " + h.Awaits.String() + " did not answer")
	}
	switch h.RepeatedSYNs {
	case 0:
	case 1:
		add("1 SYN repeated")
	default:
		add(fmt.Sprintf("%d SYNs repeated", h.RepeatedSYNs))
	}
	return text
}

// microsecondsText has the three digits that matter: "85µs", "23.4ms", "1.02s".
func microsecondsText(n uint32) string {
	d, precision := time.Duration(n)*time.Microsecond, time.Microsecond
	for d/precision >= 1000 {
		precision *= 10
	}
	return d.Round(precision).String()
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
