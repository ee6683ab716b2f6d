package host

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"

	"github.com/hostnat/hostnat/internal/model"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// PointToPoint is what an endpoint's link has on the host's side if it is a network by
// itself, without a switch.
type PointToPoint struct {
	MAC     model.MAC    // the gateway's: clones of one machine find it wherever they wake up
	Gateway netip.Prefix // the host's address on it, which other links may have too: without a route

	Endpoint    netip.Addr // who is at the other end
	EndpointMAC model.MAC
}

// CheckPointToPoint refuses by a *model.Error a link that cannot be a point-to-point link.
func CheckPointToPoint(ctx context.Context, name string) error {
	_, err := findPointToPoint(ctx, name)
	return err
}

// EnsurePointToPoint makes an existing link (a TAP, mostly) a point-to-point link, up, and returns
// its index. The guard is called before the host has an address there. What the
// link was like is noted at the link itself, for ReleasePointToPoint.
func EnsurePointToPoint(ctx context.Context, name string, i PointToPoint, guard func(index int) error) (int, error) {
	link, err := findPointToPoint(ctx, name)
	if err != nil {
		return 0, err
	}
	index := link.Attrs().Index
	for _, step := range []func() error{
		func() error { return noteWas(link) },
		func() error { return guard(index) },
		func() error { return i.settle(link) },
		func() error { return i.setOwnAddress(ctx, link) },
		func() error { return setUp(netlink.LinkSetUp, link) },
		func() error { return onlyNeighbour(ctx, link, i.Endpoint, i.EndpointMAC) },
	} {
		if err := step(); err != nil {
			return 0, err
		}
	}
	return index, nil
}

// ReleasePointToPoint gives a link back as EnsurePointToPoint found it. One that is gone, or
// is no point-to-point link, is fine.
func ReleasePointToPoint(ctx context.Context, name string) error {
	link, err := findLink(name)
	if err != nil || link == nil {
		return err
	}
	mark := wasOf(link.Attrs().AltNames)
	if mark == "" {
		return nil
	}
	addrs, err := addressesOf(ctx, link)
	for _, a := range addrs {
		if a.marked {
			err = errors.Join(err, deleteAddress(link, a.prefix))
		}
	}
	mac, settings, err2 := parseWas(mark)
	if err = errors.Join(err, err2); err != nil {
		return err
	}
	err = errors.Join(
		setMAC(netlink.LinkSetHardwareAddr, link, mac),
		restoreUnrouted(name, settings))
	if err != nil {
		return fmt.Errorf("give link %s back: %w", name, err)
	}
	// Its neighbours went with its MAC.
	return unmark(link) // last: who is killed before tries again
}

// unmark takes all marks away.
func unmark(link netlink.Link) error {
	names := slices.Clone(link.Attrs().AltNames)
	for mark := wasOf(names); mark != ""; mark = wasOf(names) {
		names = slices.DeleteFunc(names, func(name string) bool { return name == mark })
		if err := netlink.LinkDelAltName(link, mark); err != nil {
			return onLink("take the mark from", link, err)
		}
	}
	return nil
}

// findPointToPoint finds a link that can be a point-to-point link. What it has from us already
// does not count.
func findPointToPoint(ctx context.Context, name string) (netlink.Link, error) {
	link, err := findLink(name)
	if err != nil {
		return nil, err
	}
	if link != nil && wasOf(link.Attrs().AltNames) != "" && link.Attrs().MasterIndex == 0 {
		return link, nil
	}
	return findPort(ctx, name, 0)
}

// settle gives the link the gateway's MAC, and the settings of what the host's
// tables do not lead to.
func (i PointToPoint) settle(link netlink.Link) error {
	mac, err := net.ParseMAC(string(i.MAC))
	if err != nil {
		return fmt.Errorf("link %s: %w", link.Attrs().Name, err)
	}
	return errors.Join(
		setMAC(netlink.LinkSetHardwareAddr, link, mac),
		setUnrouted(link.Attrs().Name))
}

// setOwnAddress makes the gateway's the one address that the link has from us;
// others are its owner's.
func (i PointToPoint) setOwnAddress(ctx context.Context, link netlink.Link) error {
	addrs, err := addressesOf(ctx, link)
	if err != nil {
		return err
	}
	found := false
	for _, a := range addrs {
		switch {
		case a.prefix == i.Gateway && (!a.marked || !a.routed):
			found = true
		case a.marked:
			err = errors.Join(err, deleteAddress(link, a.prefix))
		}
	}
	if err != nil || found {
		return err
	}
	return addAddress(link, i.Gateway, false)
}

// wasMark begins the alternative name (`ip link show`) of a link of others that
// is a point-to-point link. It says what the link was like: no record on disk could be out
// of step with it after a kill or a reboot, or of another link of that name.
const wasMark = "hostnat-was-"

// wasOf returns the mark among a link's alternative names; "" if there is none.
// Of two the longer one says more.
func wasOf(names []string) string {
	was := ""
	for _, name := range names {
		if strings.HasPrefix(name, wasMark) && len(name) > len(was) {
			was = name
		}
	}
	return was
}

// noteWas marks a link with its MAC and its settings, unless it is marked. A mark
// of a version before, which set less, is completed. Alternative names are unique
// in a namespace, as indices are.
func noteWas(link netlink.Link) error {
	a := link.Attrs()
	mac, was := a.HardwareAddr, ""
	before := wasOf(a.AltNames)
	if before != "" {
		var err error
		if mac, was, err = parseWas(before); err != nil || len(was) == len(unroutedSettings) {
			return err
		}
	}
	settings, err := readUnrouted(a.Name)
	if err != nil {
		return err
	}
	mark := fmt.Sprintf("%s%s-%s-%d", wasMark, strings.ReplaceAll(mac.String(), ":", ""), was+settings[len(was):], a.Index)
	err = netlink.LinkAddAltName(link, mark)
	if errors.Is(err, unix.EEXIST) {
		return model.Errorf(model.Conflict, "another link has the name %s", mark).WithHint("remove it: ip link property del dev LINK altname %s", mark)
	}
	if err == nil && before != "" {
		err = netlink.LinkDelAltName(link, before)
	}
	return onLink("mark", link, err)
}

// parseWas reads what noteWas wrote.
func parseWas(mark string) (mac net.HardwareAddr, settings string, err error) {
	fields := strings.Split(strings.TrimPrefix(mark, wasMark), "-")
	if len(fields) == 3 && len(fields[0]) == 12 {
		var digits []string
		for i := 0; i < 12; i += 2 {
			digits = append(digits, fields[0][i:i+2])
		}
		mac, err = net.ParseMAC(strings.Join(digits, ":"))
	}
	if mac == nil || err != nil || !areUnrouted(fields[1]) {
		return nil, "", fmt.Errorf("alternative name %q is none of ours", mark)
	}
	return mac, fields[1], nil
}
