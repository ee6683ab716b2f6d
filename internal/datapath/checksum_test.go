package datapath

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
	"github.com/hostnat/hostnat/internal/model"
)

// Every capture of the rig checks every checksum; what is left to do here is to
// send what is hard to get right.

// setOffloads switches the offloads of all links that packets pass.
func (r *rig) setOffloads(t *testing.T, on bool) {
	t.Helper()
	must(t, r.Remote.SetOffloads(lab.RemoteLink, on))
	must(t, r.Host.SetOffloads(lab.HostLink, on))
	for i, c := range r.Endpoints {
		must(t, r.Host.SetOffloads(hostSide(i), on))
		must(t, c.SetOffloads("eth0", on))
	}
}

// bothOffloads runs a test on rigs with offloads on and off.
func bothOffloads(t *testing.T, test func(*testing.T, *rig, bool)) {
	t.Helper()
	for _, on := range []bool{true, false} {
		t.Run(fmt.Sprintf("offloads=%v", on), func(t *testing.T) {
			t.Parallel()
			r := newRig(t, 1)
			r.setOffloads(t, on)
			test(t, r, on)
		})
	}
}

func TestChecksumsOfAllSizes(t *testing.T) {
	t.Parallel()
	bothOffloads(t, func(t *testing.T, r *rig, _ bool) {
		client := listen(t, r.Endpoints[0], text(endpointAddress(0), "4000"))
		server := listen(t, r.Remote, lab.RemoteAddress+":7000")
		for _, size := range []int{0, 1, 2, 3, 17, 18, 19, 100, 511, 1471, 1472} {
			out, back := strings.Repeat("o", size), strings.Repeat("b", size)
			client.send(t, netip.AddrPortFrom(remoteAddress, 7000), out)
			server.send(t, server.expect(t, out), back)
			client.expect(t, back)
		}
		for _, size := range []int{0, 1, 56, 1400, 1472} {
			if _, err := (lab.EchoRequest{To: remoteAddress, Size: size}).Send(withTimeout(t), r.Endpoints[0]); err != nil {
				t.Errorf("echo of %d bytes: %v; drops %v", size, err, r.drops(t))
			}
		}
	})
}

// RFC 3022 section 4.1: no checksum stays no checksum.
func TestZeroUDPChecksumStaysZero(t *testing.T) {
	t.Parallel()
	bothOffloads(t, func(t *testing.T, r *rig, _ bool) {
		client := listen(t, r.Endpoints[0], text(endpointAddress(0), "4000"))
		server := listen(t, r.Remote, lab.RemoteAddress+":7000")
		option(t, client, unix.SOL_SOCKET, unix.SO_NO_CHECK, 1)
		option(t, server, unix.SOL_SOCKET, unix.SO_NO_CHECK, 1)
		client.send(t, netip.AddrPortFrom(remoteAddress, 7000), "question")
		server.send(t, server.expect(t, "question"), "answer")
		client.expect(t, "answer")
		for _, p := range append(r.atRemote.await(t, "question", 1, says("question")), r.atEndpoint[0].await(t, "answer", 1, says("answer"))...) {
			if p.checksum != 0 {
				t.Errorf("%s has checksum %#04x, want none", p.payload, p.checksum)
			}
		}
	})
}

// A sum that comes out as zero is sent as 0xffff, else it would mean "none"
// (RFC 768). Counting the payload up meets it once in both directions.
func TestUDPChecksumNeverBecomesZero(t *testing.T) {
	t.Parallel()
	r := newRig(t, 1)
	r.mute(t, 0)
	r.config.Mappings[1] = mapping(model.UDP, "203.0.113.1:8080", inside(0, 80))
	r.apply(t)
	const all = 1 << 16
	var outward, inward []segment
	for i := range all {
		payload := []byte{byte(i >> 8), byte(i)}
		// Only those whose sum after translation is near zero on either scale.
		o := segment{protocol: model.UDP, from: inside(0, 80), to: stranger(7, 80), payload: payload}
		after := o
		after.from = published
		if sum := after.sum(); sum <= 1 || sum >= 0xfffe {
			outward = append(outward, o)
		}
		n := segment{protocol: model.UDP, from: stranger(7, 80), to: published, payload: payload}
		after = n
		after.to = inside(0, 80)
		if sum := after.sum(); sum <= 1 || sum >= 0xfffe {
			inward = append(inward, n)
		}
	}
	if len(outward) == 0 || len(inward) == 0 {
		t.Fatal("no payload has the sum")
	}
	r.fromEndpoint(t, 0, outward...)
	r.fromRemote(t, inward...)
	outside := r.atRemote.await(t, "packets out", len(outward), is(model.UDP, published, stranger(7, 80)))
	for _, p := range append(outside, r.atEndpoint[0].await(t, "packets in", len(inward), is(model.UDP, stranger(7, 80), inside(0, 80)))...) {
		if p.checksum == 0 {
			t.Errorf("%v to %v with payload %x lost its checksum", p.from, p.to, p.payload)
		}
	}
}

// sum is the checksum field as the arithmetic gives it.
func (s segment) sum() uint16 {
	l4 := s.l4()
	l4[6], l4[7] = 0, 0
	return ^checksum(s.pseudo(len(l4)), l4)
}

// ipOptions are two NOPs, an empty timestamp option, and the end.
var ipOptions = []byte{1, 1, 68, 12, 13, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}

func TestIPOptionsPass(t *testing.T) {
	t.Parallel()
	bothOffloads(t, func(t *testing.T, r *rig, _ bool) {
		r.config.Mappings[1] = mapping(model.TCP, "203.0.113.1:8080", inside(0, 80))
		r.apply(t)
		options := string([]byte{1, 1, 1, 1, 1, 1, 1, 0}) // what Linux lets a socket send unchanged
		exchange(t, r.Endpoints[0], r.Remote, "tcp", lab.RemoteAddress+":7000", lab.RemoteAddress+":7000", options)
		exchange(t, r.Remote, r.Endpoints[0], "tcp", "172.16.1.2:80", published.String(), options)
		exchange(t, r.Endpoints[0], r.Remote, "udp", lab.RemoteAddress+":7001", lab.RemoteAddress+":7001", options)
		for _, p := range []model.Protocol{model.TCP, model.UDP} {
			r.atRemote.await(t, "packet with options", 1, func(got packet) bool { return got.protocol == p && got.options == options })
		}
		r.atEndpoint[0].await(t, "packet with options", 1, func(got packet) bool { return got.options == options })
	})
}

// exchange sends some data to an echo server and back with IP options on the
// client's side.
func exchange(t *testing.T, client, server *lab.Namespace, network, at, to, options string) {
	t.Helper()
	echo, err := lab.EchoServer(server, network, at)
	must(t, err)
	defer echo.Close()
	ctx := withTimeout(t)
	conn, err := client.Dial(ctx, network, to)
	must(t, err)
	defer conn.Close()
	raw, err := conn.(interface {
		net.Conn
		SyscallConn() (syscall.RawConn, error)
	}).SyscallConn()
	must(t, err)
	must(t, raw.Control(func(fd uintptr) { err = unix.SetsockoptString(int(fd), unix.IPPROTO_IP, unix.IP_OPTIONS, options) }))
	must(t, err)
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
	r := newRig(t, 1)
	r.mute(t, 0)
	most := append(ipOptions[:len(ipOptions):len(ipOptions)], make([]byte, 24)...)
	for i, options := range [][]byte{ipOptions, most} {
		for _, p := range []model.Protocol{model.UDP, model.TCP, model.ICMP} {
			from, remote := inside(0, 4000+uint16(i)), stranger(7, 80)
			r.fromEndpoint(t, 0, segment{protocol: p, flags: syn, from: from, to: remote, options: options, payload: []byte("out")})
			external := r.external(t, p, from)
			r.fromRemote(t, segment{protocol: p, flags: synAck, reply: true, from: remote, to: external, options: options, payload: []byte("in")})
			has := func(got packet) bool { return got.protocol == p && got.options == string(options) }
			r.atRemote.await(t, "packet out", 1, has)
			r.atEndpoint[0].await(t, "packet in", 1, has)
		}
	}
}
