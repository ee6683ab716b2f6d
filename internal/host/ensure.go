package host

import (
	"bytes"
	"errors"
	"fmt"
	"net"

	"github.com/hostnat/hostnat/internal/model"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// ownLink finds a link of ours or adds one; want builds it from attributes with
// the name set.
func ownLink(name string, want func(netlink.LinkAttrs) netlink.Link) (netlink.Link, error) {
	link, err := findLink(name)
	if err != nil {
		return nil, err
	}
	attrs := netlink.NewLinkAttrs()
	attrs.Name = name
	wanted := want(attrs)
	if link == nil {
		return addLink(wanted)
	}
	return claim(link, wanted)
}

func addLink(wanted netlink.Link) (netlink.Link, error) {
	name := wanted.Attrs().Name
	if err := netlink.LinkAdd(wanted); err != nil {
		return nil, fmt.Errorf("add %s %s: %w", wanted.Type(), name, err)
	}
	link, err := findLink(name)
	if err != nil {
		return nil, err
	}
	if link == nil {
		return nil, fmt.Errorf("add %s %s: it was deleted at once", wanted.Type(), name)
	}
	return link, setOwner(link)
}

// claim refuses a link that is not ours. The kernel takes no alias at creation,
// so a link may be left without one by a kill in between: such a one is still
// down and has the very MAC that was asked for.
func claim(link, wanted netlink.Link) (netlink.Link, error) {
	a := link.Attrs()
	ours := a.Alias == Owner
	unfinished := a.Alias == "" && a.RawFlags&unix.IFF_UP == 0 && len(a.HardwareAddr) > 0 &&
		bytes.Equal(a.HardwareAddr, wanted.Attrs().HardwareAddr)
	if link.Type() != wanted.Type() || !ours && !unfinished {
		return nil, model.Errorf(model.Conflict, "link %s exists and was not made by hostnat", a.Name).WithHint("delete it or choose another name")
	}
	if ours {
		return link, nil
	}
	return link, setOwner(link)
}

func setOwner(link netlink.Link) error {
	if err := netlink.LinkSetAlias(link, Owner); err != nil {
		return fmt.Errorf("mark link %s as hostnat's: %w", link.Attrs().Name, err)
	}
	return nil
}

// The set functions change what differs only: the kernel announces even changes
// that are none. The setter decides in which namespace.

func setMAC(set func(netlink.Link, net.HardwareAddr) error, link netlink.Link, mac net.HardwareAddr) error {
	if bytes.Equal(link.Attrs().HardwareAddr, mac) {
		return nil
	}
	return onLink("set MAC of", link, set(link, mac))
}

func setMTU(set func(netlink.Link, int) error, link netlink.Link, mtu int) error {
	if link.Attrs().MTU == mtu {
		return nil
	}
	return onLink("set MTU of", link, set(link, mtu))
}

func setUp(set func(netlink.Link) error, link netlink.Link) error {
	if link.Attrs().RawFlags&unix.IFF_UP != 0 {
		return nil
	}
	return onLink("set up", link, set(link))
}

func setMaster(link netlink.Link, bridge int) error {
	if link.Attrs().MasterIndex == bridge {
		return nil
	}
	err := netlink.LinkSetMasterByIndex(link, bridge)
	if errors.Is(err, unix.EXFULL) {
		return model.Errorf(model.Exhausted, "link %s finds no place: its bridge has %d ports, as many as one can have", link.Attrs().Name, maxPorts).
			WithHint("detach an endpoint, or use another network; 'isolation=off' opens the two to each other")
	}
	return onLink("enslave", link, err)
}

// maxPorts is the kernel's BR_MAX_PORTS, less one.
const maxPorts = 1023

func onLink(action string, link netlink.Link, err error) error {
	if err == nil {
		return nil
	}
	if errors.Is(err, unix.ENODEV) {
		return model.Errorf(model.NotFound, "link %s was deleted meanwhile", link.Attrs().Name)
	}
	return fmt.Errorf("%s link %s: %w", action, link.Attrs().Name, err)
}
