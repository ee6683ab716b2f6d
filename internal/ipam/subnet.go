package ipam

import (
	"encoding/binary"
	"net/netip"
	"strings"

	"github.com/hostnat/hostnat/internal/config"
	"github.com/hostnat/hostnat/internal/model"
)

// FreeSubnetIn returns what finds the first subnet of the pools that overlaps
// no network of any compartment and nothing that the host reaches by itself:
// its addresses, its routes, those of VPNs included, its routers and resolvers.
func FreeSubnetIn(pools []model.Pool) config.ChooseSubnet {
	return func(facts model.HostFacts, networks []model.Network) (netip.Prefix, error) {
		var used []netip.Prefix
		for _, n := range networks {
			used = append(used, n.Subnet4())
		}
		for _, h := range facts.Reached() {
			if h.Prefix.Bits() > 1 { // a default route, or a VPN's half of one, is in nobody's way
				used = append(used, h.Prefix.Masked())
			}
		}
		for _, m := range facts.Needed() {
			used = append(used, netip.PrefixFrom(m.Address, m.Address.BitLen()))
		}
		for _, pool := range pools {
			if p, ok := freeIn(pool, used); ok {
				return p, nil
			}
		}
		return netip.Prefix{}, model.Errorf(model.Exhausted, "no subnet is free in the pools %s: the host's routes and the networks use them all", names(pools)).
			WithHint("choose a subnet with --subnet, or add a pool: hostnat pool add PREFIX")
	}
}

// FreeSubnetLike returns what finds a subnet as large as the given one.
func FreeSubnetLike(subnet netip.Prefix, pools []model.Pool) config.ChooseSubnet {
	var like []model.Pool
	for _, p := range pools {
		if p.Prefix.Bits() <= subnet.Bits() {
			like = append(like, model.Pool{Prefix: p.Prefix, Size: subnet.Bits()})
		}
	}
	return FreeSubnetIn(like)
}

func names(pools []model.Pool) string {
	var texts []string
	for _, p := range pools {
		texts = append(texts, p.Prefix.String())
	}
	return strings.Join(texts, ", ")
}

func freeIn(pool model.Pool, used []netip.Prefix) (netip.Prefix, bool) {
	for a := pool.Prefix.Addr(); pool.Prefix.Contains(a); {
		p := netip.PrefixFrom(a, pool.Size)
		in, taken := overlapping(p, used)
		if !taken {
			return p, true
		}
		next := after(p)
		if in.Bits() < p.Bits() {
			next = after(in) // skip what a short prefix covers in one step
		}
		if !a.Less(next) { // that was the last there is
			break
		}
		a = next
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

// after returns the address behind a prefix; behind the last one, 0.0.0.0.
func after(p netip.Prefix) netip.Addr {
	last := model.LastAddress(p).As4()
	var next [4]byte
	binary.BigEndian.PutUint32(next[:], binary.BigEndian.Uint32(last[:])+1)
	return netip.AddrFrom4(next)
}
