package host

import (
	"context"
	"fmt"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// defaultBits is the longest prefix that counts as a default route. VPNs write
// theirs as two halves (0.0.0.0/1 and 128.0.0.0/1) to win over the host's.
const defaultBits = 1

// Route is an IPv4 route of the host.
type Route struct {
	Prefix netip.Prefix // 0.0.0.0/0: the default route
	Link   string
	Table  int
}

// Routes returns the IPv4 routes of all tables that lead to one of the links,
// hostnat's own left out.
func Routes(ctx context.Context, links []Link) ([]Route, error) {
	all, err := listRoutes(ctx)
	if err != nil {
		return nil, err
	}
	names := make(map[int]string)
	for _, l := range links {
		names[l.Index] = l.Name
	}
	var list []Route
	for _, r := range all {
		list = append(list, Route{Prefix: destination(r), Link: names[outgoing(r)], Table: r.Table})
	}
	return list, nil
}

// listRoutes returns the IPv4 routes of all tables that lead to a link, without
// those to the host itself (table local) and those of hostnat's own tables.
func listRoutes(ctx context.Context) ([]netlink.Route, error) {
	all, err := Dump(ctx, func() ([]netlink.Route, error) {
		return netlink.RouteListFiltered(unix.AF_INET, &netlink.Route{Table: unix.RT_TABLE_UNSPEC}, netlink.RT_FILTER_TABLE)
	})
	if err != nil {
		return nil, fmt.Errorf("list routes: %w", err)
	}
	var routes []netlink.Route
	for _, r := range all {
		if r.Table != unix.RT_TABLE_LOCAL && r.Type == unix.RTN_UNICAST && !IsOwnTable(r.Table) {
			routes = append(routes, r)
		}
	}
	return routes, nil
}

// outgoing is the index of a route's link, the first of a multipath one.
func outgoing(r netlink.Route) int {
	if r.LinkIndex == 0 && len(r.MultiPath) > 0 {
		return r.MultiPath[0].LinkIndex
	}
	return r.LinkIndex
}

type nextHop struct {
	link   int // index
	router netip.Addr
}

// nextHops are the IPv4 routers of a route, each of a multipath one.
func nextHops(r netlink.Route) []nextHop {
	var hops []nextHop
	add := func(link int, ip net.IP) {
		if a, ok := netip.AddrFromSlice(ip.To4()); ok && !a.IsUnspecified() {
			hops = append(hops, nextHop{link, a})
		}
	}
	add(r.LinkIndex, r.Gw)
	for _, p := range r.MultiPath {
		add(p.LinkIndex, p.Gw)
	}
	return hops
}

// destination is a route's prefix, 0.0.0.0/0 for the default route.
func destination(r netlink.Route) netip.Prefix { return destinationOf(r.Dst) }

func destinationOf(n *net.IPNet) netip.Prefix {
	if n == nil {
		return netip.PrefixFrom(netip.IPv4Unspecified(), 0)
	}
	addr, _ := netip.AddrFromSlice(n.IP.To4())
	bits, _ := n.Mask.Size()
	return netip.PrefixFrom(addr, bits).Masked()
}

func isDefault(r netlink.Route) bool { return destination(r).Bits() == 0 }
