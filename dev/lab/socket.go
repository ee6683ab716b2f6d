package lab

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"syscall"

	"golang.org/x/sys/unix"
)

// Listen opens a TCP listener inside n. The address is a literal, "10.0.0.1:80"
// or ":80". Its connections send no keepalives, so that nothing is on the wire
// but what a test sends, however slow the machine: Go's default is 15 seconds.
func (n *Namespace) Listen(network, addr string) (net.Listener, error) {
	config := net.ListenConfig{KeepAlive: -1}
	config.SetMultipathTCP(false) // plain TCP, as other programs' listeners are
	return inside(n, "listen", network, addr, func() (net.Listener, error) {
		return config.Listen(context.Background(), network, addr)
	})
}

// ListenPacket opens a UDP socket inside n.
func (n *Namespace) ListenPacket(network, addr string) (net.PacketConn, error) {
	return inside(n, "listen", network, addr, func() (net.PacketConn, error) {
		return net.ListenPacket(network, addr)
	})
}

// Dial connects from inside n to a literal address. It sends no keepalives either.
func (n *Namespace) Dial(ctx context.Context, network, addr string) (net.Conn, error) {
	return n.DialFrom(ctx, network, "", addr)
}

// DialFrom is Dial from a given local address ("10.0.0.2:4000", port 0: any).
func (n *Namespace) DialFrom(ctx context.Context, network, local, addr string) (net.Conn, error) {
	dialer := net.Dialer{KeepAlive: -1}
	if local != "" {
		from, err := netip.ParseAddrPort(local)
		if err != nil {
			return nil, fmt.Errorf("dial from %q: %w", local, err)
		}
		dialer.LocalAddr = net.TCPAddrFromAddrPort(from)
		if network[0] == 'u' {
			dialer.LocalAddr = net.UDPAddrFromAddrPort(from)
		}
	}
	return inside(n, "dial", network, addr, func() (net.Conn, error) {
		return dialer.DialContext(ctx, network, addr)
	})
}

// inside makes a socket inside n. Package net makes the socket for a literal
// address on the calling goroutine; for a name it would resolve first and might
// race several, so names are refused and the socket's namespace is checked.
func inside[S interface{ Close() error }](n *Namespace, verb, network, addr string, open func() (S, error)) (S, error) {
	var none, socket S
	if err := checkLiteral(addr); err != nil {
		return none, fmt.Errorf("%s %s in %s: %w", verb, addr, n.Name, err)
	}
	err := n.Do(func() (err error) {
		socket, err = open()
		return err
	})
	if err != nil {
		return none, fmt.Errorf("%s %s %s in %s: %w", verb, network, addr, n.Name, err)
	}
	if err := n.checkSocket(socket); err != nil {
		socket.Close()
		return none, fmt.Errorf("%s %s %s in %s: %w", verb, network, addr, n.Name, err)
	}
	return socket, nil
}

func checkLiteral(addr string) error {
	if addr == "" { // any address, no port
		return nil
	}
	host, _, err := net.SplitHostPort(addr)
	if err != nil || host == "" {
		return err
	}
	_, err = netip.ParseAddr(host)
	return err
}

func (n *Namespace) checkSocket(socket any) error {
	conn, ok := socket.(syscall.Conn)
	if !ok {
		return fmt.Errorf("%T has no file descriptor", socket)
	}
	raw, err := conn.SyscallConn()
	if err != nil {
		return err
	}
	var cookie uint64
	var optErr error
	if err := raw.Control(func(fd uintptr) {
		cookie, optErr = unix.GetsockoptUint64(int(fd), unix.SOL_SOCKET, unix.SO_NETNS_COOKIE)
	}); err != nil {
		return err
	}
	if optErr != nil {
		return fmt.Errorf("socket's namespace: %w", optErr)
	}
	if cookie != n.cookie {
		return fmt.Errorf("socket is in namespace %d, not %d", cookie, n.cookie)
	}
	return nil
}
