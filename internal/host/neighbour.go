package host

import (
	"context"
	"fmt"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Neighbour is a machine that the host has exchanged ARP with on a link.
type Neighbour struct {
	Link    int // index
	Address netip.Addr
	MAC     [6]byte
}

// alive are the states in which the kernel knows the MAC and has not given up on
// it. Permanent entries are somebody's configuration, not news.
const alive = unix.NUD_REACHABLE | unix.NUD_STALE | unix.NUD_DELAY | unix.NUD_PROBE

// Neighbours returns the machines with IPv4 addresses that the host knows, on all
// links. The kernel bounds how many that are, and keeps them long after they
// have gone: see BridgePort for whether a bridge has heard of one lately.
func Neighbours(ctx context.Context) ([]Neighbour, error) {
	table, err := Dump(ctx, func() ([]netlink.Neigh, error) { return netlink.NeighList(0, unix.AF_INET) })
	if err != nil {
		return nil, fmt.Errorf("list neighbours: %w", err)
	}
	var list []Neighbour
	for _, n := range table {
		a, ok := netip.AddrFromSlice(n.IP.To4())
		if ok && n.State&alive != 0 && len(n.HardwareAddr) == 6 {
			list = append(list, Neighbour{Link: n.LinkIndex, Address: a, MAC: [6]byte(n.HardwareAddr)})
		}
	}
	return list, nil
}

// LinkName returns the name of the link with that index; "" if there is none.
func LinkName(index int) string {
	link, err := netlink.LinkByIndex(index)
	if err != nil {
		return ""
	}
	return link.Attrs().Name
}
