package sockets

import (
	"net"
	"net/netip"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/hostnat/hostnat/internal/host/hosttest"
)

// A connection on loopback is known by the user who has it; one that is not there is not.
func TestUserOf(t *testing.T) {
	t.Parallel()
	n := hosttest.New(t)
	for _, address := range []string{"127.0.0.1:80", "[::1]:80"} {
		ln, err := n.Listen("tcp", address)
		hosttest.Must(t, err)
		defer ln.Close()
		c, err := n.Dial(t.Context(), "tcp", address)
		hosttest.Must(t, err)
		defer c.Close()
		const somebody = 12345
		hosttest.Must(t, control(c, func(fd int) error { return unix.Fchown(fd, somebody, -1) }))
		client, server := netip.MustParseAddrPort(c.LocalAddr().String()), netip.MustParseAddrPort(address)
		hosttest.On(t, n, func() error {
			uid, err := UserOf(client, server)
			if uid != somebody {
				t.Errorf("%s: it is user %d's", address, uid)
			}
			return err
		})
		hosttest.On(t, n, func() error {
			if uid, err := UserOf(netip.AddrPortFrom(client.Addr(), client.Port()+1), server); err == nil {
				t.Errorf("%s: another port is user %d's", address, uid)
			}
			return nil
		})
	}
}

func control(c net.Conn, f func(fd int) error) error {
	raw, err := c.(syscall.Conn).SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	if err := raw.Control(func(fd uintptr) { failed = f(int(fd)) }); err != nil {
		return err
	}
	return failed
}
