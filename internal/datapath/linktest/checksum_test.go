package linktest

import (
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/hostnat/hostnat/dev/lab"
	"github.com/hostnat/hostnat/internal/datapath/dptest"
	"github.com/hostnat/hostnat/internal/datapath/dptest/wire"
	"github.com/hostnat/hostnat/internal/model"
)

// Every capture of the rig checks every checksum; what is left to do here is to
// send what is hard to get right.

// setOffloads switches the offloads of all links that packets pass.
func setOffloads(t *testing.T, r *dptest.Rig, on bool) {
	t.Helper()
	wire.Must(t, r.Remote.SetOffloads(lab.RemoteLink, on))
	wire.Must(t, r.Host.SetOffloads(lab.HostLink, on))
	for i, c := range r.Endpoints {
		wire.Must(t, r.Host.SetOffloads(dptest.HostSide(i), on))
		wire.Must(t, c.SetOffloads("eth0", on))
	}
}

// bothOffloads runs a test on rigs with offloads on and off.
func bothOffloads(t *testing.T, test func(*testing.T, *dptest.Rig, bool)) {
	t.Helper()
	for _, on := range []bool{true, false} {
		t.Run(fmt.Sprintf("offloads=%v", on), func(t *testing.T) {
			t.Parallel()
			r := dptest.NewRig(t, 1)
			setOffloads(t, r, on)
			test(t, r, on)
		})
	}
}

func TestChecksumsOfAllSizes(t *testing.T) {
	t.Parallel()
	bothOffloads(t, func(t *testing.T, r *dptest.Rig, _ bool) {
		client := wire.Listen(t, r.Endpoints[0], wire.Text(wire.EndpointAddress(0), "4000"))
		server := wire.Listen(t, r.Remote, lab.RemoteAddress+":7000")
		for _, size := range []int{0, 1, 2, 3, 17, 18, 19, 100, 511, 1471, 1472} {
			out, back := strings.Repeat("o", size), strings.Repeat("b", size)
			client.Send(t, netip.AddrPortFrom(wire.RemoteAddress, 7000), out)
			server.Send(t, server.Expect(t, out), back)
			client.Expect(t, back)
		}
		for _, size := range []int{0, 1, 56, 1400, 1472} {
			if _, err := (lab.EchoRequest{To: wire.RemoteAddress, Size: size}).Send(wire.WithTimeout(t), r.Endpoints[0]); err != nil {
				t.Errorf("echo of %d bytes: %v; drops %v", size, err, r.Drops(t))
			}
		}
	})
}

// RFC 3022 section 4.1: no checksum stays no checksum.
func TestZeroUDPChecksumStaysZero(t *testing.T) {
	t.Parallel()
	bothOffloads(t, func(t *testing.T, r *dptest.Rig, _ bool) {
		client := wire.Listen(t, r.Endpoints[0], wire.Text(wire.EndpointAddress(0), "4000"))
		server := wire.Listen(t, r.Remote, lab.RemoteAddress+":7000")
		wire.Option(t, client, unix.SOL_SOCKET, unix.SO_NO_CHECK, 1)
		wire.Option(t, server, unix.SOL_SOCKET, unix.SO_NO_CHECK, 1)
		client.Send(t, netip.AddrPortFrom(wire.RemoteAddress, 7000), "question")
		server.Send(t, server.Expect(t, "question"), "answer")
		client.Expect(t, "answer")
		for _, p := range append(r.AtRemote.Await(t, "question", 1, wire.Says("question")), r.AtEndpoint[0].Await(t, "answer", 1, wire.Says("answer"))...) {
			if p.Checksum != 0 {
				t.Errorf("%s has checksum %#04x, want none", p.Payload, p.Checksum)
			}
		}
	})
}

// A sum that comes out as zero is sent as 0xffff, else it would mean "none"
// (RFC 768). Counting the payload up meets it once in both directions.
func TestUDPChecksumNeverBecomesZero(t *testing.T) {
	t.Parallel()
	r := dptest.NewRig(t, 1)
	r.Mute(t, 0)
	r.Config.Mappings[1] = dptest.Mapping(model.UDP, "203.0.113.1:8080", wire.Inside(0, 80))
	r.Apply(t)
	const all = 1 << 16
	var outward, inward []wire.Segment
	for i := range all {
		payload := []byte{byte(i >> 8), byte(i)}
		// Only those whose sum after translation is near zero on either scale.
		o := wire.Segment{Protocol: model.UDP, From: wire.Inside(0, 80), To: wire.Unanswered(7, 80), Payload: payload}
		after := o
		after.From = wire.Published
		if sum := after.Sum(); sum <= 1 || sum >= 0xfffe {
			outward = append(outward, o)
		}
		n := wire.Segment{Protocol: model.UDP, From: wire.Unanswered(7, 80), To: wire.Published, Payload: payload}
		after = n
		after.To = wire.Inside(0, 80)
		if sum := after.Sum(); sum <= 1 || sum >= 0xfffe {
			inward = append(inward, n)
		}
	}
	if len(outward) == 0 || len(inward) == 0 {
		t.Fatal("no payload has the sum")
	}
	r.FromEndpoint(t, 0, outward...)
	r.FromRemote(t, inward...)
	outside := r.AtRemote.Await(t, "packets out", len(outward), wire.Is(model.UDP, wire.Published, wire.Unanswered(7, 80)))
	for _, p := range append(outside, r.AtEndpoint[0].Await(t, "packets in", len(inward), wire.Is(model.UDP, wire.Unanswered(7, 80), wire.Inside(0, 80)))...) {
		if p.Checksum == 0 {
			t.Errorf("%v to %v with payload %x lost its checksum", p.From, p.To, p.Payload)
		}
	}
}

func TestIPOptionsPass(t *testing.T) {
	t.Parallel()
	bothOffloads(t, func(t *testing.T, r *dptest.Rig, _ bool) {
		r.Config.Mappings[1] = dptest.Mapping(model.TCP, "203.0.113.1:8080", wire.Inside(0, 80))
		r.Apply(t)
		options := string([]byte{1, 1, 1, 1, 1, 1, 1, 0}) // what Linux lets a socket send unchanged
		exchange(t, r.Endpoints[0], r.Remote, "tcp", lab.RemoteAddress+":7000", lab.RemoteAddress+":7000", options)
		exchange(t, r.Remote, r.Endpoints[0], "tcp", "172.16.1.2:80", wire.Published.String(), options)
		exchange(t, r.Endpoints[0], r.Remote, "udp", lab.RemoteAddress+":7001", lab.RemoteAddress+":7001", options)
		for _, p := range []model.Protocol{model.TCP, model.UDP} {
			r.AtRemote.Await(t, "packet with options", 1, func(got wire.Packet) bool { return got.Protocol == p && got.Options == options })
		}
		r.AtEndpoint[0].Await(t, "packet with options", 1, func(got wire.Packet) bool { return got.Options == options })
	})
}

// exchange sends some data to an echo server and back with IP options on the
// client's side.
func exchange(t *testing.T, client, server *lab.Namespace, network, at, to, options string) {
	t.Helper()
	echo, err := lab.EchoServer(server, network, at)
	wire.Must(t, err)
	defer echo.Close()
	ctx := wire.WithTimeout(t)
	conn, err := client.Dial(ctx, network, to)
	wire.Must(t, err)
	defer conn.Close()
	raw, err := conn.(interface {
		net.Conn
		SyscallConn() (syscall.RawConn, error)
	}).SyscallConn()
	wire.Must(t, err)
	wire.Must(t, raw.Control(func(fd uintptr) { err = unix.SetsockoptString(int(fd), unix.IPPROTO_IP, unix.IP_OPTIONS, options) }))
	wire.Must(t, err)
	if _, err = lab.AskConn(ctx, conn); err != nil {
		t.Fatalf("%s with options: %v", network, err)
	}
	if network == "tcp" {
		data := strings.Repeat("data", 20000)
		go func() { _, _ = io.WriteString(conn, data) }()
		got := make([]byte, len(data))
		if _, err := io.ReadFull(conn, got); err != nil || string(got) != data {
			t.Errorf("echo of %d bytes with options: %v", len(data), err)
		}
	}
}

func TestLongIPOptionsPass(t *testing.T) {
	t.Parallel()
	r := dptest.NewRig(t, 1)
	r.Mute(t, 0)
	most := append(wire.IPOptions[:len(wire.IPOptions):len(wire.IPOptions)], make([]byte, 24)...)
	for i, options := range [][]byte{wire.IPOptions, most} {
		for _, p := range []model.Protocol{model.UDP, model.TCP, model.ICMP} {
			from, remote := wire.Inside(0, 4000+uint16(i)), wire.Unanswered(7, 80)
			r.FromEndpoint(t, 0, wire.Segment{Protocol: p, Flags: wire.Syn, From: from, To: remote, Options: options, Payload: []byte("out")})
			external := r.External(t, p, from)
			r.FromRemote(t, wire.Segment{Protocol: p, Flags: wire.SynAck, Reply: true, From: remote, To: external, Options: options, Payload: []byte("in")})
			has := func(got wire.Packet) bool { return got.Protocol == p && got.Options == string(options) }
			r.AtRemote.Await(t, "packet out", 1, has)
			r.AtEndpoint[0].Await(t, "packet in", 1, has)
		}
	}
}
