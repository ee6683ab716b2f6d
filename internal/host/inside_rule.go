package host

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// answerPriority is where rules for an endpoint's own address stand in its
// namespace.
const answerPriority = 104

// answerTable is the routing table of one link in an endpoint's namespace. Bytes
// "hn" and the link's index: a namespace has few.
func answerTable(link int) int { return 0x686e0000 | link&0xffff }

// answerForItself has what is sent from the endpoint's address leave by its link,
// if the namespace has other links with addresses: another network's, above all.
// The default route is by one of them, and answers of the others would take it.
// Where there is no other link, nothing of it stays.
func (in *inside) answerForItself(ctx context.Context, link netlink.Link, a netip.Prefix, gateway netip.Addr) error {
	several, err := in.hasOthers(ctx, link)
	if err != nil {
		return err
	}
	want := answerRule(answerTable(link.Attrs().Index), a.Addr())
	found, err := in.keepRules(ctx, want, several)
	if err != nil {
		return err
	}
	if !several {
		if found { // until now
			for _, r := range answerRoutes(link.Attrs().Index, a, gateway) {
				_ = in.route.RouteDel(&r) // it may be gone, and without the rule nothing leads there
			}
		}
		return nil
	}
	for _, r := range answerRoutes(link.Attrs().Index, a, gateway) {
		if err := in.route.RouteReplace(&r); err != nil {
			return fmt.Errorf("add a route by %s to %s: %w", link.Attrs().Name, in.label, err)
		}
	}
	if found {
		return nil
	}
	if err := in.route.RuleAdd(want); err != nil && !errors.Is(err, unix.EEXIST) {
		return fmt.Errorf("add a routing rule for %s to %s: %w", a.Addr(), in.label, err)
	}
	return nil
}

func answerRule(table int, a netip.Addr) *netlink.Rule {
	r := netlink.NewRule()
	r.Family, r.Priority, r.Protocol = unix.AF_INET, answerPriority, routeOrigin
	r.Src, r.Table = ipNet(netip.PrefixFrom(a, a.BitLen())), table
	return r
}

func answerRoutes(link int, a netip.Prefix, gateway netip.Addr) []netlink.Route {
	own := netlink.Route{LinkIndex: link, Table: answerTable(link), Protocol: routeOrigin}
	subnet, all := own, own
	subnet.Dst, subnet.Scope, subnet.Src = ipNet(a.Masked()), unix.RT_SCOPE_LINK, a.Addr().AsSlice()
	all.Dst, all.Gw = ipNet(netip.PrefixFrom(netip.IPv4Unspecified(), 0)), gateway.AsSlice()
	return []netlink.Route{subnet, all}
}

// hasOthers reports whether another link than this one and loopback has an
// address.
func (in *inside) hasOthers(ctx context.Context, link netlink.Link) (bool, error) {
	addrs, err := Dump(ctx, func() ([]netlink.Addr, error) { return in.route.AddrList(nil, unix.AF_INET) })
	if err != nil {
		return false, fmt.Errorf("list addresses in %s: %w", in.label, err)
	}
	return slices.ContainsFunc(addrs, func(a netlink.Addr) bool {
		return a.LinkIndex != link.Attrs().Index && !a.IP.IsLoopback() && a.Scope != int(netlink.SCOPE_HOST)
	}), nil
}

// keepRules reports whether the rule is there, and deletes it if it is not wanted.
// It deletes others of the same link too, and those of links that are gone.
func (in *inside) keepRules(ctx context.Context, want *netlink.Rule, wanted bool) (found bool, err error) {
	links, err := Dump(ctx, in.route.LinkList)
	if err != nil {
		return false, fmt.Errorf("list links of %s: %w", in.label, err)
	}
	rules, err := in.answerRules(ctx)
	for _, r := range rules {
		ofAnother := r.Table != want.Table && slices.ContainsFunc(links, func(l netlink.Link) bool { return answerTable(l.Attrs().Index) == r.Table })
		if ofAnother {
			continue
		}
		same := r.Table == want.Table && destinationOf(r.Src) == destinationOf(want.Src)
		found = found || same
		if !same || !wanted {
			err = errors.Join(err, in.deleteRule(r))
		}
	}
	return found, err
}

// answerRules are the rules of hostnat's in the namespace.
func (in *inside) answerRules(ctx context.Context) ([]netlink.Rule, error) {
	rules, err := Dump(ctx, func() ([]netlink.Rule, error) { return in.route.RuleList(unix.AF_INET) })
	if err != nil {
		return nil, fmt.Errorf("list routing rules of %s: %w", in.label, err)
	}
	return slices.DeleteFunc(rules, func(r netlink.Rule) bool {
		return r.Protocol != routeOrigin || r.Priority != answerPriority || r.Table != answerTable(r.Table)
	}), nil
}

func (in *inside) deleteRule(r netlink.Rule) error {
	if err := in.route.RuleDel(&r); err != nil && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("delete a routing rule of %s: %w", in.label, err)
	}
	return nil
}

// LeaveNamespace takes away what an endpoint with that address has in its
// namespace beside its link: call it when that is gone.
func LeaveNamespace(ctx context.Context, ns *Namespace, a netip.Addr) error {
	in, err := ns.open()
	if err != nil {
		return err
	}
	defer in.close()
	rules, err := in.answerRules(ctx)
	for _, r := range rules {
		if destinationOf(r.Src).Addr() == a {
			err = errors.Join(err, in.deleteRule(r))
		}
	}
	return err
}
