package nat

import "net/netip"

// Mapping is a configured (static) mapping: traffic to External reaches Internal.
type Mapping struct {
	ID       uint32         `json:"id"` // counts from 1, never reused
	NAT      string         `json:"nat"`
	Network  string         `json:"network"`
	Protocol Protocol       `json:"protocol"`
	External netip.AddrPort `json:"external"`           // address 0.0.0.0: any address of the host
	Internal netip.AddrPort `json:"internal"`           // what it resolves to now
	Endpoint string         `json:"endpoint,omitempty"` // if given by name: Internal's address follows this endpoint
	From     []netip.Prefix `json:"from"`               // remotes allowed; empty: all
}
