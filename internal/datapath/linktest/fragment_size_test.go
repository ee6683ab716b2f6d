package linktest

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hostnat/hostnat/dev/lab"
	"github.com/hostnat/hostnat/internal/datapath/dptest"
	"github.com/hostnat/hostnat/internal/datapath/dptest/wire"
	"github.com/hostnat/hostnat/internal/model"
)

// RFC 4787 REQ-13a: what may be fragmented is, and the first fragment comes first.
func TestTooBigIsCutOutward(t *testing.T) {
	t.Parallel()
	r := dptest.NewRig(t, 2)
	r.AddReassembly(t)
	wire.Must(t, r.Host.SetMTU(lab.HostLink, wire.Narrow))
	r.Mute(t, 0)
	remote := wire.Assemble(t, r.Remote, lab.RemoteLink)
	for i, p := range wire.Protocols {
		from := wire.Inside(0, uint16(4000+i))
		r.FromEndpoint(t, 0, wire.Segment{Protocol: p, Flags: wire.Syn, From: from, To: wire.Unanswered(7, 53), ID: 5, Payload: wire.Long("whole "+p.String(), 1400)})
		got, w := remote.Await(t, p, "whole "+p.String())
		if got.From.Addr() != wire.HostAddress || w.Pieces != 2 || got.TTL != 63 {
			t.Errorf("%v from %v with TTL %d in %d pieces", p, got.From, got.TTL, w.Pieces)
		}
		for n, order := range [][]int{{0, 1, 2}, {2, 1, 0}, {1, 2, 0}} {
			text := fmt.Sprintf("cut %v %d", p, n)
			d := wire.Segment{Protocol: p, Flags: wire.Syn, From: from, To: wire.Unanswered(7, 53), ID: uint16(10 + 10*i + n), Payload: wire.Long(text, 4000)}.IP()
			r.IPFromEndpoint(t, 0, wire.Pick(wire.CutUp(d, 1480), order...)...)
			if got, w = remote.Await(t, p, text); w.Pieces < 4 || got.TTL != 63 {
				t.Errorf("%s came in %d pieces with TTL %d", text, w.Pieces, got.TTL)
			}
		}
	}
	// A stack's own, with checksums left to the device.
	for _, size := range []int{1290, 1400, 20000} {
		client := wire.Listen(t, r.Endpoints[1], wire.EndpointAddress(1).String()+":0")
		wire.Option(t, client, unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_DONT)
		text := fmt.Sprint("socket ", size)
		client.Send(t, wire.Unanswered(8, 53), string(wire.Long(text, size)))
		if _, w := remote.Await(t, model.UDP, text); len(w.Datagram) != size+28 {
			t.Errorf("%s: %d bytes in %d pieces", text, len(w.Datagram), w.Pieces)
		}
	}
	remote.CheckPieces(t, wire.Narrow)
	noDrops(t, r)
	r.Consistent(t)
}

// TCP without path MTU discovery, with segmentation offload and without.
func TestSegmentsAreCutOutward(t *testing.T) {
	t.Parallel()
	for _, offloads := range []bool{true, false} {
		t.Run(fmt.Sprint("offloads ", offloads), func(t *testing.T) {
			t.Parallel()
			r := dptest.NewRig(t, 1)
			r.AddReassembly(t)
			wire.Must(t, r.Host.SetMTU(lab.HostLink, wire.Narrow))
			wire.Must(t, r.Endpoints[0].SetOffloads("eth0", offloads))
			wire.Must(t, r.Endpoints[0].Sysctl("net/ipv4/ip_no_pmtu_disc", "1"))
			ctx := wire.WithTimeout(t)
			server, err := lab.EchoServer(r.Remote, "tcp", lab.RemoteAddress+":7000")
			wire.Must(t, err)
			defer server.Close()
			conn, err := r.Endpoints[0].Dial(ctx, "tcp", lab.RemoteAddress+":7000")
			wire.Must(t, err)
			defer conn.Close()
			_, err = lab.AskConn(ctx, conn)
			wire.Must(t, err)
			sent := bytes.Repeat([]byte("0123456789abcdef"), 1<<13)
			go conn.Write(sent)
			wire.Must(t, conn.SetReadDeadline(time.Now().Add(wire.Patience)))
			got := make([]byte, len(sent))
			if _, err := io.ReadFull(conn, got); err != nil || !bytes.Equal(got, sent) {
				t.Fatalf("transfer of %d bytes: %v; drops %v", len(sent), err, r.Drops(t))
			}
			noDrops(t, r)
		})
	}
}

func narrowEndpoint(t *testing.T, r *dptest.Rig, i int) {
	t.Helper()
	wire.Must(t, r.Endpoints[i].SetMTU("eth0", wire.Narrow))
	wire.Must(t, r.Host.SetMTU(dptest.HostSide(i), wire.Narrow))
	for j := range r.Config.Endpoints {
		if r.Config.Endpoints[j].Address == wire.EndpointAddress(i) {
			r.Config.Endpoints[j].MTU = wire.Narrow
		}
	}
	r.Apply(t)
}

// The same inward, where the endpoint's link is the narrower one.
func TestTooBigIsCutInward(t *testing.T) {
	t.Parallel()
	r := dptest.NewRig(t, 1)
	r.AddReassembly(t)
	for id, p := range map[uint32]model.Protocol{1: model.UDP, 2: model.TCP} {
		r.Config.Mappings[id] = dptest.Mapping(p, "0.0.0.0:8080", wire.Inside(0, 80))
	}
	narrowEndpoint(t, r, 0)
	r.Mute(t, 0)
	endpoint := wire.Assemble(t, r.Endpoints[0], "eth0")
	to := netip.AddrPortFrom(wire.HostAddress, 8080)
	for i, p := range []model.Protocol{model.UDP, model.TCP} {
		text := "whole " + p.String()
		r.FromRemote(t, wire.Segment{Protocol: p, Flags: wire.Syn, From: wire.Unanswered(7, 53), To: to, ID: uint16(5 + i), Payload: wire.Long(text, 1400)})
		if got, w := endpoint.Await(t, p, text); got.To != wire.Inside(0, 80) || w.Pieces != 2 || got.TTL != 63 {
			t.Errorf("%s to %v with TTL %d in %d pieces", text, got.To, got.TTL, w.Pieces)
		}
		for n, order := range [][]int{{0, 1, 2}, {2, 1, 0}} {
			text := fmt.Sprintf("cut %v %d", p, n)
			d := wire.Segment{Protocol: p, Flags: wire.Syn, From: wire.Unanswered(7, 53), To: to, ID: uint16(10 + 10*i + n), Payload: wire.Long(text, 4000)}.IP()
			r.IPFromRemote(t, wire.Pick(wire.CutUp(d, 1480), order...)...)
			if got, w := endpoint.Await(t, p, text); w.Pieces < 4 || got.TTL != 63 {
				t.Errorf("%s came in %d pieces with TTL %d", text, w.Pieces, got.TTL)
			}
		}
	}
	endpoint.CheckPieces(t, wire.Narrow)
	noDrops(t, r)
}

// RFC 1191 through the NAT from outside: the sender is told by the address it
// spoke to, with its own packet quoted, and its next packet fits.
func TestTooBigFromOutsideIsAnsweredWithMTU(t *testing.T) {
	t.Parallel()
	r := dptest.NewRig(t, 1)
	r.AddReassembly(t)
	for id, p := range map[uint32]model.Protocol{1: model.UDP, 2: model.TCP} {
		r.Config.Mappings[id] = dptest.Mapping(p, "0.0.0.0:8080", wire.Inside(0, 80))
	}
	narrowEndpoint(t, r, 0)
	r.Mute(t, 0)
	to := netip.AddrPortFrom(wire.HostAddress, 8080)
	for i, p := range []model.Protocol{model.UDP, model.TCP} {
		from := netip.AddrPortFrom(wire.RemoteAddress, uint16(5000+i))
		r.FromRemote(t, wire.Segment{Protocol: p, Flags: wire.Syn, From: from, To: to, Fragment: 0x4000, Payload: make([]byte, 1400)})
		wantError(t, r, 3, 4, wire.Narrow, p, from, to)
	}
	r.Dropped(t, "packet-too-big", 2)
	server := wire.Listen(t, r.Endpoints[0], "0.0.0.0:80")
	wire.Must(t, r.Endpoints[0].AddAddress("eth0", wire.EndpointAddress(0).String()+"/24"))
	wire.Must(t, r.Endpoints[0].AddRoute("0.0.0.0/0", "172.16.1.1"))
	client := wire.Listen(t, r.Remote, lab.RemoteAddress+":6000")
	big := string(wire.Long("with discovery", 1400))
	client.Send(t, to, big) // DF is set: goes lost, and the remote learns why
	wantError(t, r, 3, 4, wire.Narrow, model.UDP, netip.AddrPortFrom(wire.RemoteAddress, 6000), to)
	wire.Eventually(t, "datagram that fits", func() bool {
		client.Send(t, to, big)
		return server.Pending(50 * time.Millisecond)
	})
}

// wantError waits for an ICMP error at the remote that quotes a packet between two addresses.
func wantError(t *testing.T, r *dptest.Rig, kind, code byte, mtu uint16, p model.Protocol, from, to netip.AddrPort) {
	t.Helper()
	r.AtRemote.Await(t, fmt.Sprintf("ICMP %d/%d about %v from %v", kind, code, p, from), 1, func(got wire.Packet) bool {
		if got.Protocol != model.ICMP || got.From.Addr() != to.Addr() || got.To.Addr() != from.Addr() || len(got.Data) < 14+20+8+28 {
			return false
		}
		icmp := got.Data[14+20:]
		var quoted wire.Packet
		quoted.DecodeIP(icmp[8:])
		return icmp[0] == kind && icmp[1] == code && binary.BigEndian.Uint16(icmp[6:]) == mtu &&
			quoted.Protocol == p && quoted.From == from && quoted.To == to
	})
}

// A traceroute from outside ends at the external address. The same over a link without Ethernet.
func TestHopLimitFromOutsideIsAnswered(t *testing.T) {
	t.Parallel()
	r := dptest.NewRig(t, 1)
	for id, p := range map[uint32]model.Protocol{1: model.UDP, 2: model.TCP} {
		r.Config.Mappings[id] = dptest.Mapping(p, "0.0.0.0:8080", wire.Inside(0, 80))
	}
	r.Apply(t)
	r.Mute(t, 0)
	to := netip.AddrPortFrom(wire.HostAddress, 8080)
	for i, p := range []model.Protocol{model.UDP, model.TCP} {
		from := netip.AddrPortFrom(wire.RemoteAddress, uint16(5000+i))
		r.FromRemote(t, wire.Segment{Protocol: p, Flags: wire.Syn, From: from, To: to, TTL: 1, Payload: []byte("how far?")})
		wantError(t, r, 11, 0, 0, p, from, to)
	}
	// A reply to a session that is there.
	r.FromEndpoint(t, 0, wire.Segment{Protocol: model.ICMP, From: wire.Inside(0, 9), To: netip.AddrPortFrom(wire.RemoteAddress, 9)})
	external := r.External(t, model.ICMP, wire.Inside(0, 9))
	r.FromRemote(t, wire.Segment{Protocol: model.ICMP, Reply: true, From: netip.AddrPortFrom(wire.RemoteAddress, 0), To: external, TTL: 1})
	wantError(t, r, 11, 0, 0, model.ICMP, netip.AddrPortFrom(wire.RemoteAddress, external.Port()), external)
	r.Dropped(t, "hop-limit", 3)

	tun, own := addTun(t, r)
	from := netip.MustParseAddrPort("192.0.2.9:99")
	tun.Inject(t, wire.Virtio{}, wire.Segment{Protocol: model.UDP, From: from, To: netip.AddrPortFrom(own, 8080), TTL: 1}.IP())
	got := tun.Await(t, "answer through the tunnel", func(p wire.Packet) bool { return p.Protocol == model.ICMP })
	if verifyIP(t, got.Data); got.From.Addr() != own || got.To.Addr() != from.Addr() || got.Data[20] != 11 {
		t.Errorf("answer %x", got.Data)
	}
}

// RFC 1812 section 4.3.2.8.
func TestErrorsToOutsideAreLimited(t *testing.T) {
	t.Parallel()
	r := dptest.NewRig(t, 1)
	r.Config.Mappings[1] = dptest.Mapping(model.UDP, "0.0.0.0:8080", wire.Inside(0, 80))
	r.Apply(t)
	const sent = 5000
	start := time.Now()
	for i := range sent {
		r.FromRemote(t, wire.Segment{Protocol: model.UDP, From: netip.AddrPortFrom(wire.RemoteAddress, uint16(5000+i%100)), To: netip.AddrPortFrom(wire.HostAddress, 8080), TTL: 1})
	}
	r.Dropped(t, "hop-limit", sent)
	seconds := int(time.Since(start)/time.Second) + 2
	if n := len(r.AtRemote.Came(wire.Is(model.ICMP, netip.AddrPort{}, netip.AddrPort{}))); n == 0 || n > 100*2*seconds {
		t.Errorf("%d errors within %d seconds", n, seconds)
	}
}

// A hairpin to an endpoint with a narrower link.
func TestHairpinToNarrowerLink(t *testing.T) {
	t.Parallel()
	r := dptest.NewRig(t, 2)
	r.AddReassembly(t)
	r.Config.Mappings[1] = dptest.Mapping(model.UDP, "0.0.0.0:8080", wire.Inside(0, 80))
	narrowEndpoint(t, r, 0)
	r.Mute(t, 0)
	endpoint := wire.Assemble(t, r.Endpoints[0], "eth0")
	published := netip.AddrPortFrom(wire.HostAddress, 8080)
	r.FromEndpoint(t, 1, wire.Segment{Protocol: model.UDP, From: wire.Inside(1, 4000), To: published, Payload: wire.Long("cut", 1400)})
	if _, w := endpoint.Await(t, model.UDP, "cut"); w.Pieces != 2 {
		t.Errorf("came in %d pieces", w.Pieces)
	}
	endpoint.CheckPieces(t, wire.Narrow)
	noDrops(t, r)
	r.FromEndpoint(t, 1, wire.Segment{Protocol: model.UDP, From: wire.Inside(1, 4000), To: published, Fragment: 0x4000, Payload: wire.Long("refused", 1400)})
	r.AtEndpoint[1].Await(t, "fragmentation needed", 1, func(p wire.Packet) bool {
		return p.Protocol == model.ICMP && p.Data[34] == 3 && p.Data[35] == 4 && binary.BigEndian.Uint16(p.Data[40:]) == wire.Narrow
	})
	r.Dropped(t, "packet-too-big", 1)
}

// Each MTU has a route in the reassembly namespace: pieces are as long as they can be up to
// 2068 bytes, and at most 512 bytes shorter above.
func TestPiecesOfAnyMTU(t *testing.T) {
	t.Parallel()
	r := dptest.NewRig(t, 1)
	r.AddReassembly(t)
	r.Mute(t, 0)
	wire.Must(t, r.Host.SetMTU(lab.HostLink, 65535))
	wire.Must(t, r.Remote.SetMTU(lab.RemoteLink, 65535))
	wire.Must(t, r.Endpoints[0].SetMTU("eth0", 65535))
	wire.Must(t, r.Host.SetMTU(dptest.HostSide(0), 65535))
	remote := wire.Assemble(t, r.Remote, lab.RemoteLink)
	for i, mtu := range []int{68, 75, 576, 1280, 1492, 1500, 2067, 2068, 2069, 2080, 3000, 9000, 9001, 32000, 60000} {
		wire.Must(t, r.Host.SetMTU(lab.HostLink, mtu))
		text := fmt.Sprintf("mtu %d ", mtu)
		before := len(remote.Seen())
		r.FromEndpoint(t, 0, wire.Segment{Protocol: model.UDP, From: wire.Inside(0, uint16(4000+i)), To: wire.Unanswered(7, 53), Payload: wire.Long(text, min(65000, 20*mtu))})
		remote.Await(t, model.UDP, text)
		longest := 0
		for _, p := range remote.Seen()[before:] {
			longest = max(longest, p.Size)
		}
		least := 20 + (mtu-20)/8*8
		if mtu > 2068+7 {
			least = mtu - 512 - 8
		}
		if longest > mtu || longest < least {
			t.Errorf("MTU %d: the longest piece has %d bytes, want %d at least", mtu, longest, least)
		}
	}
	noDrops(t, r)
}
