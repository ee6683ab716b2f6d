package host

import (
	"cmp"
	"context"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"
)

// RouteMTU is the MTU that routes to a prefix have of their own (`ip route add ...
// mtu`). Which route the kernel has chosen for a destination is known by the link,
// the next hop and the metric that it answers with: of all RouteMTUs that have
// these, the one with the longest prefix around the destination is the route's.
type RouteMTU struct {
	Link    int        // index
	NextHop netip.Addr // IPv4 or IPv6; not valid: none, the destination is on the link
	Metric  uint32
	Prefix  netip.Prefix
	MTU     int // bytes; 0: none of its own
}

// RouteMTUs returns the MTUs of the host's routes, all of those that have the same
// link, next hop and metric as one that has one.
func RouteMTUs(ctx context.Context) ([]RouteMTU, error) {
	routes, err := listRoutes(ctx)
	if err != nil {
		return nil, err
	}
	return routeMTUs(routes), nil
}

// way is what the kernel answers with when it has chosen a route.
type way struct {
	link    int
	nextHop netip.Addr
	metric  uint32
}

func waysOf(r netlink.Route) (ways []way) {
	add := func(link int, gateway []byte, via netlink.Destination) {
		a, _ := netip.AddrFromSlice(gateway)
		if v, is := via.(*netlink.Via); is {
			a, _ = netip.AddrFromSlice(v.Addr)
		}
		if a = a.Unmap(); a.IsUnspecified() {
			a = netip.Addr{}
		}
		ways = append(ways, way{link, a, uint32(r.Priority)})
	}
	for _, p := range r.MultiPath {
		add(p.LinkIndex, p.Gw, p.Via)
	}
	if len(r.MultiPath) == 0 {
		add(r.LinkIndex, r.Gw, r.Via)
	}
	return ways
}

func routeMTUs(routes []netlink.Route) []RouteMTU {
	t := newRouteTables(routes)
	var list []RouteMTU
	for w, prefixes := range t.prefixes {
		if !t.hasMTU[w] {
			continue
		}
		for p := range prefixes {
			list = append(list, RouteMTU{w.link, w.nextHop, w.metric, p, t.mtu(w, p)})
		}
	}
	slices.SortFunc(list, func(a, b RouteMTU) int {
		return cmp.Or(cmp.Compare(a.Link, b.Link), a.NextHop.Compare(b.NextHop), cmp.Compare(a.Metric, b.Metric),
			a.Prefix.Addr().Compare(b.Prefix.Addr()), cmp.Compare(a.Prefix.Bits(), b.Prefix.Bits()))
	})
	return list
}

type placedWay struct {
	table  int
	prefix netip.Prefix
	way    way
}

// routeTables are the host's routes in the ways in which their MTUs are looked for.
type routeTables struct {
	tables   map[int]map[netip.Prefix]bool
	mtus     map[placedWay]int
	prefixes map[way]map[netip.Prefix]bool
	hasMTU   map[way]bool
}

func newRouteTables(routes []netlink.Route) routeTables {
	t := routeTables{
		make(map[int]map[netip.Prefix]bool), make(map[placedWay]int),
		make(map[way]map[netip.Prefix]bool), make(map[way]bool),
	}
	for _, r := range routes {
		prefix := destination(r)
		if t.tables[r.Table] == nil {
			t.tables[r.Table] = make(map[netip.Prefix]bool)
		}
		t.tables[r.Table][prefix] = true
		for _, w := range waysOf(r) {
			at := placedWay{r.Table, prefix, w}
			was, known := t.mtus[at]
			t.mtus[at] = r.MTU
			if known { // routes that differ by TOS alone
				t.mtus[at] = smaller(was, r.MTU)
			}
			if t.prefixes[w] == nil {
				t.prefixes[w] = make(map[netip.Prefix]bool)
			}
			t.prefixes[w][prefix] = true
			t.hasMTU[w] = t.hasMTU[w] || r.MTU > 0
		}
	}
	return t
}

// mtu is what holds for destinations within a prefix, and within no longer one, that
// go a way. Tables may differ: the kernel does not say which it has used, and the
// smallest MTU does no harm.
func (t routeTables) mtu(w way, p netip.Prefix) (mtu int) {
	for table, prefixes := range t.tables {
		around := p
		for around.Bits() > 0 && !prefixes[around] {
			around, _ = p.Addr().Prefix(around.Bits() - 1)
		}
		if m, goes := t.mtus[placedWay{table, around, w}]; goes {
			mtu = smaller(mtu, m)
		}
	}
	return mtu
}

// smaller is the smaller one of two MTUs, of which 0 is none.
func smaller(a, b int) int {
	if a == 0 || b == 0 {
		return max(a, b)
	}
	return min(a, b)
}
