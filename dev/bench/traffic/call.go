// Package traffic sends and receives, and counts frames on links by small programs.
package traffic

import (
	"errors"
	"net/netip"

	"golang.org/x/sys/unix"
)

// Go's scheduler sends signals to its threads, and a call on a socket with a
// timeout is not taken up again after one. These are.

func again[T any](call func() (T, error)) (T, error) {
	for {
		v, err := call()
		if !errors.Is(err, unix.EINTR) {
			return v, err
		}
	}
}

// Read receives what is there.
func Read(fd int, b []byte) (int, error) {
	return again(func() (int, error) { return unix.Read(fd, b) })
}

// Write sends.
func Write(fd int, b []byte) (int, error) {
	return again(func() (int, error) { return unix.Write(fd, b) })
}

// Receive takes a datagram and says from whom.
func Receive(fd int, b []byte) (n int, from unix.Sockaddr, err error) {
	n, err = again(func() (n int, err error) {
		n, from, err = unix.Recvfrom(fd, b, 0)
		return n, err
	})
	return n, from, err
}

// Accept waits for a connection.
func Accept(listener int) (int, error) {
	return again(func() (int, error) {
		fd, _, err := unix.Accept4(listener, unix.SOCK_CLOEXEC)
		return fd, err
	})
}

// connect goes on waiting if a signal came: the connection is being made then.
func connect(fd int, to netip.AddrPort) error {
	err := unix.Connect(fd, sockaddr(to))
	if !errors.Is(err, unix.EINTR) {
		return err
	}
	ready := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}
	n, err := again(func() (int, error) { return unix.Poll(ready, int(Patience.Milliseconds())) })
	if err != nil {
		return err
	}
	if n == 0 {
		return unix.EINPROGRESS
	}
	code, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ERROR)
	if err == nil && code != 0 {
		err = unix.Errno(code)
	}
	return err
}
