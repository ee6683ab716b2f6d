package api

// Protocol is the name of a protocol that is translated.
type Protocol string

// The protocols with ports (or, for ICMP, a query identifier in their place).
const (
	TCP  Protocol = "tcp"
	UDP  Protocol = "udp"
	ICMP Protocol = "icmp"
	Any  Protocol = "any" // a mapping's that has a whole address
)
