package host

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/hostnat/hostnat/internal/model"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// CheckPort refuses by a *model.Error a link that cannot be (or is not) a port of
// the bridge with that index; 0 stands for a bridge that does not exist yet.
func CheckPort(ctx context.Context, name string, bridge int) error {
	_, err := findPort(ctx, name, bridge)
	return err
}

// EnsurePort makes an existing link (a TAP, mostly) a port of the bridge with
// that index, up, and returns the link's index.
func EnsurePort(ctx context.Context, name string, bridge int) (int, error) {
	link, err := findPort(ctx, name, bridge)
	if err != nil {
		return 0, err
	}
	if err := setMaster(link, bridge); err != nil {
		return 0, err
	}
	return link.Attrs().Index, setUp(netlink.LinkSetUp, link)
}

// ReleasePort takes a link out of the bridge with that index, unless it was a port
// of it before hostnat made it one (NotePlugged). It stays up or down as it is. A link that is gone, or in
// another bridge, is fine.
func ReleasePort(name string, bridge int) error {
	link, err := findLink(name)
	if err != nil || link == nil || link.Attrs().MasterIndex != bridge {
		return err
	}
	mark := pluggedMark(link)
	if !slices.Contains(link.Attrs().AltNames, mark) {
		return onLink("release", link, netlink.LinkSetNoMaster(link))
	}
	if err := unpinMACs(link); err != nil {
		return err
	}
	if err := onLink("open", link, netlink.LinkSetIsolated(link, false)); err != nil {
		return err
	}
	return onLink("take the mark from", link, netlink.LinkDelAltName(link, mark)) // last: who is killed before tries again
}

// pluggedMark is an alternative name (`ip link show`) of a link that was its
// network's port before it became an endpoint's. It is beside what it marks: no
// record on disk could be out of step with it after a reboot, or be about another
// link of that name.
func pluggedMark(link netlink.Link) string {
	return fmt.Sprintf("hostnat-plugged-%d", link.Attrs().Index)
}

// NotePlugged marks a link as a port of its bridge by somebody else's doing:
// ReleasePort leaves it there. A link that is none is fine.
func NotePlugged(index int) error {
	link, err := netlink.LinkByIndex(index)
	if err != nil || link.Attrs().MasterIndex == 0 {
		return nil
	}
	err = netlink.LinkAddAltName(link, pluggedMark(link))
	if errors.Is(err, unix.EEXIST) {
		return nil
	}
	return onLink("mark", link, err)
}

func findPort(ctx context.Context, name string, bridge int) (netlink.Link, error) {
	link, err := findLink(name)
	if err != nil {
		return nil, err
	}
	if link == nil {
		return nil, model.Errorf(model.NotFound, "link %s does not exist", name).WithHint("'ip link' lists those that do")
	}
	l := linkFrom(link)
	if master := l.MasterIndex; master != 0 && master != bridge {
		return nil, model.Errorf(model.Conflict, "link %s is a port of %s", name, cmp.Or(LinkName(master), fmt.Sprintf("link %d", master))).WithHint("take it out there, or use another link")
	}
	if !l.HasEthernet || l.Loopback || l.Type == "bridge" {
		return nil, model.Errorf(model.Conflict, "link %s of type %s cannot be a port of a bridge", name, l.Type).WithHint("use a link with Ethernet frames, such as a TAP")
	}
	addrs, err := addressesOf(ctx, link)
	if err != nil {
		return nil, err
	}
	if len(addrs) > 0 && l.MasterIndex == 0 { // as a port it would not be reached any more
		return nil, model.Errorf(model.Conflict, "link %s has the host's address %s", name, addrs[0].prefix.Addr()).WithHint("use a link that is there for the endpoint alone")
	}
	return link, nil
}

// plugOut is how long a plug is out: the other end tells its programs of its carrier
// from a work queue, and of one that is back by then it tells nothing.
const plugOut = 250 * time.Millisecond

// BounceCarrier takes links down and, a quarter of a second later, up again, so that their other ends see
// their carrier go and come back. What a bridge has learnt about such a port is
// forgotten. A link that is gone is fine.
func BounceCarrier(ports []int) error {
	var links []netlink.Link
	var errs []error
	for _, index := range ports {
		link, err := netlink.LinkByIndex(index)
		if err == nil {
			err = onLink("take down", link, netlink.LinkSetDown(link))
		}
		switch {
		case err == nil:
			links = append(links, link)
		case model.CodeOf(err) != model.NotFound && !errors.As(err, new(netlink.LinkNotFoundError)):
			errs = append(errs, fmt.Errorf("bounce the carrier of link %d: %w", index, err))
		}
	}
	if len(links) > 0 {
		time.Sleep(plugOut)
	}
	for _, link := range links {
		if err := onLink("set up", link, netlink.LinkSetUp(link)); model.CodeOf(err) != model.NotFound {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
