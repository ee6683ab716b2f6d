package host

import (
	"encoding/binary"
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
		return c.addRoute(data)
	case unix.RTM_NEWNETCONF, unix.RTM_DELNETCONF:
		return c.addSetting(data)
	}
	return false
}

// addRoute leaves out what listRoutes does.
func (c *Changes) addRoute(data []byte) bool {
	if len(data) < unix.SizeofRtMsg {
		return false
	}
	head := nl.DeserializeRtMsg(data)
	if head.Type != unix.RTN_UNICAST || head.Table == unix.RT_TABLE_LOCAL {
		return true
	}
	link, ok := linkAttribute(data[unix.SizeofRtMsg:], unix.RTA_OIF)
	mark(&c.Routes, link)
	return ok
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

func mark(set *map[int]bool, index int) {
	if *set == nil {
		*set = make(map[int]bool)
	}
	(*set)[index] = true
}
