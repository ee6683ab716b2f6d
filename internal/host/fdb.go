package host

import (
	"net"

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
