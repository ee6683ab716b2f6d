package nattest

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hostnat/hostnat/dev/lab"
	"github.com/hostnat/hostnat/internal/datapath"
	"github.com/hostnat/hostnat/internal/datapath/dptest"
	"github.com/hostnat/hostnat/internal/datapath/dptest/wire"
	"github.com/hostnat/hostnat/internal/model"
)

// Megabytes there and back, by segments as large as the stack makes them.
func TestHostsConnectionsCarryBulk(t *testing.T) {
	t.Parallel()
	r := newDialRig(t)
	r.RaiseSegments(t, 0)
	sent := make([]byte, 16<<20)
	_, _ = rand.Read(sent)
	for _, address := range []string{"127.0.0.1:8080", lab.HostAddress + ":8080", "[::1]:8080"} {
		t.Run(address, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			conn, err := r.Host.Dial(ctx, "tcp", address)
			wire.Must(t, err)
			defer conn.Close()
			deadline, _ := ctx.Deadline()
			wire.Must(t, conn.SetDeadline(deadline))
			if _, err := lab.AskConn(ctx, conn); err != nil {
				t.Fatal(err)
			}
			wire.Must(t, conn.SetDeadline(deadline))
			failed := make(chan error, 1)
			go func() {
				_, err := conn.Write(sent)
				failed <- errors.Join(err, conn.(*net.TCPConn).CloseWrite())
			}()
			got, err := io.ReadAll(conn)
			if err := errors.Join(err, <-failed); err != nil || !bytes.Equal(got, sent) {
				t.Errorf("%d of %d bytes came back, the same: %v: %v", len(got), len(sent), bytes.Equal(got, sent), err)
			}
		})
	}
}

// The loopback interface carries more at once than an endpoint's link: datagrams
// are cut on the way there, and put together on the way back.
func TestHostsLargeDatagrams(t *testing.T) {
	t.Parallel()
	r := newDialRig(t)
	r.AddReassembly(t)
	r.Config.Endpoints[0].MTU = 1500
	r.Config.Mappings[3] = toEndpoint(model.UDP, "0.0.0.0:9090", 90)
	r.Apply(t)
	server := wire.Listen(t, r.Endpoints[0], "172.16.1.2:90")
	for _, address := range []string{"127.0.0.1:9090", lab.HostAddress + ":9090", "[::1]:9090"} {
		to := netip.MustParseAddrPort(address)
		dialler := wire.Listen(t, r.Host, map[bool]string{false: ":0", true: "[::1]:0"}[to.Addr().Is6()])
		for _, size := range []int{1, 1472, 1473, 4000, 40000} {
			question, answer := string(bytes.Repeat([]byte{'q'}, size)), string(bytes.Repeat([]byte{'a'}, size))
			dialler.Send(t, to, question)
			got, from := server.Receive(t)
			if got != question {
				t.Fatalf("%d of %d bytes to %v arrived", len(got), size, to)
			}
			server.Send(t, from, answer)
			if got, from := dialler.Receive(t); got != answer || from != to {
				t.Errorf("%d of %d bytes came back, from %v instead of %v", len(got), size, from, to)
			}
		}
	}
}

// Where nobody listens in the endpoint, a program of the host is told at once.
func TestHostIsToldOfClosedPorts(t *testing.T) {
	t.Parallel()
	r := newDialRig(t)
	r.Config.Mappings[3] = toEndpoint(model.UDP, "0.0.0.0:9090", 90)
	r.Config.Mappings[4] = toEndpoint(model.TCP, "0.0.0.0:9090", 90)
	r.Apply(t)
	ctx, cancel := context.WithTimeout(t.Context(), wire.Patience)
	defer cancel()
	for _, address := range []string{"127.0.0.1:9090", lab.HostAddress + ":9090", "[::1]:9090"} {
		if conn, err := r.Host.Dial(ctx, "tcp", address); !errors.Is(err, unix.ECONNREFUSED) {
			t.Errorf("TCP to %s: %v, %v", address, conn, err)
		}
		conn, err := r.Host.Dial(ctx, "udp", address)
		wire.Must(t, err)
		defer conn.Close()
		wire.Must(t, conn.SetDeadline(time.Now().Add(wire.Patience)))
		_, err = conn.Write([]byte("anybody there?"))
		wire.Must(t, err)
		if _, err := conn.Read(make([]byte, 10)); !errors.Is(err, unix.ECONNREFUSED) {
			t.Errorf("UDP to %s: %v", address, err)
		}
	}
	for _, address := range []string{"127.0.0.1", lab.HostAddress} {
		for _, kind := range []int{unix.SOCK_STREAM, unix.SOCK_DGRAM} {
			wire.Must(t, r.Host.Do(func() error {
				if err := askMapped(kind, address, 9090); !errors.Is(err, unix.ECONNREFUSED) {
					t.Errorf("a socket of kind %d to ::ffff:%s: %v", kind, address, err)
				}
				return nil
			}))
		}
	}
}

// askMapped dials the v4-mapped form of an address by an IPv6 socket, and returns how that ends.
func askMapped(kind int, address string, port int) error {
	fd, err := unix.Socket(unix.AF_INET6, kind|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	patience := unix.NsecToTimeval(wire.Patience.Nanoseconds())
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &patience); err != nil {
		return err
	}
	to := &unix.SockaddrInet6{Port: port, Addr: netip.AddrFrom16(netip.MustParseAddr(address).As16()).As16()}
	if err := unix.Connect(fd, to); err != nil {
		return err
	}
	if _, err := unix.Write(fd, []byte("anybody there?")); err != nil {
		return err
	}
	_, err = unix.Read(fd, make([]byte, 10))
	return err
}

// Nothing is published over IPv6: a program that listens there has what is sent
// to [::1], and the mapping has it again when the program has gone.
func TestProgramOnIPv6LoopbackKeepsItsPort(t *testing.T) {
	t.Parallel()
	r := newDialRig(t)
	ctx, cancel := context.WithTimeout(t.Context(), 4*wire.Patience)
	defer cancel()
	for _, network := range []string{"tcp", "udp"} {
		for _, listen := range []string{"[::1]:8080", "[::]:8080"} {
			own, err := lab.EchoServer(r.Host, network+"6", listen)
			wire.Must(t, err)
			if seen, err := lab.Ask(ctx, r.Host, network, "[::1]:8080"); err != nil || seen.Addr() != netip.IPv6Loopback() {
				t.Errorf("%s on %s saw %v: %v", network, listen, seen, err)
			}
			if seen, err := lab.Ask(ctx, r.Host, network, "127.0.0.1:8080"); err != nil || seen.Addr() != netip.MustParseAddr("172.16.1.1") {
				t.Errorf("%s by IPv4, while one listens on %s: %v saw it: %v", network, listen, seen, err)
			}
			own.Close()
		}
		if seen, err := lab.Ask(ctx, r.Host, network, "[::1]:8080"); err != nil || seen.Addr() != netip.MustParseAddr("172.16.1.1") {
			t.Errorf("%s afterwards: %v: %v", network, seen, err)
		}
	}
}

// A connection of the host to itself that there was before the mapping goes on.
func TestMappingLeavesTheHostsConnections(t *testing.T) {
	t.Parallel()
	r := newDialRig(t)
	ctx, cancel := context.WithTimeout(t.Context(), wire.Patience)
	defer cancel()
	own, err := lab.EchoServer(r.Host, "tcp", "127.0.0.1:9090")
	wire.Must(t, err)
	defer own.Close()
	conn, err := r.Host.Dial(ctx, "tcp", "127.0.0.1:9090")
	wire.Must(t, err)
	defer conn.Close()
	_, err = lab.AskConn(ctx, conn)
	wire.Must(t, err)
	r.Config.Mappings[3] = toEndpoint(model.TCP, "0.0.0.0:9090", 80)
	r.Apply(t)
	wire.Must(t, conn.SetDeadline(time.Now().Add(wire.Patience)))
	_, err = conn.Write([]byte("still there?"))
	wire.Must(t, err)
	if _, err := io.ReadFull(conn, make([]byte, len("still there?"))); err != nil {
		t.Errorf("the connection of before: %v", err)
	}
	if seen, err := lab.Ask(ctx, r.Host, "tcp", "127.0.0.1:9090"); err != nil || seen.Addr() != netip.MustParseAddr("172.16.1.1") {
		t.Errorf("a new one was seen as %v: %v", seen, err)
	}
	delete(r.Config.Mappings, 3)
	r.Apply(t)
	if seen, err := lab.Ask(ctx, r.Host, "tcp", "127.0.0.1:9090"); err != nil || !seen.Addr().IsLoopback() {
		t.Errorf("after the mapping's end: %v: %v", seen, err)
	}
}

// Many programs of the host at once have a session each, and each its own answers.
func TestManyDiallersAtOnce(t *testing.T) {
	t.Parallel()
	r := newDialRig(t)
	const diallers = 300
	to := netip.MustParseAddrPort("127.0.0.1:8080")
	seen := make(map[string]bool)
	for range diallers {
		conn := wire.Listen(t, r.Host, "127.0.0.1:0")
		conn.Send(t, to, "who am I?")
		answer, from := conn.Receive(t)
		if from != to {
			t.Fatalf("answered from %v", from)
		}
		seen[answer] = true
	}
	if len(seen) != diallers {
		t.Errorf("%d programs were seen as %d", diallers, len(seen))
	}
}

func toEndpoint(p model.Protocol, external string, port uint16) datapath.Mapping {
	return dptest.Mapping(p, external, wire.Inside(0, port))
}

// An answer without a UDP checksum, in one piece and in several, reaches a program that dialled by
// IPv6, which has none such; one whose checksum is wrong does not, in pieces neither.
func TestAnswersWithoutChecksum(t *testing.T) {
	t.Parallel()
	r := newDialRig(t)
	r.AddReassembly(t)
	r.Config.Endpoints[0].MTU = 1500
	r.Config.Mappings[3] = toEndpoint(model.UDP, "0.0.0.0:9090", 90)
	r.Apply(t)
	server := wire.Listen(t, r.Endpoints[0], "172.16.1.2:90")
	for _, address := range []string{"[::1]:9090", "127.0.0.1:9090"} {
		to := netip.MustParseAddrPort(address)
		dialler := wire.Listen(t, r.Host, map[bool]string{false: ":0", true: "[::1]:0"}[to.Addr().Is6()])
		dialler.Send(t, to, "question")
		_, from := server.Receive(t)
		answer := func(text string, sum func(is uint16) uint16, pieces int) {
			d := wire.Segment{Protocol: model.UDP, From: wire.Inside(0, 90), To: from, ID: uint16(len(text)), Payload: []byte(text)}.IP()
			binary.BigEndian.PutUint16(d[26:], sum(binary.BigEndian.Uint16(d[26:])))
			for _, piece := range wire.CutUp(d, (len(d)-20)/pieces/8*8+8) {
				r.Send(t, r.Endpoints[0], "eth0", wire.Ethernet(dptest.EndpointMAC(0), wire.GatewayMAC, wire.EtherIPv4, piece))
			}
		}
		none := func(uint16) uint16 { return 0 }
		wrong := func(is uint16) uint16 { return is ^ 0x1234 }
		for _, text := range []string{"a", strings.Repeat("b", 1400)} {
			answer(text+"wrong", wrong, 1)
			answer(text+"wrong in pieces", wrong, 3)
			for pieces := range 3 {
				answer(text, none, pieces+1)
				if got, by := dialler.Receive(t); got != text || by != to {
					t.Errorf("%s: %d bytes %.20q in %d pieces came from %v, want %d", address, len(got), got, pieces+1, by, len(text))
				}
			}
		}
	}
}
