package traffic

import (
	"errors"
	"fmt"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"
)

// Blocking sockets without package net: a system call each, on a thread that
// is bound to a CPU, as a C program would have them.

// Patience is after what time a socket's call gives up.
const Patience = time.Second

// Socket opens one bound to local, which another socket may have had just now.
func Socket(kind int, local netip.AddrPort) (int, error) {
	fd, err := unix.Socket(unix.AF_INET, kind|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("open socket: %w", err)
	}
	limit := unix.NsecToTimeval(Patience.Nanoseconds())
	err = errors.Join(
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1),
		unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &limit),
		unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &limit),
		unix.Bind(fd, sockaddr(local)),
	)
	if err != nil {
		unix.Close(fd)
		return -1, fmt.Errorf("bind socket to %v: %w", local, err)
	}
	return fd, nil
}

// ListenTCP opens a listener.
func ListenTCP(local netip.AddrPort) (int, error) {
	fd, err := Socket(unix.SOCK_STREAM, local)
	if err != nil {
		return -1, err
	}
	if err := unix.Listen(fd, 4096); err != nil {
		unix.Close(fd)
		return -1, fmt.Errorf("listen on %v: %w", local, err)
	}
	return fd, nil
}

// Connected opens a socket and connects it.
func Connected(kind int, local, remote netip.AddrPort) (int, error) {
	fd, err := Socket(kind, local)
	if err != nil {
		return -1, err
	}
	if err := connect(fd, remote); err != nil {
		unix.Close(fd)
		return -1, fmt.Errorf("connect %v to %v: %w", local, remote, err)
	}
	return fd, nil
}

func sockaddr(a netip.AddrPort) *unix.SockaddrInet4 {
	return &unix.SockaddrInet4{Addr: a.Addr().As4(), Port: int(a.Port())}
}

// TimedOut says whether a call ended since Patience did.
func TimedOut(err error) bool {
	return errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINPROGRESS)
}
