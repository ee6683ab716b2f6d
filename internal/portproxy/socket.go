package portproxy

import (
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/pires/go-proxyproto"
	"golang.org/x/sys/unix"
)

// Keep-alive probes find peers that are gone without a word: after this many
// seconds of silence, this far apart, so many times.
const (
	keepIdle     = 60
	keepInterval = 15
	keepCount    = 6
)

func family(a netip.Addr) int {
	if a.Is4() {
		return unix.AF_INET
	}
	return unix.AF_INET6
}

func sockaddr(a netip.AddrPort) unix.Sockaddr {
	if a.Addr().Is4() {
		return &unix.SockaddrInet4{Port: int(a.Port()), Addr: a.Addr().As4()}
	}
	s := &unix.SockaddrInet6{Port: int(a.Port()), Addr: a.Addr().As16()}
	if zone := a.Addr().Zone(); zone != "" {
		if link, err := net.InterfaceByName(zone); err == nil {
			s.ZoneId = uint32(link.Index)
		}
	}
	return s
}

func addrPort(s unix.Sockaddr) netip.AddrPort {
	switch s := s.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(s.Addr), uint16(s.Port))
	case *unix.SockaddrInet6:
		return netip.AddrPortFrom(netip.AddrFrom16(s.Addr).Unmap(), uint16(s.Port))
	}
	return netip.AddrPort{}
}

// tcpSocket makes a socket for a connection to an address, by way of a link if
// one is given. See side.promptly and keepAlive: those are for later. Its port may be
// bound again once the connection is over (sourcePorts).
func tcpSocket(to netip.Addr, device string) (int, error) {
	fd, err := unix.Socket(family(to), unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("make a socket: %w", err)
	}
	err = setOption(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1)
	if err == nil && device != "" {
		unpaced(fd)
		if err = unix.BindToDevice(fd, device); err != nil {
			err = fmt.Errorf("use link %s: %w", device, err)
		}
	}
	if err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// unpaced has a connection to an endpoint send when it can. Hosts may be set to
// a congestion control that finds out what a path can carry and sends at that
// pace (BBR): over a link of this host it only costs a timer for each packet.
// Reno is in every kernel; were it not, the other would do.
func unpaced(fd int) { _ = unix.SetsockoptString(fd, unix.SOL_TCP, unix.TCP_CONGESTION, "reno") }

// noDelay has what comes in small go out small, at once. What a listener has,
// the connections have that it takes.
func noDelay(fd int) error { return setOption(fd, unix.SOL_TCP, unix.TCP_NODELAY, 1) }

func keepAlive(fd int) error {
	return errors.Join(
		setOption(fd, unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1),
		setOption(fd, unix.SOL_TCP, unix.TCP_KEEPIDLE, keepIdle),
		setOption(fd, unix.SOL_TCP, unix.TCP_KEEPINTVL, keepInterval),
		setOption(fd, unix.SOL_TCP, unix.TCP_KEEPCNT, keepCount),
	)
}

func setOption(fd, level, option, value int) error {
	if err := unix.SetsockoptInt(fd, level, option, value); err != nil {
		return fmt.Errorf("set socket option %d/%d: %w", level, option, err)
	}
	return nil
}

// listenSocket opens a TCP listener. IPv6 ones take no IPv4.
func listenSocket(at netip.AddrPort) (fd int, err error) {
	fd, err = unix.Socket(family(at.Addr()), unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	defer func() {
		if err != nil {
			unix.Close(fd)
			fd = -1
		}
	}()
	if err = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1); err != nil {
		return fd, err
	}
	if err = onlyOwnFamily(fd, at.Addr()); err != nil {
		return fd, err
	}
	if err = noDelay(fd); err != nil {
		return fd, err
	}
	if err = unix.Bind(fd, sockaddr(at)); err != nil {
		return fd, err
	}
	return fd, unix.Listen(fd, 4096)
}

// clientFirst has a listener give out connections once the client has said
// something; one that says nothing, after a second and a bit (tcp(7):
// TCP_DEFER_ACCEPT).
func clientFirst(fd int) error { return setOption(fd, unix.SOL_TCP, unix.TCP_DEFER_ACCEPT, 1) }

func onlyOwnFamily(fd int, a netip.Addr) error {
	if a.Is4() {
		return nil
	}
	return unix.SetsockoptInt(fd, unix.SOL_IPV6, unix.IPV6_V6ONLY, 1)
}

// proxyHeader is a PROXY protocol version 2 header for a TCP connection.
func proxyHeader(from, at netip.AddrPort) ([]byte, error) {
	return proxyproto.HeaderProxyFromAddrs(2, net.TCPAddrFromAddrPort(from), net.TCPAddrFromAddrPort(at)).Format()
}
