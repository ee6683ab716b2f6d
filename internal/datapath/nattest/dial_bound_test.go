package nattest

import (
	"bytes"
	"context"
	"errors"
	"net"
	"net/netip"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hostnat/hostnat/dev/lab"
	"github.com/hostnat/hostnat/internal/datapath"
	"github.com/hostnat/hostnat/internal/datapath/dptest"
	"github.com/hostnat/hostnat/internal/datapath/dptest/wire"
	"github.com/hostnat/hostnat/internal/model"
)

// boundTo binds sockets to a link before anything else.
func boundTo(link string) func(_, _ string, c syscall.RawConn) error {
	return func(_, _ string, c syscall.RawConn) error {
		var bound error
		err := c.Control(func(fd uintptr) { bound = unix.BindToDevice(int(fd), link) })
		return errors.Join(err, bound)
	}
}

// A program that is bound to a network's bridge has large answers, hears of closed ports, and
// reaches the endpoint itself at a port that the host has published for another.
func TestBoundToABridge(t *testing.T) {
	t.Parallel()
	r := newDialRig(t)
	r.AddReassembly(t)
	r.Config.Endpoints[0].MTU = 1500
	r.Config.Mappings[3] = toEndpoint(model.UDP, "0.0.0.0:9090", 90)
	r.Config.Mappings[4] = toEndpoint(model.TCP, "0.0.0.0:9090", 90)
	r.Config.Mappings[5] = toEndpoint(model.UDP, "0.0.0.0:9091", 91)
	r.Apply(t)
	ctx, cancel := context.WithTimeout(t.Context(), 5*wire.Patience)
	defer cancel()
	var dialler wire.Peer
	wire.Must(t, r.Host.Do(func() error {
		config := net.ListenConfig{Control: boundTo("br1")}
		conn, err := config.ListenPacket(ctx, "udp4", ":0")
		if err == nil {
			dialler = wire.Peer{UDPConn: conn.(*net.UDPConn)}
		}
		return err
	}))
	defer dialler.Close()
	server := wire.Listen(t, r.Endpoints[0], "172.16.1.2:90")
	for _, to := range []string{"127.0.0.1:9090", lab.HostAddress + ":9090", "172.16.1.1:9090"} {
		for _, size := range []int{1, 1472, 1473, 4000, 40000} {
			question, answer := string(bytes.Repeat([]byte{'q'}, size)), string(bytes.Repeat([]byte{'a'}, size))
			dialler.Send(t, netip.MustParseAddrPort(to), question)
			got, from := server.Receive(t)
			if got != question {
				t.Fatalf("%d of %d bytes to %v arrived", len(got), size, to)
			}
			server.Send(t, from, answer)
			if got, from := dialler.Receive(t); got != answer || from.String() != to {
				t.Errorf("%d of %d bytes came back, from %v instead of %v", len(got), size, from, to)
			}
		}
		dial := func(network, to string) (conn net.Conn, err error) {
			err2 := r.Host.Do(func() error {
				d := net.Dialer{Control: boundTo("br1")}
				conn, err = d.DialContext(ctx, network, to)
				return nil
			})
			wire.Must(t, err2)
			return conn, err
		}
		if conn, err := dial("tcp4", to); !errors.Is(err, unix.ECONNREFUSED) { // nobody listens there
			t.Errorf("TCP to %s: %v, %v", to, conn, err)
		}
		conn, err := dial("udp4", to[:len(to)-1]+"1")
		wire.Must(t, err)
		defer conn.Close()
		wire.Must(t, conn.SetDeadline(time.Now().Add(wire.Patience)))
		_, err = conn.Write([]byte("anybody there?"))
		wire.Must(t, err)
		if _, err := conn.Read(make([]byte, 10)); !errors.Is(err, unix.ECONNREFUSED) {
			t.Errorf("UDP to %s: %v", to, err)
		}
	}
	reachesOwnPorts(t, ctx, r, dialler)
	direct := wire.Listen(t, r.Endpoints[0], wire.Inside(0, 9090).String())
	dialler.Send(t, wire.Inside(0, 9090), "directly")
	if got, _ := direct.Receive(t); got != "directly" {
		t.Errorf("the endpoint got %q", got)
	}
	// No endpoint is told that the host's addresses are on its link, or sees what was for them.
	for _, p := range r.AtEndpoint[0].Came(func(p wire.Packet) bool {
		return p.Ether == wire.EtherARP && netip.AddrFrom4([4]byte(p.Data[28:32])) == wire.HostAddress ||
			p.Ether == wire.EtherARP && netip.AddrFrom4([4]byte(p.Data[38:42])) == wire.HostAddress
	}) {
		t.Errorf("the endpoint saw %x", p.Data)
	}
}

// reachesOwnPorts asks the host's own servers, which no mapping has, as a program does that is bound to a
// bridge; one at a port that a mapping has on another address alone, too.
func reachesOwnPorts(t *testing.T, ctx context.Context, r *dptest.Rig, dialler wire.Peer) {
	t.Helper()
	r.Config.Mappings[6] = toEndpoint(model.UDP, "203.0.113.1:9092", 92)
	r.Config.Mappings[7] = toEndpoint(model.TCP, "203.0.113.1:9092", 92)
	r.Apply(t)
	for _, to := range []string{"127.0.0.1:9093", "127.0.0.1:9092", lab.HostAddress + ":9093", "172.16.1.1:9093"} {
		server := wire.Listen(t, r.Host, to)
		for _, size := range []int{1, 1473, 40000} {
			question, answer := string(bytes.Repeat([]byte{'q'}, size)), string(bytes.Repeat([]byte{'a'}, size))
			dialler.Send(t, netip.MustParseAddrPort(to), question)
			got, from := server.Receive(t)
			if got != question || from.Addr().String() != "172.16.1.1" {
				t.Fatalf("%d of %d bytes to %v arrived, from %v", len(got), size, to, from)
			}
			server.Send(t, from, answer)
			if got, from := dialler.Receive(t); got != answer || from.String() != to {
				t.Errorf("%d of %d bytes came back, from %v instead of %v", len(got), size, from, to)
			}
		}
		echo, err := lab.EchoServer(r.Host, "tcp", to)
		wire.Must(t, err)
		defer echo.Close()
		var conn net.Conn
		wire.Must(t, r.Host.Do(func() (err error) {
			conn, err = (&net.Dialer{Control: boundTo("br1")}).DialContext(ctx, "tcp4", to)
			return err
		}))
		if seen, err := lab.AskConn(ctx, conn); err != nil || seen.Addr().String() != "172.16.1.1" {
			t.Errorf("TCP to %s: seen as %v, %v", to, seen, err)
		}
		conn.Close()
	}
	var conn net.Conn
	var err error
	wire.Must(t, r.Host.Do(func() error {
		conn, err = (&net.Dialer{Control: boundTo("br1")}).DialContext(ctx, "tcp4", lab.HostAddress+":9094")
		return nil
	}))
	if !errors.Is(err, unix.ECONNREFUSED) { // nobody listens there
		t.Errorf("TCP to a closed port of the host: %v, %v", conn, err)
	}
}

// While there are no mappings, a program that is bound to a bridge hears at once, or after the
// kernel's three questions, that nobody on it has the host's other addresses: as where no
// network is hostnat's.
func TestBoundToABridgeWithoutMappings(t *testing.T) {
	t.Parallel()
	r := newDialRig(t)
	r.Config.Mappings = map[uint32]datapath.Mapping{}
	r.Apply(t)
	wire.Must(t, r.Host.Do(func() error {
		_, err := (&net.Dialer{Control: boundTo("br1"), Timeout: 4 * wire.Patience}).DialContext(t.Context(), "tcp4", lab.HostAddress+":9093")
		if !errors.Is(err, unix.EHOSTUNREACH) {
			t.Errorf("%v", err)
		}
		return nil
	}))
}
