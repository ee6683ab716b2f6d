package host

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/hostnat/hostnat/internal/host/sysctl"
	"github.com/hostnat/hostnat/internal/model"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// Veth is the attachment of a namespace to a bridge as it should be.
type Veth struct {
	Name         string // on the host's side
	Bridge       int    // index of the bridge; 0: PointToPoint has what the host has there
	PointToPoint PointToPoint
	Namespace    *Namespace
	IfName       string // inside
	MAC          model.MAC
	Address      netip.Prefix   // inside: the endpoint's address, the network's length
	Allow        []netip.Prefix // what else it may have there, set by itself
	Gateway      netip.Addr
	MTU          int // bytes
	Segment      int // bytes that TCP may hand to either end in one piece; 0: left alone

	GatewayMAC model.MAC // known inside for good; empty: left to ARP

	tap *tapInside // see Inside; nil: the inner end is the endpoint's link

	// Guard, if set, is called with the host side's index when that is in
	// place and before the end inside is brought up: the place to attach the
	// data path, so that nothing is sent past it.
	Guard func(index int) error
}

// EnsureVeth makes the pair, both ends up and usable, the address and default
// route set inside, and returns the host side's index. A pair that leads elsewhere is
// made anew; a link inside that has the name and is not this pair's is a
// conflict. A default route through another link inside is left alone.
func EnsureVeth(ctx context.Context, v Veth) (int, error) {
	inside, err := v.open()
	if err != nil {
		return 0, err
	}
	defer inside.close()
	link, peer, created, err := v.pair(inside)
	if err != nil {
		return 0, err
	}
	if err := v.configure(ctx, link, inside, peer); err != nil {
		if created {
			err = errors.Join(err, DeleteLink(v.Name))
		}
		return 0, err
	}
	if created {
		v.waitUsable(ctx, inside)
	}
	return link.Attrs().Index, nil
}

func (v Veth) configure(ctx context.Context, link netlink.Link, inside *inside, peer netlink.Link) error {
	if err := v.configureOuter(ctx, link); err != nil {
		return err
	}
	return inside.configure(ctx, v, peer)
}

// configureOuter makes the host's end usable.
func (v Veth) configureOuter(ctx context.Context, link netlink.Link) error {
	err := cmp.Or(
		sysctl.DisableIPv6(v.Name),
		setMTU(netlink.LinkSetMTU, link, v.MTU),
		setSegment(netlink.LinkSetGSOIPv4MaxSize, link, v.Segment),
		setMaster(link, v.Bridge),
		setUp(netlink.LinkSetUp, link),
	)
	if err != nil {
		return err
	}
	if v.Guard != nil {
		if err := v.Guard(link.Attrs().Index); err != nil {
			return err
		}
	}
	if v.Bridge == 0 {
		if err := cmp.Or(v.PointToPoint.settle(link), setForwarding(v.Name), onlyAddress(ctx, link, v.PointToPoint.Gateway, false)); err != nil {
			return err
		}
		return onlyNeighbour(ctx, link, v.PointToPoint.Endpoint, v.PointToPoint.EndpointMAC)
	}
	return nil
}

// pair finds the two ends or makes them.
func (v Veth) pair(in *inside) (link, peer netlink.Link, created bool, err error) {
	link, err = findLink(v.Name)
	if err != nil {
		return nil, nil, false, err
	}
	if link != nil {
		if link, err = v.claim(in, link); err != nil {
			return nil, nil, false, err
		}
		if peer, err = in.peerOf(link, v.IfName); peer != nil || err != nil {
			return link, peer, false, err
		}
		if err := netlink.LinkDel(link); err != nil {
			return nil, nil, false, fmt.Errorf("delete veth %s that leads elsewhere: %w", v.Name, err)
		}
	}
	link, peer, err = v.create(in)
	return link, peer, true, err
}

// claim takes a pair that is ours, or that was left without its mark by a kill:
// then the MAC inside tells.
func (v Veth) claim(in *inside, link netlink.Link) (netlink.Link, error) {
	wanted := &netlink.Veth{LinkAttrs: netlink.NewLinkAttrs()}
	peer, err := in.peerOf(link, v.IfName)
	if err != nil {
		return nil, err
	}
	if peer != nil && peer.Attrs().HardwareAddr.String() == string(v.MAC) {
		wanted.HardwareAddr = link.Attrs().HardwareAddr
	}
	return claim(link, wanted)
}

func (v Veth) create(in *inside) (link, peer netlink.Link, err error) {
	if existing, err := in.find(v.IfName); err != nil {
		return nil, nil, err
	} else if existing != nil {
		return nil, nil, v.taken()
	}
	mac, err := net.ParseMAC(string(v.MAC))
	if err != nil {
		return nil, nil, fmt.Errorf("veth %s: %w", v.Name, err)
	}
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.MTU = v.Name, v.MTU
	// The peer is born inside, with its name and MAC: there is no moment in
	// which a half-made one could be seen on the host.
	link, err = addLink(&netlink.Veth{
		LinkAttrs:        attrs,
		PeerName:         v.IfName,
		PeerNamespace:    netlink.NsFd(v.Namespace.file.Fd()),
		PeerHardwareAddr: mac,
	})
	if errors.Is(err, unix.EEXIST) {
		return nil, nil, v.taken()
	}
	if err != nil {
		return nil, nil, err
	}
	peer, err = in.peerOf(link, v.IfName)
	if err == nil && peer == nil {
		err = fmt.Errorf("veth %s: its other end %s left %s at once", v.Name, v.IfName, v.Namespace.label)
	}
	if err != nil {
		err = errors.Join(err, netlink.LinkDel(link))
	}
	return link, peer, err
}

func (v Veth) taken() error {
	return model.Errorf(model.Conflict, "%s has a link %s already", v.Namespace.label, v.IfName).WithHint("choose another name inside with --ifname")
}

func (v Veth) open() (*inside, error) {
	if err := sysctl.CheckLinkName(v.IfName); err != nil {
		return nil, err
	}
	return v.Namespace.open()
}

// open makes a netlink socket inside the namespace.
func (n *Namespace) open() (*inside, error) {
	fd := netns.NsHandle(n.file.Fd())
	route, err := netlink.NewHandleAt(fd, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("enter %s: %w", n.label, err)
	}
	return &inside{route: route, fd: int(fd), label: n.label}, nil
}

// EnsurePair makes a veth pair whose other end, IfName, lies on the host until somebody
// takes it into a namespace: down, so that nothing of the host uses it, and with
// hostnat's mark, so that it is no way to the outside. What has become of an end that
// was taken is its taker's business; if it went, the pair went, and is made anew.
func EnsurePair(ctx context.Context, v Veth) error {
	mac, err := net.ParseMAC(string(v.MAC))
	if err != nil {
		return fmt.Errorf("veth %s: %w", v.Name, err)
	}
	link, err := v.findPair(mac)
	if err != nil {
		return err
	}
	created := link == nil
	if created {
		if link, err = v.createPair(mac); err != nil {
			return err
		}
	}
	err = v.configureWaiting(link, mac)
	if err == nil {
		err = v.configureOuter(ctx, link)
	}
	if err != nil && created {
		err = errors.Join(err, netlink.LinkDel(link))
	}
	return err
}

// findPair returns the host's end if the pair is there. One that was left without its
// mark by a kill is known by the MAC of its other end.
func (v Veth) findPair(mac net.HardwareAddr) (netlink.Link, error) {
	link, err := findLink(v.Name)
	if err != nil || link == nil {
		return nil, err
	}
	wanted := &netlink.Veth{LinkAttrs: netlink.NewLinkAttrs()}
	waiting, err := v.waiting(link)
	if err != nil {
		return nil, err
	}
	if waiting != nil && bytes.Equal(waiting.Attrs().HardwareAddr, mac) {
		wanted.HardwareAddr = link.Attrs().HardwareAddr
	}
	return claim(link, wanted)
}

// waiting returns the other end if it lies on the host.
func (v Veth) waiting(link netlink.Link) (netlink.Link, error) {
	end, err := findLink(v.IfName)
	if err != nil || end == nil {
		return nil, err
	}
	host, other := link.Attrs(), end.Attrs()
	if end.Type() != "veth" || host.NetNsID != -1 || host.ParentIndex != other.Index || other.ParentIndex != host.Index {
		return nil, nil
	}
	return end, nil
}

func (v Veth) createPair(mac net.HardwareAddr) (netlink.Link, error) {
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.MTU = v.Name, v.MTU
	link, err := addLink(&netlink.Veth{LinkAttrs: attrs, PeerName: v.IfName, PeerHardwareAddr: mac})
	if errors.Is(err, unix.EEXIST) {
		return nil, model.Errorf(model.Conflict, "link %s or %s exists already", v.Name, v.IfName).WithHint("delete it")
	}
	return link, err
}

// configureWaiting makes the other end ready to be taken, if it lies on the host.
func (v Veth) configureWaiting(link netlink.Link, mac net.HardwareAddr) error {
	end, err := v.waiting(link)
	if err != nil || end == nil {
		return err
	}
	if end.Attrs().Alias != Owner {
		if err := setOwner(end); err != nil {
			return err
		}
	}
	return cmp.Or(
		setMAC(netlink.LinkSetHardwareAddr, end, mac),
		setMTU(netlink.LinkSetMTU, end, v.MTU),
		setSegment(netlink.LinkSetGSOIPv4MaxSize, end, v.Segment),
	)
}
