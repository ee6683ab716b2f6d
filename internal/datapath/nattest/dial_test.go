package nattest

import (
	"context"
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/hostnat/hostnat/dev/lab"
	"github.com/hostnat/hostnat/internal/datapath/dptest"
	"github.com/hostnat/hostnat/internal/datapath/dptest/wire"
	"github.com/hostnat/hostnat/internal/model"
)

// newDialRig publishes endpoint 0's ports 80 (TCP and UDP) at 8080, and hooks
// the sockets of the host.
func newDialRig(t *testing.T) *dptest.Rig {
	t.Helper()
	r := dptest.NewRig(t, 1)
	for id, protocol := range map[uint32]model.Protocol{1: model.TCP, 2: model.UDP} {
		r.Config.Mappings[id] = dptest.Mapping(protocol, "0.0.0.0:8080", wire.Inside(0, 80))
	}
	r.Apply(t)
	r.AttachHost(t)
	wire.Must(t, r.Host.Sysctl("net/ipv6/conf/lo/disable_ipv6", "0"))
	for _, network := range []string{"tcp", "udp"} {
		server, err := lab.EchoServer(r.Endpoints[0], network, "172.16.1.2:80")
		wire.Must(t, err)
		t.Cleanup(func() { server.Close() })
	}
	return r
}

// From the host every address of its own leads to the mapping, IPv6 sockets
// count, and the program is shown what it dialled.
func TestHostReachesMappings(t *testing.T) {
	t.Parallel()
	r := newDialRig(t)
	for _, address := range []string{lab.HostAddress + ":8080", "127.0.0.1:8080", "127.0.0.2:8080", "172.16.1.1:8080", "[::1]:8080"} {
		for _, network := range []string{"tcp", "udp"} {
			t.Run(network+" "+address, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), wire.Patience)
				defer cancel()
				conn, err := r.Host.Dial(ctx, network, address)
				if err != nil {
					t.Fatal(err)
				}
				defer conn.Close()
				seen, err := lab.AskConn(ctx, conn)
				if err != nil {
					t.Fatal(err)
				}
				if want := netip.MustParseAddr("172.16.1.1"); seen.Addr() != want {
					t.Errorf("the server saw %v, want the gateway's address", seen)
				}
				if got := conn.RemoteAddr().String(); got != address {
					t.Errorf("getpeername says %s, want what was dialled, %s", got, address)
				}
			})
		}
	}
}

// An unconnected UDP socket gets its answers from the address it sent to.
func TestHostReachesMappingsByUnconnectedSocket(t *testing.T) {
	t.Parallel()
	r := newDialRig(t)
	conn := wire.Listen(t, r.Host, ":0")
	for _, address := range []string{"127.0.0.1:8080", lab.HostAddress + ":8080"} {
		to := netip.MustParseAddrPort(address)
		conn.Send(t, to, "who am I?")
		if _, from := conn.Receive(t); from != to {
			t.Errorf("sent to %v, answered from %v", to, from)
		}
	}
}

// A dual-stack program (Java) dials IPv4 as ::ffff:a.b.c.d.
func TestHostReachesMappingsByMappedAddress(t *testing.T) {
	t.Parallel()
	r := newDialRig(t)
	wire.Must(t, r.Host.Do(func() error {
		fd, err := unix.Socket(unix.AF_INET6, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		to := &unix.SockaddrInet6{Port: 8080, Addr: netip.MustParseAddr("::ffff:127.0.0.1").As16()}
		if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &unix.Timeval{Sec: 5}); err != nil {
			return err
		}
		if err := unix.Connect(fd, to); err != nil {
			return err
		}
		peer, err := unix.Getpeername(fd)
		if err != nil {
			return err
		}
		if got := peer.(*unix.SockaddrInet6); got.Addr != to.Addr || got.Port != to.Port {
			t.Errorf("getpeername says %v port %d", netip.AddrFrom16(got.Addr), got.Port)
		}
		return nil
	}))
}

// A mapping on loopback answers the host alone: nobody else, not even one on
// the same wire who sends to 127.0.0.1 by the host's MAC (moby#45610).
func TestMappingOnLoopbackIsTheHostsAlone(t *testing.T) {
	t.Parallel()
	r := newDialRig(t)
	wire.Must(t, r.Host.Sysctl("net/ipv4/conf/all/route_localnet", "1")) // as some tools leave it
	r.Config.Mappings[3] = dptest.Mapping(model.UDP, "127.0.0.1:9090", wire.Inside(0, 90))
	r.Apply(t)
	server := wire.Listen(t, r.Endpoints[0], "172.16.1.2:90")
	host := wire.Listen(t, r.Host, ":0")
	host.Send(t, netip.MustParseAddrPort("127.0.0.1:9090"), "from the host")
	server.Expect(t, "from the host")
	to := netip.MustParseAddrPort("127.0.0.1:9090")
	r.FromRemote(t, wire.Segment{Protocol: model.UDP, From: netip.AddrPortFrom(wire.RemoteAddress, 77), To: to, Payload: []byte("from the wire")})
	r.FromEndpoint(t, 0, wire.Segment{Protocol: model.UDP, From: wire.Inside(0, 4000), To: to, Payload: []byte("from an endpoint")})
	host.Send(t, netip.AddrPortFrom(wire.HostAddress, 9090), "by another address")
	host.Send(t, netip.MustParseAddrPort("127.0.0.1:9090"), "marker")
	server.Expect(t, "marker")
}

// What is not mapped, not an address of the host, or of another namespace is
// left alone; a mapping for some remotes is for the host only if it is one.
func TestHostDialsAreOtherwiseLeftAlone(t *testing.T) {
	t.Parallel()
	r := newDialRig(t)
	r.Config.Mappings[3] = dptest.Mapping(model.TCP, "0.0.0.0:8081", wire.Inside(0, 80), "192.0.2.0/24")
	r.Config.Mappings[4] = dptest.Mapping(model.TCP, "0.0.0.0:8082", wire.Inside(0, 80), "127.0.0.0/8")
	r.Apply(t)
	ctx, cancel := context.WithTimeout(t.Context(), wire.Patience)
	defer cancel()
	own, err := lab.EchoServer(r.Host, "tcp", "127.0.0.1:9000")
	wire.Must(t, err)
	defer own.Close()
	if seen, err := lab.Ask(ctx, r.Host, "tcp", "127.0.0.1:9000"); err != nil || !seen.Addr().IsLoopback() {
		t.Errorf("the host's own service saw %v: %v", seen, err)
	}
	for where, n := range map[string]*lab.Namespace{"127.0.0.1:8081": r.Host, "127.0.0.1:8080": r.Remote} {
		if conn, err := n.Dial(ctx, "tcp", where); err == nil {
			conn.Close()
			t.Errorf("%s in %s answered", where, n.Name)
		}
	}
	if _, err := lab.Ask(ctx, r.Host, "tcp", "127.0.0.1:8082"); err != nil {
		t.Errorf("a mapping open to loopback: %v", err)
	}
	remote, err := lab.EchoServer(r.Remote, "tcp", lab.RemoteAddress+":8080") // another machine's port of that number
	wire.Must(t, err)
	defer remote.Close()
	if seen, err := lab.Ask(ctx, r.Host, "tcp", lab.RemoteAddress+":8080"); err != nil || seen.Addr() != wire.HostAddress {
		t.Errorf("another machine's port saw %v: %v", seen, err)
	}
}
