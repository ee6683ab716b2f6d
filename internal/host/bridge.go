package host

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/hostnat/hostnat/internal/host/sysctl"
	"github.com/hostnat/hostnat/internal/model"
	"github.com/vishvananda/netlink"
)

// Bridge is a switch of hostnat's own as it should be.
type Bridge struct {
	Name     string
	MAC      model.MAC // fixed, so that it does not follow the ports
	MTU      int       // bytes
	Gateway  netip.Prefix
	Unrouted bool // the host's routing tables shall not know the subnet, which another link may have too. Gateway is one address then
}

// EnsureBridge makes the bridge, up, with the gateway's address as its only
// one, with forwarding and without IPv6, and returns its index. Spanning tree is off as the
// kernel makes it, so ports forward at once whatever the forward delay. A link
// of that name that hostnat did not make is a conflict.
//
// A bridge that is unrouted is reached by sockets that are bound to it, and by no
// others: where no route leads out of the link that a socket is bound to, the
// kernel takes the destination to be on it.
func EnsureBridge(ctx context.Context, b Bridge) (int, error) {
	mac, err := net.ParseMAC(string(b.MAC))
	if err != nil {
		return 0, fmt.Errorf("bridge %s: %w", b.Name, err)
	}
	link, err := ownLink(b.Name, func(attrs netlink.LinkAttrs) netlink.Link {
		attrs.HardwareAddr, attrs.MTU = mac, b.MTU
		return &netlink.Bridge{LinkAttrs: attrs}
	})
	if err != nil {
		return 0, err
	}
	err = cmp.Or(
		sysctl.DisableIPv6(b.Name),
		setMAC(netlink.LinkSetHardwareAddr, link, mac),
		setMTU(netlink.LinkSetMTU, link, b.MTU),
	)
	if err != nil {
		return 0, err
	}
	settle := loosenFilter
	if b.Unrouted {
		settle = setUnrouted
	}
	if err := cmp.Or(settle(b.Name), setForwarding(b.Name), onlyAddress(ctx, link, b.Gateway, !b.Unrouted)); err != nil {
		return 0, err
	}
	return link.Attrs().Index, setUp(netlink.LinkSetUp, link)
}

// AdoptBridge adds the gateway's address to a bridge that was there before,
// unless it has it, and changes nothing else. The host has no route to its prefix
// if it is unrouted, as Bridge has it. It returns the bridge's index and
// whether the address is one that hostnat added, now or earlier.
func AdoptBridge(ctx context.Context, name string, gateway netip.Prefix, unrouted bool) (index int, added bool, err error) {
	link, err := findBridge(name)
	if err != nil {
		return 0, false, err
	}
	addrs, err := addressesOf(ctx, link)
	if err != nil {
		return 0, false, err
	}
	index = link.Attrs().Index
	for _, a := range addrs {
		switch {
		case a.prefix.Addr() != gateway.Addr():
		case a.marked && (a.routed == unrouted || a.prefix != gateway): // the kernel cannot change that
			if err := deleteAddress(link, a.prefix); err != nil {
				return 0, false, err
			}
		case a.marked && a.routed && a.metric != gatewayMetric:
			return index, true, setMetric(link, a.prefix)
		case a.prefix != gateway && !unrouted:
		default:
			return index, a.marked, nil
		}
	}
	return index, true, addAddress(link, gateway, !unrouted)
}

// ReleaseBridge takes away an address that AdoptBridge added (Link.Lent). A
// bridge or an address that is gone is fine.
func ReleaseBridge(ctx context.Context, name string, gateway netip.Prefix) error {
	return takeAddress(ctx, name, func(a address) bool { return a.marked && a.prefix == gateway })
}

func findBridge(name string) (netlink.Link, error) {
	link, err := findLink(name)
	if err != nil {
		return nil, err
	}
	if link == nil {
		return nil, model.Errorf(model.NotFound, "bridge %s does not exist", name).WithHint("'ip link show type bridge' lists those that do")
	}
	if link.Type() != "bridge" {
		return nil, model.Errorf(model.Conflict, "link %s is not a bridge but of type %s", name, link.Type()).WithHint("name a bridge, or leave --adopt out and choose another name")
	}
	return link, nil
}

// onlyAddress makes prefix the link's one IPv4 address, routed or not.
func onlyAddress(ctx context.Context, link netlink.Link, prefix netip.Prefix, routed bool) error {
	addrs, err := addressesOf(ctx, link)
	if err != nil {
		return err
	}
	found := false
	for _, a := range addrs {
		if a.prefix == prefix && a.routed == routed {
			found = true
			if routed && a.metric != gatewayMetric {
				err = errors.Join(err, setMetric(link, prefix))
			}
		} else {
			err = errors.Join(err, deleteAddress(link, a.prefix))
		}
	}
	if err != nil || found {
		return err
	}
	return addAddress(link, prefix, routed)
}
