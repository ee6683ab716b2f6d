package datapath

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
	"github.com/hostnat/hostnat/internal/model"
)

const narrow = 1300 // bytes, MTU of a link in the way

// checkPieces checks that each datagram's fragments came in order, none longer
// than mtu, and that no two datagrams have an identification in common.
func (a *assembly) checkPieces(t *testing.T, mtu int) {
	t.Helper()
	next, done := map[uint16]int{}, map[uint16]bool{}
	for _, p := range a.seen() {
		if p.size > mtu {
			t.Errorf("%+v is longer than %d", p, mtu)
		}
		if p.offset == 0 && !p.more {
			continue
		}
		if p.offset != next[p.id] || done[p.id] {
			t.Errorf("%+v came when offset %d was next", p, next[p.id])
		}
		next[p.id] = p.offset + p.size - 20
		done[p.id] = !p.more
	}
}

// RFC 4787 REQ-13a: what may be fragmented is, and the first fragment comes first.
func TestTooBigIsCutOutward(t *testing.T) {
	t.Parallel()
	r := newRig(t, 2)
	r.addRoom(t)
	must(t, r.Host.SetMTU(lab.HostLink, narrow))
	r.mute(t, 0)
	remote := assemble(t, r.Remote, lab.RemoteLink)
	for i, p := range protocols {
		from := inside(0, uint16(4000+i))
		r.fromEndpoint(t, 0, segment{protocol: p, flags: syn, from: from, to: stranger(7, 53), id: 5, payload: long("whole "+p.String(), 1400)})
		got, w := remote.await(t, p, "whole "+p.String())
		if got.from.Addr() != hostAddress || w.pieces != 2 || got.ttl != 63 {
			t.Errorf("%v from %v with TTL %d in %d pieces", p, got.from, got.ttl, w.pieces)
		}
		for n, order := range [][]int{{0, 1, 2}, {2, 1, 0}, {1, 2, 0}} {
			text := fmt.Sprintf("cut %v %d", p, n)
			d := segment{protocol: p, flags: syn, from: from, to: stranger(7, 53), id: uint16(10 + 10*i + n), payload: long(text, 4000)}.ip()
			r.ipFromEndpoint(t, 0, pick(cutUp(d, 1480), order...)...)
			if got, w = remote.await(t, p, text); w.pieces < 4 || got.ttl != 63 {
				t.Errorf("%s came in %d pieces with TTL %d", text, w.pieces, got.ttl)
			}
		}
	}
	// A stack's own, with checksums left to the device.
	for _, size := range []int{1290, 1400, 20000} {
		client := listen(t, r.Endpoints[1], endpointAddress(1).String()+":0")
		option(t, client, unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_DONT)
		text := fmt.Sprint("socket ", size)
		client.send(t, stranger(8, 53), string(long(text, size)))
		if _, w := remote.await(t, model.UDP, text); len(w.datagram) != size+28 {
			t.Errorf("%s: %d bytes in %d pieces", text, len(w.datagram), w.pieces)
		}
	}
	remote.checkPieces(t, narrow)
	r.noDrops(t)
	r.consistent(t)
}

// TCP without path MTU discovery, with segmentation offload and without.
func TestSegmentsAreCutOutward(t *testing.T) {
	t.Parallel()
	for _, offloads := range []bool{true, false} {
		t.Run(fmt.Sprint("offloads ", offloads), func(t *testing.T) {
			t.Parallel()
			r := newRig(t, 1)
			r.addRoom(t)
			must(t, r.Host.SetMTU(lab.HostLink, narrow))
			must(t, r.Endpoints[0].SetOffloads("eth0", offloads))
			must(t, r.Endpoints[0].Sysctl("net/ipv4/ip_no_pmtu_disc", "1"))
			ctx := withTimeout(t)
			server, err := lab.EchoServer(r.Remote, "tcp", lab.RemoteAddress+":7000")
			must(t, err)
			defer server.Close()
			conn, err := r.Endpoints[0].Dial(ctx, "tcp", lab.RemoteAddress+":7000")
			must(t, err)
			defer conn.Close()
			_, err = lab.AskConn(ctx, conn)
			must(t, err)
			sent := bytes.Repeat([]byte("0123456789abcdef"), 1<<13)
			go conn.Write(sent)
			must(t, conn.SetReadDeadline(time.Now().Add(patience)))
			got := make([]byte, len(sent))
			if _, err := io.ReadFull(conn, got); err != nil || !bytes.Equal(got, sent) {
				t.Fatalf("transfer of %d bytes: %v; drops %v", len(sent), err, r.drops(t))
			}
			r.noDrops(t)
		})
	}
}

func (r *rig) narrowEndpoint(t *testing.T, i int) {
	t.Helper()
	must(t, r.Endpoints[i].SetMTU("eth0", narrow))
	must(t, r.Host.SetMTU(hostSide(i), narrow))
	for j := range r.config.Endpoints {
		if r.config.Endpoints[j].Address == endpointAddress(i) {
			r.config.Endpoints[j].MTU = narrow
		}
	}
	r.apply(t)
}

// The same inward, where the endpoint's link is the narrower one.
func TestTooBigIsCutInward(t *testing.T) {
	t.Parallel()
	r := newRig(t, 1)
	r.addRoom(t)
	for id, p := range map[uint32]model.Protocol{1: model.UDP, 2: model.TCP} {
		r.config.Mappings[id] = mapping(p, "0.0.0.0:8080", inside(0, 80))
	}
	r.narrowEndpoint(t, 0)
	r.mute(t, 0)
	endpoint := assemble(t, r.Endpoints[0], "eth0")
	to := netip.AddrPortFrom(hostAddress, 8080)
	for i, p := range []model.Protocol{model.UDP, model.TCP} {
		text := "whole " + p.String()
		r.fromRemote(t, segment{protocol: p, flags: syn, from: stranger(7, 53), to: to, id: uint16(5 + i), payload: long(text, 1400)})
		if got, w := endpoint.await(t, p, text); got.to != inside(0, 80) || w.pieces != 2 || got.ttl != 63 {
			t.Errorf("%s to %v with TTL %d in %d pieces", text, got.to, got.ttl, w.pieces)
		}
		for n, order := range [][]int{{0, 1, 2}, {2, 1, 0}} {
			text := fmt.Sprintf("cut %v %d", p, n)
			d := segment{protocol: p, flags: syn, from: stranger(7, 53), to: to, id: uint16(10 + 10*i + n), payload: long(text, 4000)}.ip()
			r.ipFromRemote(t, pick(cutUp(d, 1480), order...)...)
			if got, w := endpoint.await(t, p, text); w.pieces < 4 || got.ttl != 63 {
				t.Errorf("%s came in %d pieces with TTL %d", text, w.pieces, got.ttl)
			}
		}
	}
	endpoint.checkPieces(t, narrow)
	r.noDrops(t)
}

// RFC 1191 through the NAT from outside: the sender is told by the address it
// spoke to, with its own packet quoted, and its next packet fits.
func TestTooBigFromOutsideIsAnsweredWithMTU(t *testing.T) {
	t.Parallel()
	r := newRig(t, 1)
	r.addRoom(t)
	for id, p := range map[uint32]model.Protocol{1: model.UDP, 2: model.TCP} {
		r.config.Mappings[id] = mapping(p, "0.0.0.0:8080", inside(0, 80))
	}
	r.narrowEndpoint(t, 0)
	r.mute(t, 0)
	to := netip.AddrPortFrom(hostAddress, 8080)
	for i, p := range []model.Protocol{model.UDP, model.TCP} {
		from := netip.AddrPortFrom(remoteAddress, uint16(5000+i))
		r.fromRemote(t, segment{protocol: p, flags: syn, from: from, to: to, fragment: 0x4000, payload: make([]byte, 1400)})
		r.wantError(t, 3, 4, narrow, p, from, to)
	}
	r.dropped(t, "packet-too-big", 2)
	server := listen(t, r.Endpoints[0], "0.0.0.0:80")
	must(t, r.Endpoints[0].AddAddress("eth0", endpointAddress(0).String()+"/24"))
	must(t, r.Endpoints[0].AddRoute("0.0.0.0/0", "172.16.1.1"))
	client := listen(t, r.Remote, lab.RemoteAddress+":6000")
	big := string(long("with discovery", 1400))
	client.send(t, to, big) // DF is set: goes lost, and the remote learns why
	r.wantError(t, 3, 4, narrow, model.UDP, netip.AddrPortFrom(remoteAddress, 6000), to)
	eventually(t, "datagram that fits", func() bool {
		client.send(t, to, big)
		return server.pending(50 * time.Millisecond)
	})
}

// wantError waits for an ICMP error at the remote that quotes a packet between two addresses.
func (r *rig) wantError(t *testing.T, kind, code byte, mtu uint16, p model.Protocol, from, to netip.AddrPort) {
	t.Helper()
	r.atRemote.await(t, fmt.Sprintf("ICMP %d/%d about %v from %v", kind, code, p, from), 1, func(got packet) bool {
		if got.protocol != model.ICMP || got.from.Addr() != to.Addr() || got.to.Addr() != from.Addr() || len(got.data) < 14+20+8+28 {
			return false
		}
		icmp := got.data[14+20:]
		var quoted packet
		quoted.decodeIP(icmp[8:])
		return icmp[0] == kind && icmp[1] == code && binary.BigEndian.Uint16(icmp[6:]) == mtu &&
			quoted.protocol == p && quoted.from == from && quoted.to == to
	})
}

// A traceroute from outside ends at the external address. The same over a link without Ethernet.
func TestHopLimitFromOutsideIsAnswered(t *testing.T) {
	t.Parallel()
	r := newRig(t, 1)
	for id, p := range map[uint32]model.Protocol{1: model.UDP, 2: model.TCP} {
		r.config.Mappings[id] = mapping(p, "0.0.0.0:8080", inside(0, 80))
	}
	r.apply(t)
	r.mute(t, 0)
	to := netip.AddrPortFrom(hostAddress, 8080)
	for i, p := range []model.Protocol{model.UDP, model.TCP} {
		from := netip.AddrPortFrom(remoteAddress, uint16(5000+i))
		r.fromRemote(t, segment{protocol: p, flags: syn, from: from, to: to, ttl: 1, payload: []byte("how far?")})
		r.wantError(t, 11, 0, 0, p, from, to)
	}
	// A reply to a session that is there.
	r.fromEndpoint(t, 0, segment{protocol: model.ICMP, from: inside(0, 9), to: netip.AddrPortFrom(remoteAddress, 9)})
	external := r.external(t, model.ICMP, inside(0, 9))
	r.fromRemote(t, segment{protocol: model.ICMP, reply: true, from: netip.AddrPortFrom(remoteAddress, 0), to: external, ttl: 1})
	r.wantError(t, 11, 0, 0, model.ICMP, netip.AddrPortFrom(remoteAddress, external.Port()), external)
	r.dropped(t, "hop-limit", 3)

	tun, own := r.addTun(t)
	from := netip.MustParseAddrPort("192.0.2.9:99")
	tun.inject(t, virtio{}, segment{protocol: model.UDP, from: from, to: netip.AddrPortFrom(own, 8080), ttl: 1}.ip())
	got := tun.await(t, "answer through the tunnel", func(p packet) bool { return p.protocol == model.ICMP })
	if verifyIP(t, got.data); got.from.Addr() != own || got.to.Addr() != from.Addr() || got.data[20] != 11 {
		t.Errorf("answer %x", got.data)
	}
}

// RFC 1812 section 4.3.2.8.
func TestErrorsToOutsideAreLimited(t *testing.T) {
	t.Parallel()
	r := newRig(t, 1)
	r.config.Mappings[1] = mapping(model.UDP, "0.0.0.0:8080", inside(0, 80))
	r.apply(t)
	const sent = 5000
	start := time.Now()
	for i := range sent {
		r.fromRemote(t, segment{protocol: model.UDP, from: netip.AddrPortFrom(remoteAddress, uint16(5000+i%100)), to: netip.AddrPortFrom(hostAddress, 8080), ttl: 1})
	}
	r.dropped(t, "hop-limit", sent)
	seconds := int(time.Since(start)/time.Second) + 2
	if n := len(r.atRemote.came(is(model.ICMP, netip.AddrPort{}, netip.AddrPort{}))); n == 0 || n > 100*2*seconds {
		t.Errorf("%d errors within %d seconds", n, seconds)
	}
}

// A hairpin to an endpoint with a narrower link.
func TestHairpinToNarrowerLink(t *testing.T) {
	t.Parallel()
	r := newRig(t, 2)
	r.addRoom(t)
	r.config.Mappings[1] = mapping(model.UDP, "0.0.0.0:8080", inside(0, 80))
	r.narrowEndpoint(t, 0)
	r.mute(t, 0)
	endpoint := assemble(t, r.Endpoints[0], "eth0")
	published := netip.AddrPortFrom(hostAddress, 8080)
	r.fromEndpoint(t, 1, segment{protocol: model.UDP, from: inside(1, 4000), to: published, payload: long("cut", 1400)})
	if _, w := endpoint.await(t, model.UDP, "cut"); w.pieces != 2 {
		t.Errorf("came in %d pieces", w.pieces)
	}
	endpoint.checkPieces(t, narrow)
	r.noDrops(t)
	r.fromEndpoint(t, 1, segment{protocol: model.UDP, from: inside(1, 4000), to: published, fragment: 0x4000, payload: long("refused", 1400)})
	r.atEndpoint[1].await(t, "fragmentation needed", 1, func(p packet) bool {
		return p.protocol == model.ICMP && p.data[34] == 3 && p.data[35] == 4 && binary.BigEndian.Uint16(p.data[40:]) == narrow
	})
	r.dropped(t, "packet-too-big", 1)
}

// Each MTU has a route in the room: pieces are as long as they can be up to
// 2068 bytes, and at most 512 bytes shorter above.
func TestPiecesOfAnyMTU(t *testing.T) {
	t.Parallel()
	r := newRig(t, 1)
	r.addRoom(t)
	r.mute(t, 0)
	must(t, r.Host.SetMTU(lab.HostLink, 65535))
	must(t, r.Remote.SetMTU(lab.RemoteLink, 65535))
	must(t, r.Endpoints[0].SetMTU("eth0", 65535))
	must(t, r.Host.SetMTU(hostSide(0), 65535))
	remote := assemble(t, r.Remote, lab.RemoteLink)
	for i, mtu := range []int{68, 75, 576, 1280, 1492, 1500, 2067, 2068, 2069, 2080, 3000, 9000, 9001, 32000, 60000} {
		must(t, r.Host.SetMTU(lab.HostLink, mtu))
		text := fmt.Sprintf("mtu %d ", mtu)
		before := len(remote.seen())
		r.fromEndpoint(t, 0, segment{protocol: model.UDP, from: inside(0, uint16(4000+i)), to: stranger(7, 53), payload: long(text, min(65000, 20*mtu))})
		remote.await(t, model.UDP, text)
		longest := 0
		for _, p := range remote.seen()[before:] {
			longest = max(longest, p.size)
		}
		least := 20 + (mtu-20)/8*8
		if mtu > 2068+7 {
			least = mtu - 512 - 8
		}
		if longest > mtu || longest < least {
			t.Errorf("MTU %d: the longest piece has %d bytes, want %d at least", mtu, longest, least)
		}
	}
	r.noDrops(t)
}
