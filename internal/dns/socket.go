package dns

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"syscall"

	"golang.org/x/sys/unix"
)

const port = 53

// sockets are what a server listens with, bound to one link: what arrives
// elsewhere for the same address is not for them.
type sockets struct {
	link string
	udp  *net.UDPConn
	tcp  *net.TCPListener
}

// openSockets listens on an address at a link.
func openSockets(ctx context.Context, link string, address netip.Addr) (*sockets, error) {
	at := netip.AddrPortFrom(address, port).String()
	config := net.ListenConfig{
		Control:         func(_, _ string, c syscall.RawConn) error { return bindToLink(c, link) },
		KeepAliveConfig: net.KeepAliveConfig{Enable: false},
	}
	config.SetMultipathTCP(false)
	udp, err := config.ListenPacket(ctx, "udp4", at)
	if err != nil {
		return nil, fmt.Errorf("UDP: %w", err)
	}
	tcp, err := config.Listen(ctx, "tcp4", at)
	if err != nil {
		udp.Close()
		return nil, fmt.Errorf("TCP: %w", err)
	}
	s := &sockets{link: link, udp: udp.(*net.UDPConn), tcp: tcp.(*net.TCPListener)}
	if err := setReceiveBuffer(s.udp); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

func (s *sockets) close() {
	s.udp.Close()
	s.tcp.Close()
}

func bindToLink(c syscall.RawConn, link string) error {
	var bound error
	err := c.Control(func(fd uintptr) { bound = unix.BindToDevice(int(fd), link) })
	if err != nil {
		return err
	}
	return bound
}

// bound reports whether the link is still the one that was bound to: not if it
// was deleted, though there may be another of that name.
func (s *sockets) bound() bool {
	raw, err := s.udp.SyscallConn()
	if err != nil {
		return false
	}
	name := ""
	err = raw.Control(func(fd uintptr) {
		name, _ = unix.GetsockoptString(int(fd), unix.SOL_SOCKET, unix.SO_BINDTODEVICE)
	})
	return err == nil && name == s.link
}
