package host

import (
	"context"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// usableTime is how long a new pair may take to be usable. A bridge that is
// down never is.
const usableTime = time.Second

// waitUsable waits until the kernel has noticed that both ends and the bridge
// have a carrier. It does so by itself, mostly within a millisecond. Until then
// it drops what they send: the endpoint's first ARP request, which is repeated
// only after a second.
func (v Veth) waitUsable(ctx context.Context, in *inside) {
	waitUntil(ctx, func() bool { return v.usable(in) })
}

// waitUntil waits for at most usableTime.
func waitUntil(ctx context.Context, usable func() bool) {
	ctx, cancel := context.WithTimeout(ctx, usableTime)
	defer cancel()
	for !usable() {
		select {
		case <-ctx.Done():
			return
		case <-time.After(time.Millisecond):
		}
	}
}

func (v Veth) usable(in *inside) bool {
	return (v.Bridge == 0 || running(netlink.LinkByIndex(v.Bridge))) && running(netlink.LinkByName(v.Name)) && running(in.route.LinkByName(v.IfName))
}

func running(link netlink.Link, err error) bool {
	return err == nil && link.Attrs().RawFlags&unix.IFF_RUNNING != 0
}
