package portproxy

import (
	"net/netip"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Calls that never wait, but carry packets through the whole stack before they
// return: tens of microseconds. Go's scheduler would take such a thread for blocked,
// give its place to another one and have to wake it again; so it is not told.
// (Measured: a fifth of a connection's cost.)

// splice moves bytes from or to a pipe. More says that something else follows at
// once: what is moved may wait for that.
func splice(from, to, size int, more bool) (int, error) {
	flags := uintptr(unix.SPLICE_F_MOVE | unix.SPLICE_F_NONBLOCK)
	if more {
		flags |= unix.SPLICE_F_MORE
	}
	n, _, errno := unix.RawSyscall6(unix.SYS_SPLICE, uintptr(from), 0, uintptr(to), 0, uintptr(size), flags)
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}

// accept takes a connection from a listener. (That of package unix asks for the
// socket's protocol as well, to read the address: a call more.)
func accept(listener int) (fd int, from netip.AddrPort, err error) {
	var address unix.RawSockaddrInet6 // large enough for both kinds
	size := uint32(unix.SizeofSockaddrInet6)
	n, _, errno := unix.RawSyscall6(unix.SYS_ACCEPT4, uintptr(listener), uintptr(unsafe.Pointer(&address)),
		uintptr(unsafe.Pointer(&size)), unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0, 0)
	if errno != 0 {
		return -1, netip.AddrPort{}, errno
	}
	return int(n), rawAddress(&address), nil
}

func localAddress(fd int) (netip.AddrPort, error) {
	var address unix.RawSockaddrInet6
	size := uint32(unix.SizeofSockaddrInet6)
	_, _, errno := unix.RawSyscall(unix.SYS_GETSOCKNAME, uintptr(fd), uintptr(unsafe.Pointer(&address)), uintptr(unsafe.Pointer(&size)))
	if errno != 0 {
		return netip.AddrPort{}, errno
	}
	return rawAddress(&address), nil
}

// rawAddress reads the address that the kernel has given of a TCP socket.
func rawAddress(a *unix.RawSockaddrInet6) netip.AddrPort {
	if a.Family == unix.AF_INET {
		four := (*unix.RawSockaddrInet4)(unsafe.Pointer(a))
		return netip.AddrPortFrom(netip.AddrFrom4(four.Addr), networkOrder(four.Port))
	}
	return netip.AddrPortFrom(netip.AddrFrom16(a.Addr).Unmap(), networkOrder(a.Port))
}

// shutdownWrite tells the peer that there is no more.
func shutdownWrite(fd int) error {
	if _, _, errno := unix.RawSyscall(unix.SYS_SHUTDOWN, uintptr(fd), unix.SHUT_WR, 0); errno != 0 {
		return errno
	}
	return nil
}

func closeSocket(fd int) { _, _, _ = unix.RawSyscall(unix.SYS_CLOSE, uintptr(fd), 0, 0) }

// isConnected returns nil if a connection that was begun is made, EAGAIN if that
// is open, else why it was not made. It sends nothing, which waits for the
// connection as something would.
func isConnected(fd int) error {
	_, _, errno := unix.RawSyscall6(unix.SYS_SENDTO, uintptr(fd), 0, 0, unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL, 0, 0)
	if errno != 0 {
		return errno
	}
	return nil
}

// begin starts to connect a socket that does not wait.
func begin(fd int, to netip.AddrPort) error {
	var err error
	if to.Addr().Is4() {
		err = connect4(fd, to)
	} else {
		err = unix.Connect(fd, sockaddr(to))
	}
	if err == unix.EINPROGRESS {
		return nil
	}
	return err
}

func connect4(fd int, to netip.AddrPort) error {
	address := unix.RawSockaddrInet4{Family: unix.AF_INET, Addr: to.Addr().As4(), Port: networkOrder(to.Port())}
	_, _, errno := unix.RawSyscall(unix.SYS_CONNECT, uintptr(fd), uintptr(unsafe.Pointer(&address)), unix.SizeofSockaddrInet4)
	if errno != 0 {
		return errno
	}
	return nil
}

// networkOrder is a port as the kernel reads it, and the other way round.
func networkOrder(port uint16) (n uint16) {
	b := (*[2]byte)(unsafe.Pointer(&n))
	b[0], b[1] = byte(port>>8), byte(port)
	return n
}
