package host

import (
	"cmp"

	"github.com/hostnat/hostnat/internal/host/sysctl"
	"github.com/vishvananda/netlink"
)

// AnchorName is the link that AnchorLink makes.
const AnchorName = "hostnat0"

// AnchorLink makes a bridge without ports that stays down, and returns its
// index. The data path names it as the input device of its route look-ups
// (bpf_fib_lookup): forwarding is on for this link, so that the host's
// ip_forward may stay off. Somebody who writes ip_forward turns it off again;
// Watch tells of that, and AnchorLink repairs it.
func AnchorLink() (int, error) {
	link, err := ownLink(AnchorName, func(attrs netlink.LinkAttrs) netlink.Link {
		attrs.HardwareAddr = anchorMAC
		return &netlink.Bridge{LinkAttrs: attrs}
	})
	if err != nil {
		return 0, err
	}
	err = cmp.Or(sysctl.DisableIPv6(AnchorName), setForwarding(AnchorName))
	return link.Attrs().Index, err
}

// anchorMAC is locally administered; nothing is ever sent with it.
var anchorMAC = []byte{0x02, 0x68, 0x6e, 0x00, 0x00, 0x00}
