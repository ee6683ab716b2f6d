package host

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/vishvananda/netlink/nl"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// LinkAt returns the link with an index, with its addresses; false if there is
// none. It costs the same however many links there are.
func LinkAt(ctx context.Context, index int) (Link, bool, error) {
	if index <= 0 {
		return Link{}, false, nil
	}
	links, err := readLinks(ctx, index)
	if err != nil {
		return Link{}, false, fmt.Errorf("look at link %d: %w", index, err)
	}
	if len(links) == 0 {
		return Link{}, false, nil
	}
	addrs, err := addressesAt(ctx, index)
	if errors.Is(err, unix.ENODEV) { // it went meanwhile
		return Link{}, false, nil
	}
	if err != nil {
		return Link{}, false, fmt.Errorf("list addresses of link %d: %w", index, err)
	}
	links[0].addAddresses(addrs)
	return links[0], true, nil
}

// Equal reports whether nothing of the link is different, but for whether a program has it open.
func (l Link) Equal(o Link) bool {
	if !slices.Equal(l.Addresses, o.Addresses) || !slices.Equal(l.Lent, o.Lent) || !slices.Equal(l.External, o.External) || !slices.Equal(l.Unrouted, o.Unrouted) ||
		!slices.Equal(l.Deprecated, o.Deprecated) || !slices.Equal(l.Narrow, o.Narrow) {
		return false
	}
	return l.attributes() == o.attributes()
}

// linkAttributes are what a link has beside addresses.
type linkAttributes struct {
	index                  int
	name, kind, alias      string
	mac                    string
	mtu, master            int
	up, loop, ether        bool
	isolated, pointToPoint bool
	forwards               bool
	peer, peerNSID         int
}

func (l Link) attributes() linkAttributes {
	return linkAttributes{
		l.Index, l.Name, l.Type, l.Alias, string(l.MAC), l.MTU, l.MasterIndex, l.Up, l.Loopback, l.HasEthernet, l.Isolated, l.PointToPoint, l.Forwards, l.PeerIndex, l.PeerNSID,
	}
}

// addressesAt returns the IPv4 addresses of the link with an index.
func addressesAt(ctx context.Context, index int) ([]address, error) {
	all, err := Dump(ctx, func() ([]address, error) { return dumpAddresses(index) })
	return slices.DeleteFunc(all, func(a address) bool { return a.link != index }), err // a kernel may not heed the index
}

// executeStrict is req.Execute, with the kernel heeding what a listing is to be
// limited to (NETLINK_GET_STRICT_CHK) rather than listing everything.
func executeStrict(req *nl.NetlinkRequest, kind uint16) ([][]byte, error) {
	socket, err := nl.GetNetlinkSocketAt(netns.None(), netns.None(), unix.NETLINK_ROUTE)
	if err != nil {
		return nil, err
	}
	defer socket.Close()
	err = errors.Join(
		socket.SetSendTimeout(&nl.SocketTimeoutTv),
		socket.SetReceiveTimeout(&nl.SocketTimeoutTv),
		unix.SetsockoptInt(socket.GetFd(), unix.SOL_NETLINK, unix.NETLINK_GET_STRICT_CHK, 1),
	)
	if err != nil {
		return nil, err
	}
	req.Sockets = map[int]*nl.SocketHandle{unix.NETLINK_ROUTE: {Socket: socket}}
	return req.Execute(unix.NETLINK_ROUTE, kind)
}
