package host

import (
	"context"
	"strings"

	"github.com/hostnat/hostnat/internal/model"
	"github.com/vishvananda/netlink"
)

// PeerOf returns the name of the host's link whose other end is in the network
// namespace of a process and has that MAC there.
func PeerOf(ctx context.Context, pid, mac string) (string, error) {
	ns, err := OpenNamespace(model.KindPID, pid)
	if err != nil {
		return "", err
	}
	defer ns.Close()
	in, err := ns.open()
	if err != nil {
		return "", err
	}
	defer in.close()
	links, err := Dump(ctx, in.route.LinkList)
	if err != nil {
		return "", err
	}
	for _, link := range links {
		if !strings.EqualFold(link.Attrs().HardwareAddr.String(), mac) || link.Attrs().ParentIndex == 0 {
			continue
		}
		outer, err := netlink.LinkByIndex(link.Attrs().ParentIndex)
		if err != nil {
			continue
		}
		// The number may be another link's of the host: the pair must fit both ways.
		if peer, err := in.peerOf(outer, link.Attrs().Name); err == nil && peer != nil {
			return outer.Attrs().Name, nil
		}
	}
	return "", model.Errorf(model.NotFound, "process %s has no link to the host with MAC %s", pid, mac)
}

// PairsOn returns the names of a bridge's ports whose other ends are on the host too: what
// gets these, a container, does not run yet.
func PairsOn(ctx context.Context, bridge string) (names []string, err error) {
	links, err := Dump(ctx, func() ([]netlink.Link, error) { return netlink.LinkList() })
	if err != nil {
		return nil, err
	}
	byIndex := make(map[int]*netlink.LinkAttrs, len(links))
	for _, link := range links {
		byIndex[link.Attrs().Index] = link.Attrs()
	}
	for _, link := range links {
		a := link.Attrs()
		master, other := byIndex[a.MasterIndex], byIndex[a.ParentIndex]
		if link.Type() == "veth" && a.NetNsID == -1 && master != nil && master.Name == bridge &&
			other != nil && other.ParentIndex == a.Index && other.MasterIndex == 0 {
			names = append(names, a.Name)
		}
	}
	return names, nil
}
