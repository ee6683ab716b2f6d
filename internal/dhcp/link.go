package dhcp

import (
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/mdlayher/packet"
	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// link is a packet socket on a bridge. Not a UDP socket: a firewall on the host
// that drops port 67 does not matter to it, another DHCP server on the host may
// have the port, and it can send to a client that has no address yet and so
// answers no ARP. And not one socket for all bridges: bound to no interface, it
// would have its filter run for each packet of the host.
type link struct {
	conn    *packet.Conn
	mac     net.HardwareAddr // of the bridge
	index   int
	swallow int // a UDP socket that is never read, or -1
}

// openLink listens on a bridge, whose gateway address is given.
func openLink(bridge *net.Interface, gateway netip.Addr) (*link, error) {
	filter, err := bpf.Assemble(toServer)
	if err != nil {
		return nil, fmt.Errorf("filter for bridge %s: %w", bridge.Name, err)
	}
	conn, err := packet.Listen(bridge, packet.Raw, unix.ETH_P_IP, &packet.Config{Filter: filter})
	if err != nil {
		return nil, fmt.Errorf("listen on bridge %s: %w", bridge.Name, err)
	}
	return &link{conn: conn, mac: bridge.HardwareAddr, index: bridge.Index, swallow: swallow(bridge.Name, gateway)}, nil
}

// toServer takes UDP datagrams to port 67, and no fragments.
var toServer = []bpf.Instruction{
	bpf.LoadAbsolute{Off: ethernetLength + 9, Size: 1},
	bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.IPPROTO_UDP, SkipFalse: 6},
	bpf.LoadAbsolute{Off: ethernetLength + 6, Size: 2},
	bpf.JumpIf{Cond: bpf.JumpBitsSet, Val: 0x3fff, SkipTrue: 4},
	bpf.LoadMemShift{Off: ethernetLength},
	bpf.LoadIndirect{Off: ethernetLength + 2, Size: 2},
	bpf.JumpIf{Cond: bpf.JumpEqual, Val: serverPort, SkipFalse: 1},
	bpf.RetConstant{Val: 1 << 16},
	bpf.RetConstant{Val: 0},
}

// swallow opens a UDP socket on the gateway's port 67, so that the host does
// not answer a client that renews with 'port unreachable'. If another program
// has the port, it does that.
func swallow(bridge string, gateway netip.Addr) int {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return -1
	}
	err = errors.Join(
		unix.SetsockoptString(fd, unix.SOL_SOCKET, unix.SO_BINDTODEVICE, bridge),
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1),
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, 1), // the kernel makes that its least
		unix.Bind(fd, &unix.SockaddrInet4{Port: serverPort, Addr: gateway.As4()}),
	)
	if err != nil {
		unix.Close(fd)
		return -1
	}
	return fd
}

// receive waits for a frame.
func (l *link) receive(b []byte) (int, error) {
	n, _, err := l.conn.ReadFrom(b)
	return n, err
}

// send sends a frame out of the bridge.
func (l *link) send(frame []byte) error {
	_, err := l.conn.WriteTo(frame, &packet.Addr{HardwareAddr: net.HardwareAddr(frame[:6])})
	return err
}

func (l *link) close() error {
	if l.swallow >= 0 {
		unix.Close(l.swallow)
	}
	return l.conn.Close()
}

// isTransient reports whether the socket may work again: a packet socket tells
// once when its interface goes down.
func isTransient(err error) bool { return errors.Is(err, unix.ENETDOWN) }
