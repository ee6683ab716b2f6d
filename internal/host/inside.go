package host

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// inside is a netlink socket in an endpoint's namespace.
type inside struct {
	route *netlink.Handle
	fd    int
	label string
}

func (in *inside) close() { in.route.Close() }

// find returns nil if there is no link of that name.
func (in *inside) find(name string) (netlink.Link, error) {
	link, err := in.route.LinkByName(name)
	if errors.As(err, new(netlink.LinkNotFoundError)) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("find link %s in %s: %w", name, in.label, err)
	}
	return link, nil
}

// peerOf returns the link inside with that name if it is the other end of the
// host's link, else nil.
func (in *inside) peerOf(link netlink.Link, name string) (netlink.Link, error) {
	peer, err := in.find(name)
	if err != nil || peer == nil {
		return nil, err
	}
	// Indices repeat from namespace to namespace: the kernel's id of the
	// peer's namespace has to fit as well.
	id, err := netlink.GetNetNsIdByFd(in.fd)
	if err != nil {
		return nil, fmt.Errorf("id of %s: %w", in.label, err)
	}
	host, other := link.Attrs(), peer.Attrs()
	if link.Type() != "veth" || peer.Type() != "veth" || host.NetNsID != id ||
		host.ParentIndex != other.Index || other.ParentIndex != host.Index {
		return nil, nil
	}
	return peer, nil
}

func (in *inside) configure(ctx context.Context, v Veth, peer netlink.Link) error {
	mac, err := net.ParseMAC(string(v.MAC))
	if err != nil {
		return fmt.Errorf("veth %s: %w", v.Name, err)
	}
	lo, err := in.find("lo")
	if err != nil {
		return err
	}
	if v.tap != nil {
		return cmp.Or(setMAC(in.route.LinkSetHardwareAddr, peer, mac), setMTU(in.route.LinkSetMTU, peer, v.MTU), in.configureTAP(*v.tap, peer))
	}
	err = cmp.Or(
		setMAC(in.route.LinkSetHardwareAddr, peer, mac),
		setMTU(in.route.LinkSetMTU, peer, v.MTU),
		setSegment(in.route.LinkSetGSOIPv4MaxSize, peer, v.Segment),
		in.setAddress(ctx, peer, v.Address, v.Allow),
		setUp(in.route.LinkSetUp, peer),
	)
	if lo != nil {
		err = cmp.Or(err, setUp(in.route.LinkSetUp, lo))
	}
	if err != nil {
		return fmt.Errorf("in %s: %w", in.label, err)
	}
	if v.GatewayMAC != "" {
		if err := pinNeighbour(in.route.NeighSet, peer, v.Gateway, v.GatewayMAC); err != nil {
			return fmt.Errorf("in %s: %w", in.label, err)
		}
	}
	return cmp.Or(
		in.setDefaultRoute(ctx, peer, v.Gateway),
		in.answerForItself(ctx, peer, v.Address, v.Gateway),
	)
}

// setAddress makes prefix the link's one IPv4 address, but for those that the endpoint
// may give itself.
func (in *inside) setAddress(ctx context.Context, link netlink.Link, prefix netip.Prefix, allow []netip.Prefix) error {
	allowed := func(a netip.Addr) bool {
		return slices.ContainsFunc(allow, func(p netip.Prefix) bool { return p.Contains(a) })
	}
	addrs, err := Dump(ctx, func() ([]netlink.Addr, error) { return in.route.AddrList(link, unix.AF_INET) })
	if err != nil {
		return fmt.Errorf("list addresses of %s: %w", link.Attrs().Name, err)
	}
	want := ipNet(prefix)
	found := false
	for _, a := range addrs {
		if a.IPNet.String() == want.String() {
			found = true
		} else if own, _ := netip.AddrFromSlice(a.IP.To4()); allowed(own) {
			continue
		} else if err := in.route.AddrDel(link, &a); err != nil {
			return fmt.Errorf("delete address %s from %s: %w", a.IPNet, link.Attrs().Name, err)
		}
	}
	if found {
		return nil
	}
	if err := in.route.AddrAdd(link, &netlink.Addr{IPNet: want}); err != nil {
		return fmt.Errorf("add address %s to %s: %w", prefix, link.Attrs().Name, err)
	}
	return nil
}

// setDefaultRoute adds one unless there is one through another link: then the
// namespace has more than one network, and the first keeps it.
func (in *inside) setDefaultRoute(ctx context.Context, link netlink.Link, gateway netip.Addr) error {
	routes, err := Dump(ctx, func() ([]netlink.Route, error) { return in.route.RouteList(nil, unix.AF_INET) })
	if err != nil {
		return fmt.Errorf("list routes of %s: %w", in.label, err)
	}
	want := netlink.Route{LinkIndex: link.Attrs().Index, Gw: gateway.AsSlice(), Dst: ipNet(netip.PrefixFrom(netip.IPv4Unspecified(), 0))}
	for _, r := range routes {
		if !isDefault(r) {
			continue
		}
		if r.LinkIndex != want.LinkIndex || r.Gw.Equal(want.Gw) {
			return nil
		}
		if err := in.route.RouteDel(&r); err != nil {
			return fmt.Errorf("delete default route via %s in %s: %w", r.Gw, in.label, err)
		}
		_ = in.route.NeighDel(&netlink.Neigh{LinkIndex: r.LinkIndex, Family: unix.AF_INET, IP: r.Gw}) // the gateway before, if it was pinned
	}
	if err := in.route.RouteAdd(&want); err != nil {
		return fmt.Errorf("add default route via %s in %s: %w", gateway, in.label, err)
	}
	return nil
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}
