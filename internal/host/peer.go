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
