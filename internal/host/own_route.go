package host

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// routeOrigin marks routes and rules that hostnat adds (`ip rule` and `ip route`
// show "proto 104"), as addressMark does addresses.
const routeOrigin = 0x68

// InsideTable is the routing table with the host's ways to networks. Bytes
// "hnIN": tables have 32 bits, others' have small numbers.
const InsideTable = 0x686e494e

// OwnRoute is an IPv4 route that hostnat keeps in the host's tables.
type OwnRoute struct {
	Table  int
	Type   int          // unix.RTN_UNICAST, RTN_LOCAL, RTN_BROADCAST; RTN_THROW: on with the next rule
	Prefix netip.Prefix // without host bits
	Link   int          // index; 0: none, of a throw
	Via    netip.Addr   // the next hop; the zero value: the link itself
	Source netip.Addr   // the host's address for what it sends that way; the zero value: none
}

// RouteKey is what a route is found by. Its other values may change.
type RouteKey struct {
	Table  int
	Prefix netip.Prefix
	Link   int
}

// Key returns what the route is found by.
func (r OwnRoute) Key() RouteKey { return RouteKey{r.Table, r.Prefix, r.Link} }

// String is what a message calls the route.
func (r OwnRoute) String() string { return fmt.Sprintf("route to %s (table %d)", r.Prefix, r.Table) }

// GatewayRoutes are the routes that the kernel adds with a gateway's address.
// They may be lost while the address stays: whoever flushes a link's routes
// takes them.
func GatewayRoutes(link int, gateway netip.Prefix, routed bool) []OwnRoute {
	a := gateway.Addr()
	routes := []OwnRoute{{Table: unix.RT_TABLE_LOCAL, Type: unix.RTN_LOCAL, Prefix: netip.PrefixFrom(a, a.BitLen()), Link: link, Source: a}}
	if gateway.Bits() < 31 {
		last, _ := netip.AddrFromSlice(broadcast(gateway))
		routes = append(routes, OwnRoute{Table: unix.RT_TABLE_LOCAL, Type: unix.RTN_BROADCAST, Prefix: netip.PrefixFrom(last, last.BitLen()), Link: link, Source: a})
	}
	if routed {
		routes = append(routes, OwnRoute{Table: unix.RT_TABLE_MAIN, Type: unix.RTN_UNICAST, Prefix: gateway.Masked(), Link: link, Source: a})
	}
	return routes
}

// message is the route as the kernel keeps it.
func (r OwnRoute) message() netlink.Route {
	m := netlink.Route{Family: unix.AF_INET, Table: r.Table, Type: r.Type, Dst: ipNet(r.Prefix), LinkIndex: r.Link, Protocol: routeOrigin}
	if r.Source.IsValid() {
		m.Src = r.Source.AsSlice()
	}
	switch {
	case r.Type == unix.RTN_LOCAL:
		m.Scope = unix.RT_SCOPE_HOST
	case r.Via.IsValid():
		m.Gw, m.Flags = r.Via.AsSlice(), int(netlink.FLAG_ONLINK) // it is, whatever the host's other routes say
	case r.Link != 0:
		m.Scope = unix.RT_SCOPE_LINK
	}
	if r.Table == unix.RT_TABLE_MAIN || r.Table == unix.RT_TABLE_LOCAL {
		m.Protocol = unix.RTPROT_KERNEL // it is the address's, and goes with it
	}
	if r.Table == unix.RT_TABLE_MAIN {
		m.Priority = gatewayMetric
	}
	return m
}

// AddRoute adds a route. One that is there is fine; in a table of hostnat's it
// takes the place of another one to the same prefix.
func AddRoute(r OwnRoute) error {
	m := r.message()
	add := netlink.RouteAdd
	switch {
	case IsOwnTable(r.Table):
		add = netlink.RouteReplace
	case r.Table == unix.RT_TABLE_LOCAL: // several links may have one gateway's address, each with its route
		add = netlink.RouteAppend
	}
	if err := add(&m); err != nil && !errors.Is(err, unix.EEXIST) {
		return fmt.Errorf("add %s: %w", r, err)
	}
	return nil
}

// DeleteRoute deletes a route. One that is gone is fine.
func DeleteRoute(r OwnRoute) error {
	m := r.message()
	if err := netlink.RouteDel(&m); err != nil && !errors.Is(err, unix.ESRCH) && !errors.Is(err, unix.ENODEV) {
		return fmt.Errorf("delete %s: %w", r, err)
	}
	return nil
}

// OwnRoutes returns the routes of hostnat's own tables, and those of the
// kernel's that addresses on links bring with them.
func OwnRoutes(ctx context.Context) ([]OwnRoute, error) {
	var routes []OwnRoute
	for _, q := range []routeQuery{
		{InsideTable, routeOrigin}, {transparentTable, routeOrigin},
		{unix.RT_TABLE_MAIN, unix.RTPROT_KERNEL}, {unix.RT_TABLE_LOCAL, unix.RTPROT_KERNEL},
	} {
		found, err := Dump(ctx, q.run)
		if err != nil {
			return nil, fmt.Errorf("list routes of table %d: %w", q.table, err)
		}
		routes = append(routes, found...)
	}
	return routes, nil
}

// routeQuery chooses routes by table and origin.
type routeQuery struct {
	table  int
	origin uint8
}

// run has the kernel choose: a router may have a million routes.
func (q routeQuery) run() ([]OwnRoute, error) {
	req := nl.NewNetlinkRequest(unix.RTM_GETROUTE, unix.NLM_F_DUMP)
	head := &nl.RtMsg{RtMsg: unix.RtMsg{Family: unix.AF_INET, Protocol: q.origin}}
	req.AddData(head)
	req.AddData(nl.NewRtAttr(unix.RTA_TABLE, nl.Uint32Attr(uint32(q.table))))
	messages, err := executeStrict(req, unix.RTM_NEWROUTE)
	if errors.Is(err, unix.ENOENT) { // no such table
		return nil, nil
	}
	var routes []OwnRoute
	for _, m := range messages {
		r, origin, ok := parseRoute(m)
		if ok && origin == q.origin && r.Table == q.table { // a kernel may not heed the filter
			routes = append(routes, r)
		}
	}
	return routes, err
}

// parseRoute reads an announcement's or a listing's route. False: it is none of
// IPv4, or not a whole message.
func parseRoute(message []byte) (r OwnRoute, origin uint8, ok bool) {
	if len(message) < unix.SizeofRtMsg {
		return OwnRoute{}, 0, false
	}
	head := nl.DeserializeRtMsg(message)
	attributes, err := nl.ParseRouteAttr(message[unix.SizeofRtMsg:])
	if err != nil || head.Family != unix.AF_INET || head.Dst_len > 32 {
		return OwnRoute{}, 0, false
	}
	r = OwnRoute{Table: int(head.Table), Type: int(head.Type)}
	destination := netip.IPv4Unspecified()
	for _, a := range attributes {
		if len(a.Value) != 4 {
			continue
		}
		switch a.Attr.Type {
		case unix.RTA_TABLE:
			r.Table = int(binary.NativeEndian.Uint32(a.Value))
		case unix.RTA_DST:
			destination = netip.AddrFrom4([4]byte(a.Value))
		case unix.RTA_OIF:
			r.Link = int(int32(binary.NativeEndian.Uint32(a.Value)))
		case unix.RTA_GATEWAY:
			r.Via = netip.AddrFrom4([4]byte(a.Value))
		case unix.RTA_PREFSRC:
			r.Source = netip.AddrFrom4([4]byte(a.Value))
		}
	}
	r.Prefix = netip.PrefixFrom(destination, int(head.Dst_len))
	return r, head.Protocol, true
}

// deleteRoutes empties hostnat's own tables.
func deleteRoutes(ctx context.Context) error {
	routes, err := OwnRoutes(ctx)
	routes = slices.DeleteFunc(routes, func(r OwnRoute) bool { return !IsOwnTable(r.Table) })
	for _, r := range routes {
		err = errors.Join(err, DeleteRoute(r))
	}
	return err
}

// IsOwnTable reports whether a routing table is hostnat's alone.
func IsOwnTable(table int) bool { return table == InsideTable || table == transparentTable }
