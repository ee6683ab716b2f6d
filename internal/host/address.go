package host

import (
	"context"
	"encoding/binary"
	"fmt"
	"net/netip"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// addressMark is the origin (IFA_PROTO, `ip address` shows "proto 0x68") of
// addresses that hostnat adds to links of others, so that it takes away its own
// only, even after it was killed. The kernel itself uses 1 to 3.
const addressMark = 0x68

// externalMark is the origin of external addresses that hostnat adds for its
// NATs ("proto 0x69"). The mark is in the kernel, beside what it marks: no record
// on disk could be out of step with it after a kill, a reboot, or somebody's
// taking the address away and adding it himself.
const externalMark = 0x69

// Attributes of linux/if_addr.h.
const (
	ifaPriority = 9  // IFA_RT_PRIORITY, Linux 4.18
	ifaProto    = 11 // IFA_PROTO, Linux 5.18
)

// gatewayMetric is the metric of the route that comes with a gateway's address.
// Should the host meet a LAN with the same prefix, the LAN's route goes before:
// kernel and DHCP clients give theirs 0 to some thousands.
const gatewayMetric = 32767

// address is an IPv4 address of a link.
type address struct {
	link     int
	prefix   netip.Prefix // host bits kept
	marked   bool         // hostnat added it to an adopted bridge
	external bool         // hostnat added it for a NAT
	routed   bool         // the host's main table has its prefix,
	metric   uint32       // with this metric

	scope      uint8 // RT_SCOPE_UNIVERSE, or how far from the link it is known
	deprecated bool  // its preferred lifetime is over: for what is new there should be a better one
}

// addressesOf returns the IPv4 addresses of one link.
func addressesOf(ctx context.Context, link netlink.Link) ([]address, error) {
	own, err := addressesAt(ctx, link.Attrs().Index)
	if err != nil {
		return nil, fmt.Errorf("list addresses of %s: %w", link.Attrs().Name, err)
	}
	return own, nil
}

// takeAddress deletes the address of a link that is the one, if there are both.
func takeAddress(ctx context.Context, name string, isTheOne func(address) bool) error {
	link, err := findLink(name)
	if err != nil || link == nil {
		return err
	}
	addrs, err := addressesOf(ctx, link)
	if err != nil {
		return err
	}
	for _, a := range addrs {
		if isTheOne(a) {
			return deleteAddress(link, a.prefix)
		}
	}
	return nil
}

// dumpAddresses reads those of a link, of all links if its index is 0. It does so
// by hand because package netlink drops IFA_PROTO.
func dumpAddresses(link int) ([]address, error) {
	req := nl.NewNetlinkRequest(unix.RTM_GETADDR, unix.NLM_F_DUMP)
	head := nl.NewIfAddrmsg(unix.AF_INET)
	head.Index = uint32(link)
	req.AddData(head)
	messages, err := executeStrict(req, unix.RTM_NEWADDR)
	if err != nil {
		return nil, err
	}
	var all []address
	for _, m := range messages {
		a, ok, err := parseAddress(m)
		if err != nil {
			return nil, err
		}
		if ok {
			all = append(all, a)
		}
	}
	return all, nil
}

func parseAddress(message []byte) (address, bool, error) {
	if len(message) < unix.SizeofIfAddrmsg || message[0] != unix.AF_INET {
		return address{}, false, nil
	}
	head := nl.DeserializeIfAddrmsg(message)
	attrs, err := nl.ParseRouteAttr(message[unix.SizeofIfAddrmsg:])
	if err != nil {
		return address{}, false, fmt.Errorf("parse address: %w", err)
	}
	a := address{link: int(head.Index), routed: true, scope: head.Scope}
	for _, attr := range attrs {
		switch attr.Attr.Type {
		case unix.IFA_LOCAL:
			if ip, ok := netip.AddrFromSlice(attr.Value); ok {
				a.prefix = netip.PrefixFrom(ip, int(head.Prefixlen))
			}
		case unix.IFA_FLAGS:
			if len(attr.Value) >= 4 {
				flags := binary.NativeEndian.Uint32(attr.Value)
				a.routed = flags&unix.IFA_F_NOPREFIXROUTE == 0
				a.deprecated = flags&unix.IFA_F_DEPRECATED != 0
			}
		case ifaPriority:
			if len(attr.Value) >= 4 {
				a.metric = binary.NativeEndian.Uint32(attr.Value)
			}
		case ifaProto:
			a.marked = len(attr.Value) > 0 && attr.Value[0] == addressMark
			a.external = len(attr.Value) > 0 && attr.Value[0] == externalMark
		}
	}
	return a, a.prefix.IsValid(), nil
}

// addAddress gives a link a marked address, and the host the route to its prefix
// if it is routed.
func addAddress(link netlink.Link, prefix netip.Prefix, routed bool) error {
	return addAddressWith(link, address{prefix: prefix, routed: routed, metric: gatewayMetric}, addressMark, unix.NLM_F_EXCL)
}

// setMetric changes the metric of an address's route; there is no moment without one.
func setMetric(link netlink.Link, prefix netip.Prefix) error {
	return addAddressWith(link, address{prefix: prefix, routed: true, metric: gatewayMetric}, addressMark, unix.NLM_F_REPLACE)
}

func addMarkedAddress(link netlink.Link, prefix netip.Prefix, mark byte) error {
	return addAddressWith(link, address{prefix: prefix, routed: true}, mark, unix.NLM_F_EXCL)
}

func addAddressWith(link netlink.Link, a address, mark byte, flag int) error {
	err := sendAddress(unix.RTM_NEWADDR, unix.NLM_F_CREATE|flag, link, a, mark)
	if err != nil {
		return fmt.Errorf("add address %s to %s: %w", a.prefix, link.Attrs().Name, err)
	}
	return nil
}

func deleteAddress(link netlink.Link, prefix netip.Prefix) error {
	if err := sendAddress(unix.RTM_DELADDR, 0, link, address{prefix: prefix}, 0); err != nil {
		return fmt.Errorf("delete address %s from %s: %w", prefix, link.Attrs().Name, err)
	}
	return nil
}

func sendAddress(command, flags int, link netlink.Link, a address, mark byte) error {
	prefix := a.prefix
	req := nl.NewNetlinkRequest(command, flags|unix.NLM_F_ACK)
	head := nl.NewIfAddrmsg(unix.AF_INET)
	head.Prefixlen = uint8(prefix.Bits())
	head.Index = uint32(link.Attrs().Index)
	req.AddData(head)
	ip := prefix.Addr().AsSlice()
	req.AddData(nl.NewRtAttr(unix.IFA_LOCAL, ip))
	req.AddData(nl.NewRtAttr(unix.IFA_ADDRESS, ip))
	if command == unix.RTM_NEWADDR {
		if prefix.Bits() < 31 { // a single address is no broadcast address
			req.AddData(nl.NewRtAttr(unix.IFA_BROADCAST, broadcast(prefix)))
		}
		req.AddData(nl.NewRtAttr(ifaProto, []byte{mark}))
		if !a.routed {
			req.AddData(nl.NewRtAttr(unix.IFA_FLAGS, nl.Uint32Attr(unix.IFA_F_NOPREFIXROUTE)))
		} else if a.metric != 0 {
			req.AddData(nl.NewRtAttr(ifaPriority, nl.Uint32Attr(a.metric)))
		}
	}
	_, err := req.Execute(unix.NETLINK_ROUTE, 0)
	return err
}

// broadcast is the prefix's last address.
func broadcast(prefix netip.Prefix) []byte {
	b := prefix.Addr().As4()
	last := binary.BigEndian.Uint32(b[:]) | ^uint32(0)>>prefix.Bits()
	return binary.BigEndian.AppendUint32(nil, last)
}
