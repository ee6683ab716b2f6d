package host

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"syscall"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/hostnat/hostnat/internal/model"
)

// skipStatistics is RTEXT_FILTER_SKIP_STATS of linux/rtnetlink.h: counters are
// the larger part of a link's message.
const skipStatistics = 1 << 3

// Attributes of linux/if_link.h inside IFLA_LINKINFO.
const (
	infoKind      = 1
	infoData      = 2
	infoSlaveKind = 4
	infoSlaveData = 5
)

// readLinks reads the link with an index without its addresses, all links if it
// is 0. They are parsed here since package netlink leaves out whether a port is
// isolated, and takes several times as long.
func readLinks(ctx context.Context, index int) ([]Link, error) {
	messages, err := Dump(ctx, func() ([][]byte, error) {
		flags := 0
		if index == 0 {
			flags = unix.NLM_F_DUMP
		}
		req := nl.NewNetlinkRequest(unix.RTM_GETLINK, flags)
		head := nl.NewIfInfomsg(unix.AF_UNSPEC)
		head.Index = int32(index)
		req.AddData(head)
		req.AddData(nl.NewRtAttr(unix.IFLA_EXT_MASK, nl.Uint32Attr(skipStatistics)))
		return req.Execute(unix.NETLINK_ROUTE, unix.RTM_NEWLINK)
	})
	if errors.Is(err, unix.ENODEV) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	links := make([]Link, 0, len(messages))
	for _, m := range messages {
		l, err := parseLink(m)
		if err != nil {
			return nil, err
		}
		links = append(links, l)
	}
	return links, nil
}

func parseLink(message []byte) (Link, error) {
	if len(message) < unix.SizeofIfInfomsg {
		return Link{}, fmt.Errorf("parse link: %d bytes", len(message))
	}
	head := nl.DeserializeIfInfomsg(message)
	attributes, err := nl.ParseRouteAttr(message[unix.SizeofIfInfomsg:])
	if err != nil {
		return Link{}, fmt.Errorf("parse link %d: %w", head.Index, err)
	}
	l := Link{
		Index:       int(head.Index),
		Type:        "device",
		Up:          head.Flags&unix.IFF_UP != 0,
		Loopback:    head.Flags&unix.IFF_LOOPBACK != 0,
		HasEthernet: head.Type == unix.ARPHRD_ETHER,
		PeerNSID:    -1,
	}
	for _, a := range attributes {
		if err := l.setAttribute(a); err != nil {
			return Link{}, fmt.Errorf("parse link %d: %w", head.Index, err)
		}
	}
	return l, nil
}

func (l *Link) setAttribute(a syscall.NetlinkRouteAttr) error {
	switch a.Attr.Type &^ unix.NLA_F_NESTED {
	case unix.IFLA_IFNAME:
		l.Name = text(a.Value)
	case unix.IFLA_IFALIAS:
		l.Alias = text(a.Value)
	case unix.IFLA_ADDRESS:
		if len(bytes.Trim(a.Value, "\x00")) > 0 { // loopback has none
			l.MAC = model.MAC(net.HardwareAddr(a.Value).String())
		}
	case unix.IFLA_CARRIER:
		l.Carrier = len(a.Value) > 0 && a.Value[0] == 1
	case unix.IFLA_MTU:
		l.MTU = number(a.Value)
	case unix.IFLA_GSO_IPV4_MAX_SIZE:
		l.Segment = number(a.Value)
	case unix.IFLA_TSO_MAX_SIZE:
		l.SegmentMax = number(a.Value)
	case unix.IFLA_MASTER:
		l.MasterIndex = number(a.Value)
	case unix.IFLA_LINK:
		l.PeerIndex = number(a.Value)
	case unix.IFLA_LINK_NETNSID:
		l.PeerNSID = number(a.Value)
	case unix.IFLA_LINKINFO:
		return l.setInfo(a.Value)
	case unix.IFLA_PROP_LIST:
		return l.setProperties(a.Value)
	case unix.IFLA_AF_SPEC:
		return l.setFamilies(a.Value)
	}
	return nil
}

func (l *Link) setInfo(info []byte) error {
	attributes, err := nl.ParseRouteAttr(info)
	slave := ""
	for _, a := range attributes {
		switch a.Attr.Type &^ unix.NLA_F_NESTED {
		case infoKind:
			if l.Type = text(a.Value); l.Type == "tun" {
				l.Type = "tuntap"
			}
		case infoData:
			if l.Type == "tuntap" {
				err = errors.Join(err, l.setTAP(a.Value))
			}
		case infoSlaveKind:
			slave = text(a.Value)
		case infoSlaveData:
			if slave == "bridge" {
				l.Isolated, err = isIsolated(a.Value)
			}
		}
	}
	return err
}

// setTAP reads what only TUN and TAP links have.
func (l *Link) setTAP(data []byte) error {
	attributes, err := nl.ParseRouteAttr(data)
	for _, a := range attributes {
		if a.Attr.Type == nl.IFLA_TUN_VNET_HDR {
			l.VNetHdr = len(a.Value) > 0 && a.Value[0] == 1
		}
	}
	return err
}

func (l *Link) setProperties(list []byte) error {
	attributes, err := nl.ParseRouteAttr(list)
	var names []string
	for _, a := range attributes {
		if a.Attr.Type == unix.IFLA_ALT_IFNAME {
			names = append(names, text(a.Value))
		}
	}
	l.PointToPoint = wasOf(names) != ""
	return err
}

// setFamilies reads the IPv4 settings: a row of 32-bit numbers, of which forwarding
// (IPV4_DEVCONF_FORWARDING) is the first.
func (l *Link) setFamilies(families []byte) error {
	attributes, err := nl.ParseRouteAttr(families)
	for _, family := range attributes {
		if family.Attr.Type&^unix.NLA_F_NESTED != unix.AF_INET {
			continue
		}
		settings, err := nl.ParseRouteAttr(family.Value)
		if err != nil {
			return err
		}
		for _, s := range settings {
			if s.Attr.Type == unix.IFLA_INET_CONF {
				l.Forwards = number(s.Value) != 0
			}
		}
	}
	return err
}

// isIsolated reads a bridge port's own attributes.
func isIsolated(port []byte) (bool, error) {
	attributes, err := nl.ParseRouteAttr(port)
	for _, a := range attributes {
		if a.Attr.Type == nl.IFLA_BRPORT_ISOLATED && len(a.Value) > 0 {
			return a.Value[0] != 0, err
		}
	}
	return false, err
}

func text(value []byte) string { return unix.ByteSliceToString(value) }

func number(value []byte) int {
	if len(value) < 4 {
		return 0
	}
	return int(int32(binary.NativeEndian.Uint32(value)))
}
