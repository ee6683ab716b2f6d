package host

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/hostnat/hostnat/internal/host/arp"
	"github.com/hostnat/hostnat/internal/model"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// BridgePort returns the index of the bridge's port behind which the bridge has
// last seen a MAC; 0 if it does not know.
func BridgePort(bridge int, mac net.HardwareAddr) int {
	req := nl.NewNetlinkRequest(unix.RTM_GETNEIGH, 0)
	req.AddData(&netlink.Ndmsg{Family: unix.AF_BRIDGE})
	req.AddData(nl.NewRtAttr(unix.NDA_LLADDR, mac))
	req.AddData(nl.NewRtAttr(unix.NDA_MASTER, nl.Uint32Attr(uint32(bridge))))
	messages, err := req.Execute(unix.NETLINK_ROUTE, unix.RTM_NEWNEIGH)
	if err != nil || len(messages) == 0 {
		return 0
	}
	neighbour, err := netlink.NeighDeserialize(messages[0])
	if err != nil {
		return 0
	}
	return neighbour.LinkIndex
}

// PinMAC makes the bridge send to a MAC by this port of its, wherever a frame
// comes from that has the MAC as its source: otherwise whoever sends one has the
// traffic for that MAC (a bridge learns from what it sees). The port, by its
// index, must be a bridge's; the entry goes when it leaves. Safe to repeat.
func PinMAC(port int, mac model.MAC) error {
	address, err := net.ParseMAC(string(mac))
	if err != nil {
		return fmt.Errorf("pin a MAC to port %d: %w", port, err)
	}
	// Static is not enough, the kernel moves such an entry too; a sticky one stays.
	err = netlink.NeighSet(&netlink.Neigh{
		LinkIndex: port, Family: unix.AF_BRIDGE, State: netlink.NUD_NOARP,
		Flags: netlink.NTF_MASTER | netlink.NTF_STICKY, HardwareAddr: address,
	})
	if err != nil {
		return fmt.Errorf("pin MAC %s to port %d: %w", mac, port, err)
	}
	return nil
}

// BridgeHasPort reports whether a link is a port of a bridge, both by their index.
// Where that cannot be found out, it is.
func BridgeHasPort(bridge, port int) bool {
	link, err := netlink.LinkByIndex(port)
	var gone netlink.LinkNotFoundError
	if err != nil {
		return !errors.As(err, &gone)
	}
	return link.Attrs().MasterIndex == bridge
}

// unpinMACs undoes PinMAC for all MACs of a port.
func unpinMACs(port netlink.Link) error {
	entries, err := bridgeEntries(port.Attrs().Index)
	if err != nil {
		return err
	}
	for _, n := range entries {
		if n.Flags&netlink.NTF_STICKY == 0 {
			continue
		}
		n.Flags, n.Family = netlink.NTF_MASTER, unix.AF_BRIDGE // of the bridge's table, not of the link's
		if err := netlink.NeighDel(&n); err != nil && !errors.Is(err, unix.ENOENT) {
			return fmt.Errorf("unpin MAC %s from port %s: %w", n.HardwareAddr, port.Attrs().Name, err)
		}
	}
	return nil
}

// Station returns the MAC of the one machine that a bridge has heard of behind a
// port of its. False: of none, or of several.
func Station(ctx context.Context, port string) (model.MAC, bool, error) {
	link, err := findLink(port)
	if err != nil || link == nil || link.Attrs().MasterIndex == 0 {
		return "", false, err
	}
	entries, err := Dump(ctx, func() ([]netlink.Neigh, error) { return bridgeEntries(link.Attrs().Index) })
	if err != nil {
		return "", false, err
	}
	station, several := model.MAC(""), false
	for _, n := range entries {
		mac := model.MAC(n.HardwareAddr.String())
		if n.MasterIndex != link.Attrs().MasterIndex || n.State&(unix.NUD_PERMANENT|unix.NUD_NOARP) != 0 || len(n.HardwareAddr) != 6 {
			continue // configured, not heard of
		}
		several = several || station != "" && station != mac
		station = mac
	}
	return station, station != "" && !several, nil
}

// bridgeEntries is a bridge's table of MACs, as far as it is about one port.
func bridgeEntries(port int) ([]netlink.Neigh, error) {
	entries, err := netlink.NeighList(port, unix.AF_BRIDGE)
	if err != nil {
		return nil, fmt.Errorf("list MACs behind port %d: %w", port, err)
	}
	return entries, nil
}

// ForgetLearnt has a bridge forget those MACs which it has learnt to be behind a port of its,
// and which are elsewhere. What was configured stays. A port that is gone is fine.
func ForgetLearnt(port int, elsewhere func(model.MAC) bool) error {
	entries, err := bridgeEntries(port)
	if err != nil {
		return err
	}
	for _, n := range entries {
		if n.MasterIndex == 0 || n.State&(unix.NUD_PERMANENT|unix.NUD_NOARP) != 0 || !elsewhere(model.MAC(n.HardwareAddr.String())) {
			continue
		}
		n.Flags, n.Family = netlink.NTF_MASTER, unix.AF_BRIDGE
		if err := netlink.NeighDel(&n); err != nil && !errors.Is(err, unix.ENOENT) && !errors.Is(err, unix.ENODEV) {
			return fmt.Errorf("forget that MAC %s is behind port %d: %w", n.HardwareAddr, port, err)
		}
	}
	return nil
}

// AnnounceGateway tells the machines on a bridge that the host has the gateway's address: who
// was told otherwise forgets that. A bridge that is gone is fine.
func AnnounceGateway(bridge string, gateway netip.Addr) error {
	link, err := findLink(bridge)
	if err != nil || link == nil {
		return err
	}
	wire, err := arp.Open(link)
	if err != nil {
		return err
	}
	defer wire.Close()
	return wire.Announce(gateway)
}
