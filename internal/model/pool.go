package model

import "net/netip"

// Pool is where subnets are taken from for networks that name none. In JSON
// {"prefix": "10.64.0.0/12", "size": 24}.
type Pool struct {
	Prefix netip.Prefix
	Size   int // prefix length of the subnets
}

// DefaultPoolSize is the prefix length of subnets where none is asked for.
const DefaultPoolSize = 24

// DefaultPools are RFC 1918's prefixes, those that others use least first.
func DefaultPools() []Pool {
	return []Pool{
		{netip.MustParsePrefix("172.16.0.0/12"), DefaultPoolSize},
		{netip.MustParsePrefix("10.0.0.0/8"), DefaultPoolSize},
		{netip.MustParsePrefix("192.168.0.0/16"), DefaultPoolSize},
	}
}
