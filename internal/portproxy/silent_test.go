package portproxy

import (
	"context"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hostnat/hostnat/internal/model"
)

// A server that does not answer has its time; then comes the next address, and
// after the last one the client is reset.
func TestServerDoesNotAnswer(t *testing.T) {
	t.Parallel()
	_, port, _ := net.SplitHostPort(serve(t, "127.0.0.22:0", echo))
	number, _ := strconv.Atoi(port)
	neverAccepts(t, netip.AddrPortFrom(address(t, "127.0.0.21"), uint16(number)))
	two, one := proxy(t, model.V4ToV4, model.TCP, "two.example:"+port), proxy(t, model.V4ToV4, model.TCP, "127.0.0.21:"+port)
	one.ID = 2
	e := start(t, func(context.Context, string) ([]netip.Addr, error) {
		return []netip.Addr{address(t, "127.0.0.21"), address(t, "127.0.0.22")}, nil
	})
	e.Apply(configuration(two, one))
	eventually(t, func() bool { return e.States()[1].Problem == "" })

	for _, p := range []model.Proxy{two, one} {
		c := dial(t, p.Listen.String())
		_ = c.SetDeadline(time.Now().Add(setupTime + patience))
		_, _ = c.Write([]byte("x"))
		defer func() {
			_, err := c.Read(make([]byte, 1))
			if taken := err == nil; taken != (p.ID == two.ID) {
				t.Errorf("%s: %v", p.Connect, err)
			}
		}()
	}
	eventuallyWithin(t, setupTime+patience, func() bool {
		return strings.Contains(e.States()[2].LastError, "connect to "+one.Connect.String()+": connection timed out")
	})
}

// neverAccepts listens and has no place for connections: the kernel drops the
// packets that ask for one.
func neverAccepts(t *testing.T, at netip.AddrPort) {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	if err := unix.Bind(fd, sockaddr(at)); err != nil {
		t.Fatal(err)
	}
	if err := unix.Listen(fd, 0); err != nil {
		t.Fatal(err)
	}
	for range 10 {
		c, err := net.DialTimeout("tcp", at.String(), 200*time.Millisecond)
		if err != nil {
			return
		}
		t.Cleanup(func() { c.Close() })
	}
	t.Fatal("it takes any number of connections")
}
