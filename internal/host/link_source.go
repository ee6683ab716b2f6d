package host

import (
	"net/netip"
	"slices"
)

// linkLocal is what a machine gives itself that has got no address (RFC 3927).
var linkLocal = netip.PrefixFrom(netip.AddrFrom4([4]byte{169, 254}), 16)

// Sources are the link's own addresses that what leaves by it may have as its
// source, the best first: that is the kernel's order, but for those of a narrow
// scope, which it prefers only to destinations on the link, those that are link-local
// (RFC 3927 section 2.7), and those that are deprecated. What hostnat added is for
// one NAT alone, and loopback's own are for the host alone.
func (l Link) Sources() []netip.Prefix {
	var list []netip.Prefix
	for _, p := range l.Addresses {
		if !p.Addr().IsLoopback() && !slices.Contains(l.External, p) && !slices.Contains(l.Lent, p) {
			list = append(list, p)
		}
	}
	slices.SortStableFunc(list, func(a, b netip.Prefix) int { return l.unfitness(a) - l.unfitness(b) })
	return list
}

// unfitness orders addresses: the less, the better as a source.
func (l Link) unfitness(p netip.Prefix) (n int) {
	if slices.Contains(l.Narrow, p) {
		n++
	}
	if slices.Contains(l.Deprecated, p) {
		n += 2
	}
	if linkLocal.Contains(p.Addr()) { // nobody beyond the link can answer to it
		n += 4
	}
	return n
}
