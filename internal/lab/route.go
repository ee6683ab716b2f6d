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
