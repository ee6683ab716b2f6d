package replica

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/hostnat/hostnat/internal/host/sockets"
	"github.com/hostnat/hostnat/internal/host/sysctl"
	"github.com/hostnat/hostnat/internal/recording"
)

// Read notes the namespace of the calling thread. It is IPv4's part.
func Read(ctx context.Context) (recording.Host, error) {
	var h recording.Host
	for _, read := range []func(*recording.Host) error{readLinks, readRoutes, readRules} {
		if err := again(func() error { return read(&h) }); err != nil {
			return h, err
		}
	}
	listeners, err := sockets.Listeners(ctx)
	if err != nil {
		return h, err
	}
	for _, l := range listeners {
		if l.Interface == "" {
			h.Listeners = append(h.Listeners, recording.Listener{Protocol: l.Protocol, Address: l.Address})
		}
	}
	return h, nil
}

// again reads once more what changed while it was read.
func again(read func() error) (err error) {
	for range 10 {
		if err = read(); !errors.Is(err, netlink.ErrDumpInterrupted) {
			return err
		}
	}
	return err
}

func readLinks(h *recording.Host) error {
	links, err := netlink.LinkList()
	if err != nil {
		return fmt.Errorf("listing links: %w", err)
	}
	addresses, err := netlink.AddrList(nil, netlink.FAMILY_V4)
	if err != nil {
		return fmt.Errorf("listing addresses: %w", err)
	}
	h.Links = make([]recording.Link, 0, len(links))
	for _, l := range links {
		a := l.Attrs()
		link := recording.Link{
			Index: a.Index, Name: a.Name, MTU: a.MTU, Up: a.RawFlags&unix.IFF_UP != 0,
			Forwards: sysctl.Has(sysctl.OfLink("ipv4", a.Name, "forwarding"), "1"),
		}
		if a.EncapType == "ether" || a.EncapType == "loopback" {
			link.MAC = a.HardwareAddr.String()
		}
		for _, of := range addresses {
			if of.LinkIndex == a.Index {
				if p, ok := prefixOf(of.IPNet); ok {
					link.Addresses = append(link.Addresses, p)
				}
			}
		}
		h.Links = append(h.Links, link)
	}
	return nil
}

func readRoutes(h *recording.Host) error {
	all, err := netlink.RouteListFiltered(netlink.FAMILY_V4, &netlink.Route{Table: unix.RT_TABLE_UNSPEC}, netlink.RT_FILTER_TABLE)
	if err != nil {
		return fmt.Errorf("listing routes: %w", err)
	}
	h.Routes = make([]recording.Route, 0, len(all))
	for _, r := range all {
		if r.Protocol == unix.RTPROT_KERNEL { // the addresses bring these along
			continue
		}
		h.Routes = append(h.Routes, routeOf(r))
	}
	return nil
}

func routeOf(r netlink.Route) recording.Route {
	to := netip.PrefixFrom(netip.IPv4Unspecified(), 0)
	if p, ok := prefixOf(r.Dst); ok {
		to = p
	}
	out := recording.Route{
		Table: r.Table, To: to, Type: r.Type, Scope: int(r.Scope), Protocol: int(r.Protocol), Priority: r.Priority, TOS: r.Tos, MTU: r.MTU, Source: addressOf(r.Src),
	}
	if r.LinkIndex != 0 || r.Gw != nil || r.Via != nil {
		out.Hops = append(out.Hops, hopOf(r.LinkIndex, r.Gw, r.Via, r.Flags, 0))
	}
	for _, n := range r.MultiPath {
		out.Hops = append(out.Hops, hopOf(n.LinkIndex, n.Gw, n.Via, n.Flags, n.Hops))
	}
	return out
}

func hopOf(link int, gateway net.IP, via netlink.Destination, flags, weight int) recording.Hop {
	h := recording.Hop{Link: link, Via: addressOf(gateway), OnLink: flags&unix.RTNH_F_ONLINK != 0, Weight: weight}
	if v, is := via.(*netlink.Via); is && !h.Via.IsValid() {
		h.Via = addressOf(v.Addr)
	}
	return h
}

func readRules(h *recording.Host) error {
	rules, err := netlink.RuleList(netlink.FAMILY_V4)
	if err != nil {
		return fmt.Errorf("listing routing rules: %w", err)
	}
	h.Rules = make([]recording.Rule, 0, len(rules))
	for _, r := range rules {
		out := recording.Rule{Priority: r.Priority, Table: r.Table, In: r.IifName, Out: r.OifName, Mark: r.Mark, TOS: r.Tos, Invert: r.Invert}
		out.From, _ = prefixOf(r.Src)
		out.To, _ = prefixOf(r.Dst)
		if r.Mask != nil {
			out.Mask = *r.Mask
		}
		h.Rules = append(h.Rules, out)
	}
	return nil
}

func addressOf(ip net.IP) netip.Addr {
	a, _ := netip.AddrFromSlice(ip)
	return a.Unmap()
}

func prefixOf(n *net.IPNet) (netip.Prefix, bool) {
	if n == nil {
		return netip.Prefix{}, false
	}
	bits, _ := n.Mask.Size()
	a := addressOf(n.IP)
	return netip.PrefixFrom(a, bits), a.Is4()
}
