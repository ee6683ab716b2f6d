package host

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/hostnat/hostnat/internal/model"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// pinNeighbour has the kernel know a neighbour on a link for good; the setter
// decides in which namespace. Nobody asks by ARP then; and the kernel has place
// for 1024 neighbours that it was not told of, in all namespaces together
// (gc_thresh3), which a thousand endpoints that begin to talk at once would use
// up.
func pinNeighbour(set func(*netlink.Neigh) error, link netlink.Link, a netip.Addr, mac model.MAC) error {
	hw, err := net.ParseMAC(string(mac))
	if err == nil {
		err = set(&netlink.Neigh{LinkIndex: link.Attrs().Index, Family: unix.AF_INET, State: unix.NUD_PERMANENT, IP: a.AsSlice(), HardwareAddr: hw})
	}
	if err != nil {
		return fmt.Errorf("pin neighbour %s on %s: %w", a, link.Attrs().Name, err)
	}
	return nil
}

// onlyNeighbour is pinNeighbour for a link of the host at whose other end there
// is nobody else: who else was pinned there is forgotten.
func onlyNeighbour(ctx context.Context, link netlink.Link, a netip.Addr, mac model.MAC) error {
	have, err := Dump(ctx, func() ([]netlink.Neigh, error) { return neighboursOn(link.Attrs().Index) })
	if err != nil {
		return fmt.Errorf("list neighbours on %s: %w", link.Attrs().Name, err)
	}
	for _, n := range have {
		switch {
		case n.State&unix.NUD_PERMANENT == 0:
		case !n.IP.Equal(a.AsSlice()):
			if err := netlink.NeighDel(&n); err != nil && !errors.Is(err, unix.ENOENT) {
				return fmt.Errorf("forget neighbour %s on %s: %w", n.IP, link.Attrs().Name, err)
			}
		case n.HardwareAddr.String() == string(mac):
			return nil
		}
	}
	return pinNeighbour(netlink.NeighSet, link, a, mac)
}

// neighboursOn has the kernel choose: package netlink would be given all there are.
func neighboursOn(link int) ([]netlink.Neigh, error) {
	req := nl.NewNetlinkRequest(unix.RTM_GETNEIGH, unix.NLM_F_DUMP)
	req.AddData(&netlink.Ndmsg{Family: unix.AF_INET})
	req.AddData(nl.NewRtAttr(unix.NDA_IFINDEX, nl.Uint32Attr(uint32(link))))
	messages, err := req.Execute(unix.NETLINK_ROUTE, unix.RTM_NEWNEIGH)
	if err != nil {
		return nil, err
	}
	var list []netlink.Neigh
	for _, m := range messages {
		n, err := netlink.NeighDeserialize(m)
		if err != nil {
			return nil, err
		}
		if n.LinkIndex == link {
			list = append(list, *n)
		}
	}
	return list, nil
}
