package host

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// TransparentMark is on packets from endpoints that are for a socket of the host
// with an address that is not the host's (IP_TRANSPARENT): the data path finds
// the socket and marks them. Bytes "hnTX".
const TransparentMark = 0x684e5458

// transparentTable is the routing table for packets with TransparentMark. It has
// the mark's number: tables have 32 bits, others' have small numbers.
const transparentTable = TransparentMark

// transparentPriority is where our rules stand: behind the host's own addresses
// (table local, at 0 or where Cilium moves it, 100) and before everything that
// sends all traffic somewhere else, as VPNs do (Tailscale 5200 on, WireGuard's
// wg-quick before 32764).
const transparentPriority = 104

// routeOrigin marks routes and rules that hostnat adds (`ip rule` and `ip route`
// show "proto 104"), as addressMark does addresses.
const routeOrigin = 0x68

// SetTransparentRoute has packets with TransparentMark that come in from these
// links delivered on the host, whatever their destination, and no others: what
// was set before for other links is taken away. Without links nothing of it
// stays. A link need not exist yet. That a rule is for a link, not for any, also
// keeps it out of the kernel's look-up for packets' sources (rp_filter) where
// that heeds marks (src_valid_mark): it asks as loopback.
func SetTransparentRoute(ctx context.Context, links []string) error {
	has, err := transparentRules(ctx)
	if err != nil {
		return err
	}
	if len(links) > 0 { // before a rule leads there
		if err := addTransparentRoute(ctx); err != nil {
			return err
		}
	}
	for _, r := range has {
		if !slices.Contains(links, r.IifName) {
			if err := netlink.RuleDel(&r); err != nil && !errors.Is(err, unix.ENOENT) {
				return fmt.Errorf("delete the routing rule for transparent connections from %s: %w", r.IifName, err)
			}
		}
	}
	for _, link := range links {
		if slices.ContainsFunc(has, func(r netlink.Rule) bool { return r.IifName == link }) {
			continue
		}
		if err := netlink.RuleAdd(transparentRule(link)); err != nil && !errors.Is(err, unix.EEXIST) {
			return fmt.Errorf("add a routing rule for transparent connections from %s: %w", link, err)
		}
	}
	if len(links) > 0 {
		return nil
	}
	return deleteTransparentRoute(ctx)
}

func transparentRule(link string) *netlink.Rule {
	mask := uint32(0xffffffff)
	r := netlink.NewRule()
	r.Family, r.Priority, r.Protocol = unix.AF_INET, transparentPriority, routeOrigin
	r.Mark, r.Mask, r.IifName, r.Table = TransparentMark, &mask, link, transparentTable
	return r
}

// transparentRules lists the rules that are ours and whole: others with our
// origin are left alone, as they cannot lead to our table.
func transparentRules(ctx context.Context) ([]netlink.Rule, error) {
	all, err := dump(ctx, func() ([]netlink.Rule, error) { return netlink.RuleList(unix.AF_INET) })
	if err != nil {
		return nil, fmt.Errorf("list routing rules: %w", err)
	}
	return slices.DeleteFunc(all, func(r netlink.Rule) bool {
		return r.Table != transparentTable || r.Protocol != routeOrigin || r.Mark != TransparentMark || r.Priority != transparentPriority
	}), nil
}

// addTransparentRoute routes everything to the host itself.
func addTransparentRoute(ctx context.Context) error {
	has, err := transparentRoutes(ctx)
	if err != nil || len(has) > 0 {
		return err
	}
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return fmt.Errorf("find loopback: %w", err)
	}
	err = netlink.RouteAdd(&netlink.Route{
		LinkIndex: lo.Attrs().Index, Table: transparentTable, Protocol: routeOrigin, Type: unix.RTN_LOCAL, Scope: unix.RT_SCOPE_HOST,
		Dst: &net.IPNet{IP: net.IPv4zero.To4(), Mask: net.CIDRMask(0, 32)},
	})
	if err != nil && !errors.Is(err, unix.EEXIST) {
		return fmt.Errorf("add the route for transparent connections: %w", err)
	}
	return nil
}

func deleteTransparentRoute(ctx context.Context) error {
	has, err := transparentRoutes(ctx)
	if err != nil {
		return err
	}
	for _, r := range has {
		if err := netlink.RouteDel(&r); err != nil && !errors.Is(err, unix.ESRCH) {
			return fmt.Errorf("delete the route for transparent connections: %w", err)
		}
	}
	return nil
}

func transparentRoutes(ctx context.Context) ([]netlink.Route, error) {
	all, err := dump(ctx, func() ([]netlink.Route, error) {
		return netlink.RouteListFiltered(unix.AF_INET, &netlink.Route{Table: transparentTable}, netlink.RT_FILTER_TABLE)
	})
	if err != nil {
		return nil, fmt.Errorf("list routes for transparent connections: %w", err)
	}
	return slices.DeleteFunc(all, func(r netlink.Route) bool { return r.Protocol != routeOrigin }), nil
}
