package host

import (
	"encoding/binary"
	"slices"
	"syscall"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// Changes says where something was announced, not what: who wants to know looks
// there. So it does not matter in which order announcements come, nor that most
// are of states in between.
type Changes struct {
	All      bool         // too much was announced, or something that is no one link's
	Links    map[int]bool // that came or went, or that have other attributes or addresses
	Routes   map[int]bool // links that routes lead to, which came or went; 0: several, or none
	Settings map[int]bool // links with other settings (`ip netconf`)
	IPsec    bool         // policies came or went
	Rules    bool         // a rule went, or somebody else's came

	// Routes that were there when something was taken last, and are not now: those
	// that OwnRoutes would list.
	Lost map[RouteKey]bool
}

// add adds what messages from the kernel announce. What cannot be understood may
// be about anything.
func (c *Changes) add(b []byte) {
	messages, err := syscall.ParseNetlinkMessage(b)
	if err != nil {
		c.All = true
		return
	}
	for _, m := range messages {
		if !c.addMessage(m.Header.Type, m.Data) {
			c.All = true
		}
	}
}

// addMessage reports whether the message could be understood and is about links
// that are known by it.
func (c *Changes) addMessage(kind uint16, data []byte) bool {
	switch kind {
	case unix.RTM_NEWLINK, unix.RTM_DELLINK:
		if len(data) < unix.SizeofIfInfomsg {
			return false
		}
		mark(&c.Links, int(nl.DeserializeIfInfomsg(data).Index))
		return true
	case unix.RTM_NEWADDR, unix.RTM_DELADDR:
		if len(data) < unix.SizeofIfAddrmsg {
			return false
		}
		mark(&c.Links, int(nl.DeserializeIfAddrmsg(data).Index))
		return true
	case unix.RTM_NEWROUTE, unix.RTM_DELROUTE:
		return c.addRoute(kind == unix.RTM_NEWROUTE, data)
	case unix.RTM_NEWRULE, unix.RTM_DELRULE:
		c.Rules = c.Rules || kind == unix.RTM_DELRULE || !isOwnRule(data)
		return true
	case unix.RTM_NEWNETCONF, unix.RTM_DELNETCONF:
		return c.addSetting(data)
	}
	return false
}

// addRoute leaves out of Routes what listRoutes does.
func (c *Changes) addRoute(came bool, data []byte) bool {
	r, origin, ok := parseRoute(data)
	if !ok {
		return false
	}
	own := IsOwnTable(r.Table)
	switch {
	case own && origin == routeOrigin, origin == unix.RTPROT_KERNEL && (r.Table == unix.RT_TABLE_MAIN || r.Table == unix.RT_TABLE_LOCAL):
		if came {
			delete(c.Lost, r.Key())
		} else {
			mark(&c.Lost, r.Key())
		}
	}
	if r.Type == unix.RTN_UNICAST && r.Table != unix.RT_TABLE_LOCAL && !own {
		mark(&c.Routes, r.Link)
	}
	return true
}

// isOwnRule reports whether an announced rule has hostnat's origin.
func isOwnRule(data []byte) bool {
	if len(data) < unix.SizeofRtMsg {
		return false
	}
	attributes, err := nl.ParseRouteAttr(data[unix.SizeofRtMsg:])
	return err == nil && slices.ContainsFunc(attributes, func(a syscall.NetlinkRouteAttr) bool {
		return a.Attr.Type == nl.FRA_PROTOCOL && len(a.Value) == 1 && a.Value[0] == routeOrigin
	})
}

// sizeofNetconf is struct netconfmsg's, with what it is padded by.
const sizeofNetconf = 4

// netconfLink is NETCONFA_IFINDEX of linux/netconf.h.
const netconfLink = 1

func (c *Changes) addSetting(data []byte) bool {
	if len(data) < sizeofNetconf {
		return false
	}
	link, ok := linkAttribute(data[sizeofNetconf:], netconfLink)
	mark(&c.Settings, link)
	return ok && link > 0 // below: of all links, or of those to come
}

// linkAttribute returns the attribute of that type; 0: there is none.
func linkAttribute(attributes []byte, kind uint16) (index int, ok bool) {
	list, err := nl.ParseRouteAttr(attributes)
	if err != nil {
		return 0, false
	}
	for _, a := range list {
		if a.Attr.Type == kind && len(a.Value) >= 4 {
			return int(int32(binary.NativeEndian.Uint32(a.Value))), true
		}
	}
	return 0, true
}

func mark[K comparable](set *map[K]bool, key K) {
	if *set == nil {
		*set = make(map[K]bool)
	}
	(*set)[key] = true
}
