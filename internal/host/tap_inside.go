package host

import (
	"cmp"
	"errors"
	"fmt"
	"net"

	"github.com/hostnat/hostnat/internal/host/sysctl"
	"github.com/hostnat/hostnat/internal/model"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// tapInside is a TAP in an endpoint's namespace. A bridge joins it there with the
// inner end of the endpoint's veth pair, which is no more than a cable then.
type tapInside struct {
	TAP
	bridge string
}

// bridgeInside names the bridge by the pair.
func bridgeInside(veth string) string { return "hb-" + veth[min(len(veth), len("hv-")):] }

// Inside has the pair lead to a TAP, which is the endpoint's link then. The inner end is
// called as the outer, and has a MAC of its own: a bridge keeps what is for its ports.
func (v *Veth) Inside(t TAP) {
	v.tap = &tapInside{TAP: t, bridge: bridgeInside(v.Name)}
	v.IfName = v.Name
	if mac, err := net.ParseMAC(string(v.MAC)); err == nil {
		mac[0] = mac[0]&^1 | 2 ^ 4
		v.MAC = model.MAC(mac.String())
	}
}

// configureTAP makes the TAP and joins it with the inner end of a pair.
func (in *inside) configureTAP(t tapInside, peer netlink.Link) error {
	tap, err := in.ensureTAP(t.TAP)
	if err != nil {
		return err
	}
	bridge, err := in.ensureBridge(t.bridge)
	if err != nil {
		return err
	}
	for _, port := range []netlink.Link{tap, peer} {
		if port.Attrs().MasterIndex != bridge.Attrs().Index {
			if err := onLink("enslave", port, in.route.LinkSetMaster(port, bridge)); err != nil {
				return err
			}
		}
	}
	return cmp.Or(setUp(in.route.LinkSetUp, bridge), setUp(in.route.LinkSetUp, peer), setUp(in.route.LinkSetUp, tap))
}

func (in *inside) ensureBridge(name string) (netlink.Link, error) {
	link, err := in.find(name)
	if err != nil || link != nil && link.Attrs().Alias == Owner {
		return link, err
	}
	attrs := netlink.NewLinkAttrs()
	attrs.Name = name
	if err := in.route.LinkAdd(&netlink.Bridge{LinkAttrs: attrs}); err != nil && !errors.Is(err, unix.EEXIST) { // without its mark after a kill
		return nil, fmt.Errorf("add bridge %s in %s: %w", name, in.label, err)
	}
	if link, err = in.find(name); err != nil || link == nil {
		return nil, cmp.Or(err, fmt.Errorf("add bridge %s in %s: it was deleted at once", name, in.label))
	}
	return link, cmp.Or(in.route.LinkSetAlias(link, Owner), in.enter(func() error { return sysctl.DisableIPv6(name) }))
}

// LeaveTAP takes the TAP that a pair leads to, and its bridge, out of an endpoint's
// namespace.
func LeaveTAP(ns *Namespace, veth, tap string) error {
	in, err := ns.open()
	if err != nil {
		return err
	}
	defer in.close()
	var errs []error
	for _, name := range []string{bridgeInside(veth), tap} {
		link, err := in.find(name)
		if err == nil && link != nil && link.Attrs().Alias == Owner {
			err = in.route.LinkDel(link)
		}
		if err != nil && !errors.Is(err, unix.ENODEV) {
			errs = append(errs, fmt.Errorf("delete link %s in %s: %w", name, in.label, err))
		}
	}
	return errors.Join(errs...)
}

// enter runs fn in the namespace.
func (in *inside) enter(fn func() error) (err error) {
	if in.fd < 0 {
		return fn()
	}
	OnLastThread(func() {
		if err = unix.Setns(in.fd, unix.CLONE_NEWNET); err == nil {
			err = fn()
		}
	})
	return err
}
