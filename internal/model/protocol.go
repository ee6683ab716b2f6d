package model

import "strings"

// Protocol is an IP protocol number that hostnat translates.
type Protocol uint8

// The protocols with ports (or, for ICMP, a query identifier in their place).
const (
	ICMP Protocol = 1
	TCP  Protocol = 6
	UDP  Protocol = 17
)

// AnyProtocol is a mapping's that has a whole address, whatever the protocol. Its
// number is reserved (RFC 5237): it is no protocol's own.
const AnyProtocol Protocol = 255

// String returns the lower-case name used on the command line and in JSON.
func (p Protocol) String() string {
	switch p {
	case ICMP:
		return "icmp"
	case TCP:
		return "tcp"
	case UDP:
		return "udp"
	case AnyProtocol:
		return "any"
	}
	return "unknown"
}

// ParseProtocol reads "tcp", "udp" or "icmp" in any case.
func ParseProtocol(s string) (Protocol, error) {
	switch strings.ToLower(s) {
	case "tcp":
		return TCP, nil
	case "udp":
		return UDP, nil
	case "icmp":
		return ICMP, nil
	}
	return 0, Errorf(Invalid, "protocol %q is not known", Clip(s)).WithHint("use tcp, udp or icmp")
}
