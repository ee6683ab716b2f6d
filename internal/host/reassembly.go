package host

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"

	"github.com/hostnat/hostnat/internal/host/sysctl"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// ReassemblyLink is the host's end of the veth pair into the reassembly namespace.
const ReassemblyLink = "hostnat1"

// reassemblyPeer is the other end, alone in the reassembly namespace.
const reassemblyPeer = "reassembly"

// The MACs of both ends, locally administered. bpf/ip4_reassembly.h has the peer's.
var (
	reassemblyHostMAC = net.HardwareAddr{0x02, 0x68, 0x6e, 0x00, 0x00, 0x01}
	reassemblyPeerMAC = net.HardwareAddr{0x02, 0x68, 0x6e, 0x00, 0x00, 0x02}
)

// reassemblyMTU lets the largest datagram in and out whole.
const reassemblyMTU = 65535

// reassemblySettings make a namespace the one for reassembly: it forwards, answers nothing, and
// keeps what waits to be put together for 3 seconds and within 16 MiB. RFC 6146
// section 4 asks for 2 seconds; the shorter, the sooner a flood is forgotten.
var reassemblySettings = []struct{ path, value string }{
	{"net/ipv4/ip_forward", "1"},
	{"net/ipv4/conf/all/rp_filter", "0"},
	{"net/ipv4/conf/default/rp_filter", "0"},
	{"net/ipv4/conf/all/send_redirects", "0"},
	{"net/ipv4/conf/default/send_redirects", "0"},
	{"net/ipv4/conf/all/accept_source_route", "0"}, // or an option would lead a packet astray
	{"net/ipv4/conf/default/accept_source_route", "0"},
	{"net/ipv4/conf/all/log_martians", "0"},
	{"net/ipv4/conf/default/log_martians", "0"},
	{"net/ipv4/ipfrag_high_thresh", "16777216"},
	{"net/ipv4/ipfrag_low_thresh", "12582912"},
	{"net/ipv4/ipfrag_time", "3"},
	{"net/ipv4/ipfrag_max_dist", "0"}, // each datagram seems to come from a sender of its own
}

// EnsureReassembly makes the reassembly namespace, a network namespace in which the kernel puts
// fragments together and cuts packets, and returns the index of our end of its
// one link. attach is called inside the reassembly namespace before any packet can be there: it
// has to leave something behind that keeps the namespace, since it has no name
// and no process. If the link stands and keep says that what attach left does
// too, nothing is done.
func EnsureReassembly(ctx context.Context, keep bool, attach func() error) (int, error) {
	link, err := findLink(ReassemblyLink)
	if err != nil {
		return 0, err
	}
	if link != nil {
		if err := claimReassembly(link); err != nil {
			return 0, err
		}
		if keep && link.Attrs().RawFlags&unix.IFF_UP != 0 { // up is the last step
			return link.Attrs().Index, nil
		}
		if err := netlink.LinkDel(link); err != nil && !errors.Is(err, unix.ENODEV) {
			return 0, fmt.Errorf("delete link %s of an unfinished reassembly namespace: %w", ReassemblyLink, err)
		}
	}
	inside, err := newReassembly(attach)
	if err != nil {
		return 0, err
	}
	defer inside.Close()
	return inside.connect(ctx)
}

// claimReassembly refuses a link that is not ours.
func claimReassembly(link netlink.Link) error {
	wanted := &netlink.Veth{LinkAttrs: netlink.NewLinkAttrs()}
	wanted.HardwareAddr = reassemblyHostMAC
	_, err := claim(link, wanted)
	return err
}

// newReassembly makes the namespace, on a thread that is thrown away afterwards.
func newReassembly(attach func() error) (*Namespace, error) {
	var inside *Namespace
	var err error
	OnLastThread(func() { inside, err = enterReassembly(attach) })
	return inside, err
}

// OnLastThread runs fn on a thread that ends afterwards. The process's main one
// does not end, and /proc/PID/ns/net is its namespace: it is kept out of the way.
func OnLastThread(fn func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread()
		if unix.Gettid() == unix.Getpid() {
			OnLastThread(fn) // on another one, since this goroutine has this one
			runtime.UnlockOSThread()
			return
		}
		fn() // and the thread ends with its goroutine, still locked
	}()
	<-done
}

func enterReassembly(attach func() error) (*Namespace, error) {
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		return nil, fmt.Errorf("make a namespace for fragments: %w", err)
	}
	for _, s := range reassemblySettings {
		if err := sysctl.Set(s.path, s.value); err != nil {
			return nil, fmt.Errorf("in the reassembly namespace: %w", err)
		}
	}
	if err := cmp.Or(sysctl.DisableIPv6("all"), sysctl.DisableIPv6("default")); err != nil {
		return nil, fmt.Errorf("in the reassembly namespace: %w", err)
	}
	if err := attach(); err != nil {
		return nil, err
	}
	file, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		return nil, fmt.Errorf("open the reassembly namespace: %w", err)
	}
	return &Namespace{label: "the reassembly namespace", file: file}, nil
}

// connect makes the veth pair, the end in the reassembly namespace first.
func (n *Namespace) connect(ctx context.Context) (int, error) {
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.MTU, attrs.HardwareAddr = ReassemblyLink, reassemblyMTU, reassemblyHostMAC
	fd := netns.NsHandle(n.file.Fd())
	link, err := addLink(&netlink.Veth{
		LinkAttrs: attrs, PeerName: reassemblyPeer, PeerNamespace: netlink.NsFd(fd), PeerHardwareAddr: reassemblyPeerMAC, PeerMTU: reassemblyMTU,
	})
	if err != nil {
		return 0, err
	}
	inside, err := netlink.NewHandleAt(fd, unix.NETLINK_ROUTE)
	if err != nil {
		return 0, fmt.Errorf("enter %s: %w", n.label, err)
	}
	defer inside.Close()
	if err := cmp.Or(configurePeer(inside), sysctl.DisableIPv6(ReassemblyLink), setUp(netlink.LinkSetUp, link)); err != nil {
		return 0, err
	}
	waitUntil(ctx, func() bool {
		return running(netlink.LinkByName(ReassemblyLink)) && running(inside.LinkByName(reassemblyPeer))
	})
	return link.Attrs().Index, nil
}

// configurePeer sets the end in the reassembly namespace up, without ARP, and adds the routes: all lead
// back out, and differ in their MTU.
func configurePeer(inside *netlink.Handle) error {
	peer, err := inside.LinkByName(reassemblyPeer)
	if err != nil {
		return fmt.Errorf("find %s in the reassembly namespace: %w", reassemblyPeer, err)
	}
	err = cmp.Or(
		onLink("switch off ARP of", peer, inside.LinkSetARPOff(peer)),
		setUp(inside.LinkSetUp, peer),
	)
	if err != nil {
		return err
	}
	for _, size := range pieceSizes() {
		destination := net.IPv4(172, 31, byte(size>>8), byte(size))
		route := netlink.Route{
			LinkIndex: peer.Attrs().Index, Scope: netlink.SCOPE_LINK,
			Dst: &net.IPNet{IP: destination, Mask: net.CIDRMask(32, 32)},
		}
		if size > 0 {
			route.MTU = 20 + 8*size
		}
		if err := inside.RouteAdd(&route); err != nil {
			return fmt.Errorf("add a route with MTU %d to the reassembly namespace: %w", route.MTU, err)
		}
	}
	return nil
}

// pieceSizes are those that bpf/ip4_reassembly_link.h asks for (piece_size), in units of 8
// bytes behind an IP header: all of them up to an MTU of 2068, which those of
// real links are below, and then each 512 bytes. 0 is no limit.
func pieceSizes() []int {
	sizes := []int{0}
	for n := 6; n <= 256; n++ {
		sizes = append(sizes, n)
	}
	for n := 320; n <= (reassemblyMTU-20)/8; n += 64 {
		sizes = append(sizes, n)
	}
	return sizes
}
