package ipam

import (
	"encoding/binary"
	"net/netip"

	"github.com/hostnat/hostnat/internal/nat"
)

// pools is where subnets are taken from (RFC 1918), least used by others first.
var pools = []netip.Prefix{
	netip.MustParsePrefix("172.16.0.0/12"),
	netip.MustParsePrefix("10.0.0.0/8"),
	netip.MustParsePrefix("192.168.0.0/16"),
}

// FreeSubnet returns the first private /24 that overlaps no network of any
// compartment and nothing that the host reaches by itself.
func FreeSubnet(facts nat.HostFacts, networks []nat.Network) (netip.Prefix, error) {
	var used []netip.Prefix
	for _, n := range networks {
		used = append(used, n.Subnet)
	}
	for _, h := range facts.Prefixes {
		if h.Prefix.Bits() > 0 { // a default route is in nobody's way
			used = append(used, h.Prefix.Masked())
		}
	}
	for _, pool := range pools {
		if p, ok := freeIn(pool, used); ok {
			return p, nil
		}
	}
	return netip.Prefix{}, nat.Errorf(nat.Exhausted, "no private /24 is free: the host's routes and the networks use them all").
		WithHint("choose a subnet with --subnet")
}

func freeIn(pool netip.Prefix, used []netip.Prefix) (netip.Prefix, bool) {
	for a := pool.Addr(); pool.Contains(a); {
		p := netip.PrefixFrom(a, 24)
		in, taken := overlapping(p, used)
		if !taken {
			return p, true
		}
		a = after(p)
		if in.Bits() < p.Bits() {
			a = after(in) // skip what a short prefix covers in one step
		}
	}
	return netip.Prefix{}, false
}

func overlapping(p netip.Prefix, used []netip.Prefix) (netip.Prefix, bool) {
	for _, u := range used {
		if u.Overlaps(p) {
			return u, true
		}
	}
	return netip.Prefix{}, false
}

// after returns the address behind a prefix.
func after(p netip.Prefix) netip.Addr {
	last := nat.LastAddress(p).As4()
	var next [4]byte
	binary.BigEndian.PutUint32(next[:], binary.BigEndian.Uint32(last[:])+1)
	return netip.AddrFrom4(next)
}
