package traffic

import (
	"fmt"

	"github.com/vishvananda/netlink"

	"github.com/hostnat/hostnat/dev/lab"
)

// SplitBursts makes a link take bursts (see envelope.burst) apart into single
// frames when they are sent, as a network card does, rather than hand them on
// whole, as a veth may. The returned function puts the link's default back.
func SplitBursts(n *lab.Namespace, link string) (restore func() error, err error) {
	attrs, err := n.Link(link)
	if err != nil {
		return nil, err
	}
	set := func(size uint32) error {
		err := n.Do(func() error { return netlink.LinkSetGSOMaxSize(&netlink.Device{LinkAttrs: *attrs}, int(size)) })
		if err != nil {
			return fmt.Errorf("set the GSO size of %s in %s: %w", link, n.Name, err)
		}
		return nil
	}
	const smallerThanBurst = 1000
	return func() error { return set(attrs.GSOMaxSize) }, set(smallerThanBurst)
}
