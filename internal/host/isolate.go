package host

import (
	"fmt"

	"github.com/vishvananda/netlink"
)

// IsolatePort keeps a bridge's port from sending to the others that are kept so,
// or lets it. The bridge itself it reaches always. The kernel announces even a
// change that is none.
func IsolatePort(index int, isolated bool) error {
	link, err := netlink.LinkByIndex(index)
	if err != nil {
		return fmt.Errorf("find port %d: %w", index, err)
	}
	return onLink("isolate", link, netlink.LinkSetIsolated(link, isolated))
}
