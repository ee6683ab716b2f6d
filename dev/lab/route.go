package lab

import (
	"fmt"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
)

// AddRoute routes a prefix ("0.0.0.0/0": default) via a gateway.
func (n *Namespace) AddRoute(prefix, gateway string) error {
	return n.route4("add", prefix, gateway, n.route.RouteAdd)
}

// AddRouteBy is AddRoute out of a link, as a DHCP client does it: whatever other
// link leads to the gateway's prefix too.
func (n *Namespace) AddRouteBy(link, prefix, gateway string) error {
	l, err := n.route.LinkByName(link)
	if err != nil {
		return fmt.Errorf("route to %s by %s in %s: %w", prefix, link, n.Name, err)
	}
	return n.route4("add", prefix, gateway, func(r *netlink.Route) error {
		r.LinkIndex = l.Attrs().Index
		return n.route.RouteAdd(r)
	})
}

// DeleteRoute takes the route to a prefix via a gateway away.
func (n *Namespace) DeleteRoute(prefix, gateway string) error {
	return n.route4("delete", prefix, gateway, n.route.RouteDel)
}

func (n *Namespace) route4(action, prefix, gateway string, change func(*netlink.Route) error) error {
	dst, err := netip.ParsePrefix(prefix)
	if err != nil {
		return fmt.Errorf("route: %w", err)
	}
	gw, err := netip.ParseAddr(gateway)
	if err != nil {
		return fmt.Errorf("route to %s: %w", prefix, err)
	}
	route := &netlink.Route{
		Dst: &net.IPNet{IP: dst.Addr().AsSlice(), Mask: net.CIDRMask(dst.Bits(), dst.Addr().BitLen())},
		Gw:  gw.AsSlice(),
	}
	if err := change(route); err != nil {
		return fmt.Errorf("%s route %s via %s in %s: %w", action, prefix, gateway, n.Name, err)
	}
	return nil
}

// Routes returns the main table's routes to links as "PREFIX LINK".
func (n *Namespace) Routes() ([]string, error) {
	routes, err := n.route.RouteList(nil, netlink.FAMILY_V4)
	if err != nil {
		return nil, fmt.Errorf("list routes in %s: %w", n.Name, err)
	}
	var list []string
	for _, r := range routes {
		if link, err := n.route.LinkByIndex(r.LinkIndex); err == nil && r.Dst != nil {
			list = append(list, r.Dst.String()+" "+link.Attrs().Name)
		}
	}
	return list, nil
}
