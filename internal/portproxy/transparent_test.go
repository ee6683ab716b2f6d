package portproxy

import (
	"errors"
	"net"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hostnat/hostnat/dev/lab"
)

const (
	serverAddress = "172.16.1.2:443"
	clientAddress = "203.0.113.2"
)

// transparentHost is a host with a server behind it whose answers to anybody
// come to the host itself, as the data path's mark has it.
func transparentHost(t *testing.T) (host *lab.Namespace, server net.Listener) {
	t.Helper()
	lab.RequireRoot(t)
	var inside *lab.Namespace
	for _, n := range []**lab.Namespace{&host, &inside} {
		made, err := lab.NewNamespace("transparent")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { made.Close() })
		*n = made
	}
	if err := errors.Join(
		lab.Veth(host, "in0", inside, "eth0"),
		host.AddAddress("in0", "172.16.1.1/24"), inside.AddAddress("eth0", "172.16.1.2/24"),
		inside.AddRoute("0.0.0.0/0", "172.16.1.1"),
		host.Sysctl("net/ipv4/conf/all/rp_filter", "1"),
	); err != nil {
		t.Fatal(err)
	}
	for _, argv := range [][]string{
		{"ip", "route", "add", "local", "default", "dev", "lo", "table", "100"},
		{"ip", "rule", "add", "iif", "in0", "lookup", "100"},
		{"ip", "route", "add", "203.0.113.0/24", "dev", "lo"},
	} {
		if out, err := host.Command(t.Context(), argv...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %v\n%s", argv, err, out)
		}
	}
	server, err := inside.Listen("tcp4", serverAddress)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Close() })
	return host, server
}

// connectAs makes a connection to the server and returns whom that sees.
func connectAs(t *testing.T, host *lab.Namespace, server net.Listener, client netip.AddrPort) netip.AddrPort {
	t.Helper()
	err := host.Do(func() error {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		t.Cleanup(func() { unix.Close(fd) })
		limit := unix.NsecToTimeval(int64(10 * time.Second))
		if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &limit); err != nil {
			return err
		}
		if err := transparent(fd, client); err != nil {
			return err
		}
		return unix.Connect(fd, sockaddr(netip.MustParseAddrPort(serverAddress)))
	})
	if err != nil {
		t.Fatalf("connect as %s: %v", client, err)
	}
	conn, err := server.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn.RemoteAddr().(*net.TCPAddr).AddrPort()
}

func TestTransparent(t *testing.T) {
	t.Parallel()
	host, server := transparentHost(t)
	busy, err := host.Listen("tcp4", ":41000")
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	own := netip.MustParseAddrPort(clientAddress + ":40000")
	other := netip.MustParseAddrPort("203.0.113.3:40000")
	for _, client := range []netip.AddrPort{own, other} {
		if got := connectAs(t, host, server, client); got != client {
			t.Errorf("client %s: the server sees %s", client, got)
		}
	}
	t.Run("a port that the host listens on", func(t *testing.T) {
		client := netip.AddrPortFrom(own.Addr(), 41000)
		if got := connectAs(t, host, server, client); got.Addr() != client.Addr() || got.Port() == client.Port() {
			t.Errorf("the server sees %s", got)
		}
	})
	t.Run("any port", func(t *testing.T) {
		if got := connectAs(t, host, server, netip.AddrPortFrom(own.Addr(), 0)); got.Addr() != own.Addr() {
			t.Errorf("the server sees %s", got)
		}
	})
	t.Run("the host may listen on a client's port", func(t *testing.T) {
		l, err := host.Listen("tcp4", ":40000")
		if err != nil {
			t.Fatal(err)
		}
		l.Close()
	})
	t.Run("the very same connection", func(t *testing.T) {
		err := host.Do(func() error {
			fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
			if err != nil {
				return err
			}
			defer unix.Close(fd)
			if err := transparent(fd, own); err != nil {
				return err
			}
			return unix.Connect(fd, sockaddr(netip.MustParseAddrPort(serverAddress)))
		})
		if !errors.Is(err, unix.EADDRNOTAVAIL) {
			t.Errorf("connect says %v, want EADDRNOTAVAIL", err)
		}
	})
}
