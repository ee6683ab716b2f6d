package portproxy

import (
	"net/netip"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Calls that never wait, but carry packets through the whole stack before they
// return: tens of microseconds. Go's scheduler would take such a thread for
// blocked, give its place to another one and have to wake it again; so it is not
// told. (Measured: a fifth of a connection's cost.)

func splice(from, to, size int) (int, error) {
	n, _, errno := unix.RawSyscall6(unix.SYS_SPLICE, uintptr(from), 0, uintptr(to), 0, uintptr(size), unix.SPLICE_F_MOVE|unix.SPLICE_F_NONBLOCK)
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}

// shutdownWrite tells the peer that there is no more.
func shutdownWrite(fd int) error {
	if _, _, errno := unix.RawSyscall(unix.SYS_SHUTDOWN, uintptr(fd), unix.SHUT_WR, 0); errno != 0 {
		return errno
	}
	return nil
}

func closeSocket(fd int) { _, _, _ = unix.RawSyscall(unix.SYS_CLOSE, uintptr(fd), 0, 0) }

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

// networkOrder is a port as the kernel reads it.
func networkOrder(port uint16) (n uint16) {
	b := (*[2]byte)(unsafe.Pointer(&n))
	b[0], b[1] = byte(port>>8), byte(port)
	return n
}
