package lab

import (
	"fmt"
	"net"
	"os"
	"path/filepath"

	"github.com/vishvananda/netlink"
)

// Veth connects a and b (which may be the same namespace) by a veth pair and
// brings both ends up.
func Veth(a *Namespace, aName string, b *Namespace, bName string) error {
	if err := addVeth(a, aName, b, bName); err != nil {
		return err
	}
	if err := a.SetUp(aName); err != nil {
		return err
	}
	return b.SetUp(bName)
}

func addVeth(a *Namespace, aName string, b *Namespace, bName string) error {
	attrs := netlink.NewLinkAttrs()
	attrs.Name = aName
	veth := &netlink.Veth{LinkAttrs: attrs, PeerName: bName, PeerNamespace: netlink.NsFd(b.file.Fd())}
	if err := a.route.LinkAdd(veth); err != nil {
		return fmt.Errorf("add veth %s in %s and %s in %s: %w", aName, a.Name, bName, b.Name, err)
	}
	return nil
}

// AddWaiting makes both ends of a link, as container engines do before they take one away.
func (n *Namespace) AddWaiting(name, peer string) error { return addVeth(n, name, n, peer) }

// MoveTo moves a link into another namespace.
func (n *Namespace) MoveTo(link string, to *Namespace) error {
	return n.withLink("move", link, func(l netlink.Link) error { return n.route.LinkSetNsFd(l, int(to.file.Fd())) })
}

// AddBridge makes a bridge and brings it and its ports up.
func (n *Namespace) AddBridge(name string, ports ...string) error {
	attrs := netlink.NewLinkAttrs()
	attrs.Name = name
	bridge := &netlink.Bridge{LinkAttrs: attrs}
	if err := n.route.LinkAdd(bridge); err != nil {
		return fmt.Errorf("add bridge %s in %s: %w", name, n.Name, err)
	}
	for _, port := range ports {
		err := n.withLink("enslave", port, func(l netlink.Link) error { return n.route.LinkSetMaster(l, bridge) })
		if err != nil {
			return err
		}
	}
	return n.SetUp(name)
}

// AddMacvlan makes a link with a MAC of its own on another link, and brings it up.
func (n *Namespace) AddMacvlan(name, parent string) error {
	err := n.withLink("add a macvlan to", parent, func(l netlink.Link) error {
		attrs := netlink.NewLinkAttrs()
		attrs.Name, attrs.ParentIndex = name, l.Attrs().Index
		return n.route.LinkAdd(&netlink.Macvlan{LinkAttrs: attrs, Mode: netlink.MACVLAN_MODE_BRIDGE})
	})
	if err != nil {
		return err
	}
	return n.SetUp(name)
}

// AddTAP makes a persistent TAP link, as `ip tuntap add` does, and brings it up.
func (n *Namespace) AddTAP(name string) error {
	err := n.Do(func() error {
		attrs := netlink.NewLinkAttrs()
		attrs.Name = name
		return netlink.LinkAdd(&netlink.Tuntap{LinkAttrs: attrs, Mode: netlink.TUNTAP_MODE_TAP})
	})
	if err != nil {
		return fmt.Errorf("add TAP %s in %s: %w", name, n.Name, err)
	}
	return n.SetUp(name)
}

// DeleteLink removes a link.
func (n *Namespace) DeleteLink(name string) error {
	return n.withLink("delete", name, n.route.LinkDel)
}

// Rename gives a link another name.
func (n *Namespace) Rename(link, name string) error {
	return n.withLink("rename", link, func(l netlink.Link) error { return n.route.LinkSetName(l, name) })
}

// SetUp brings a link up.
func (n *Namespace) SetUp(link string) error { return n.withLink("set up", link, n.route.LinkSetUp) }

// SetDown takes a link down.
func (n *Namespace) SetDown(link string) error {
	return n.withLink("set down", link, n.route.LinkSetDown)
}

// SetMTU sets a link's MTU in bytes.
func (n *Namespace) SetMTU(link string, mtu int) error {
	return n.withLink("set MTU of", link, func(l netlink.Link) error { return n.route.LinkSetMTU(l, mtu) })
}

// SetMAC sets a link's Ethernet address.
func (n *Namespace) SetMAC(link string, mac net.HardwareAddr) error {
	return n.withLink("set MAC of", link, func(l netlink.Link) error { return n.route.LinkSetHardwareAddr(l, mac) })
}

// SetAlias gives a link the alias that `ip link` shows.
func (n *Namespace) SetAlias(link, alias string) error {
	return n.withLink("set alias of", link, func(l netlink.Link) error { return n.route.LinkSetAlias(l, alias) })
}

// Link returns a link's attributes now.
func (n *Namespace) Link(name string) (*netlink.LinkAttrs, error) {
	var attrs *netlink.LinkAttrs
	err := n.withLink("look at", name, func(l netlink.Link) error {
		attrs = l.Attrs()
		return nil
	})
	return attrs, err
}

// Links returns the names of all links, loopback too.
func (n *Namespace) Links() ([]string, error) {
	links, err := n.route.LinkList()
	if err != nil {
		return nil, fmt.Errorf("list links of %s: %w", n.Name, err)
	}
	names := make([]string, 0, len(links))
	for _, l := range links {
		names = append(names, l.Attrs().Name)
	}
	return names, nil
}

// AddAddress gives a link an address with its on-link prefix, "10.0.0.1/24".
func (n *Namespace) AddAddress(link, prefix string) error {
	addr, err := netlink.ParseAddr(prefix)
	if err != nil {
		return fmt.Errorf("address %q: %w", prefix, err)
	}
	return n.withLink("add "+prefix+" to", link, func(l netlink.Link) error { return n.route.AddrAdd(l, addr) })
}

// DeleteAddress takes an address from a link.
func (n *Namespace) DeleteAddress(link, prefix string) error {
	addr, err := netlink.ParseAddr(prefix)
	if err != nil {
		return fmt.Errorf("address %q: %w", prefix, err)
	}
	return n.withLink("delete "+prefix+" from", link, func(l netlink.Link) error { return n.route.AddrDel(l, addr) })
}

// Sysctl writes a value to a path under /proc/sys, "net/ipv4/ip_forward".
func (n *Namespace) Sysctl(path, value string) error {
	return n.Do(func() error {
		return os.WriteFile(filepath.Join("/proc/sys", path), []byte(value), 0)
	})
}

func (n *Namespace) withLink(action, name string, fn func(netlink.Link) error) error {
	link, err := n.route.LinkByName(name)
	if err == nil {
		err = fn(link)
	}
	if err != nil {
		return fmt.Errorf("%s link %s in %s: %w", action, name, n.Name, err)
	}
	return nil
}

// Enslave makes link a port of bridge.
func (n *Namespace) Enslave(link, bridge string) error {
	master, err := n.route.LinkByName(bridge)
	if err != nil {
		return fmt.Errorf("find bridge %s in %s: %w", bridge, n.Name, err)
	}
	return n.withLink("enslave", link, func(l netlink.Link) error { return n.route.LinkSetMaster(l, master) })
}
