package host

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/hostnat/hostnat/internal/nat"
	"github.com/vishvananda/netlink"
)

// Bridge is a switch of hostnat's own as it should be.
type Bridge struct {
	Name    string
	MAC     nat.MAC // fixed, so that it does not follow the ports
	MTU     int     // bytes
	Gateway netip.Prefix
}

// EnsureBridge makes the bridge, up, with the gateway's address as its only
// one and without IPv6, and returns its index. Spanning tree is off as the
// kernel makes it, so ports forward at once whatever the forward delay. A link
// of that name that hostnat did not make is a conflict.
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
		disableIPv6(b.Name),
		setMAC(netlink.LinkSetHardwareAddr, link, mac),
		setMTU(netlink.LinkSetMTU, link, b.MTU),
	)
	if err != nil {
		return 0, err
	}
	if err := onlyAddress(ctx, link, b.Gateway); err != nil {
		return 0, err
	}
	return link.Attrs().Index, setUp(netlink.LinkSetUp, link)
}

// AdoptBridge adds the gateway's address to a bridge that was there before,
// unless it has it, and changes nothing else. It returns the bridge's index and
// whether the address is one that hostnat added, now or earlier.
func AdoptBridge(ctx context.Context, name string, gateway netip.Prefix) (index int, added bool, err error) {
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
		if a.prefix == gateway {
			return index, a.marked, nil
		}
	}
	return index, true, addAddress(link, gateway)
}

// ReleaseBridge takes away an address that AdoptBridge added (Link.Lent). A
// bridge or an address that is gone is fine.
func ReleaseBridge(ctx context.Context, name string, gateway netip.Prefix) error {
	link, err := findLink(name)
	if err != nil || link == nil {
		return err
	}
	addrs, err := addressesOf(ctx, link)
	if err != nil {
		return err
	}
	for _, a := range addrs {
		if a.marked && a.prefix == gateway {
			return deleteAddress(link, a.prefix)
		}
	}
	return nil
}

func findBridge(name string) (netlink.Link, error) {
	link, err := findLink(name)
	if err != nil {
		return nil, err
	}
	if link == nil {
		return nil, nat.Errorf(nat.NotFound, "bridge %s does not exist", name).WithHint("'ip link show type bridge' lists those that do")
	}
	if link.Type() != "bridge" {
		return nil, nat.Errorf(nat.Conflict, "link %s is not a bridge but of type %s", name, link.Type()).WithHint("name a bridge, or leave --adopt out and choose another name")
	}
	return link, nil
}

// onlyAddress makes prefix the link's one IPv4 address.
func onlyAddress(ctx context.Context, link netlink.Link, prefix netip.Prefix) error {
	addrs, err := addressesOf(ctx, link)
	if err != nil {
		return err
	}
	found := false
	for _, a := range addrs {
		if a.prefix == prefix {
			found = true
		} else {
			err = errors.Join(err, deleteAddress(link, a.prefix))
		}
	}
	if err != nil || found {
		return err
	}
	return addAddress(link, prefix)
}
