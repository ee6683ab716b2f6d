package portproxy

import (
	"errors"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"
)

// transparent makes an IPv4 TCP socket that is not connected yet use the
// client's address as its own, and its port too, unless the host has that port
// in use: then any. Port 0 asks for any at once. The address need not be the
// host's (ip(7): IP_TRANSPARENT, needs CAP_NET_ADMIN); what is sent to it comes
// back only over links for which host.EnsureTransparentRoute was told.
func transparent(fd int, client netip.AddrPort) error {
	// With SO_REUSEADDR clients of different addresses may have the same port, and
	// connections of one client share one.
	err := errors.Join(setOption(fd, unix.SOL_IP, unix.IP_TRANSPARENT, 1), setOption(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1))
	if err != nil {
		return fmt.Errorf("make a socket transparent: %w", err)
	}
	err = bindTo(fd, client)
	if errors.Is(err, unix.EADDRINUSE) { // a program of the host listens on it
		err = bindTo(fd, netip.AddrPortFrom(client.Addr(), 0))
	}
	if err != nil {
		return fmt.Errorf("bind to the client's address %s: %w", client.Addr(), err)
	}
	return nil
}

func bindTo(fd int, address netip.AddrPort) error {
	if address.Port() == 0 {
		if err := setOption(fd, unix.SOL_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1); err != nil {
			return err
		}
	}
	return unix.Bind(fd, &unix.SockaddrInet4{Addr: address.Addr().As4(), Port: int(address.Port())})
}
