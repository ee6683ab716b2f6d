package host

import (
	"errors"
	"fmt"
	"net"

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
