package datapath

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
	"pgregory.net/rapid"

	"github.com/hostnat/hostnat/dev/lab"
	"github.com/hostnat/hostnat/internal/model"
)

// RFC 4787 REQ-14: fragments in any order, outward and back, of each protocol.
func TestFragmentsInAnyOrder(t *testing.T) {
	t.Parallel()
	r := newRig(t, 1)
	r.addRoom(t)
	r.mute(t, 0)
	remote, endpoint := assemble(t, r.Remote, lab.RemoteLink), assemble(t, r.Endpoints[0], "eth0")
	var id uint16
	for _, p := range protocols {
		for _, order := range [][]int{{0, 1, 2}, {2, 1, 0}, {1, 0, 2}, {2, 0, 1}, {1, 2, 0}, {0, 2, 1}} {
			id++
			text := fmt.Sprintf("%v %v", p, order)
			from, to := inside(0, 4000+id), stranger(7, 53)
			d := segment{protocol: p, flags: syn, from: from, to: to, id: id, payload: long("out "+text, 3000)}.ip()
			r.ipFromEndpoint(t, 0, pick(cutUp(d, 1480), order...)...)
			got, w := remote.await(t, p, "out "+text)
			if got.from.Addr() != hostAddress || w.pieces != 3 || got.ttl != 63 {
				t.Errorf("out %s: from %v with TTL %d in %d pieces", text, got.from, got.ttl, w.pieces)
			}
			back := segment{protocol: p, flags: synAck, reply: true, from: to, to: got.from, id: id, ttl: 9, payload: long("in "+text, 3000)}.ip()
			r.ipFromRemote(t, pick(cutUp(back, 1200), order...)...)
			got, w = endpoint.await(t, p, "in "+text)
			if got.to != from || w.pieces != 3 || got.ttl != 8 {
				t.Errorf("in %s: to %v with TTL %d in %d pieces", text, got.to, got.ttl, w.pieces)
			}
		}
	}
	r.noDrops(t)
	r.consistent(t)
}

func (r *rig) noDrops(t *testing.T) {
	t.Helper()
	if drops := r.drops(t); len(drops) > 0 {
		t.Errorf("drops: %v", drops)
	}
}

// Any number of datagrams, cut anywhere, their fragments shuffled together.
func TestFragmentsShuffled(t *testing.T) {
	t.Parallel()
	r := newRig(t, 2)
	r.addRoom(t)
	r.config.Mappings[1] = mapping(model.UDP, "0.0.0.0:8080", inside(0, 80))
	r.apply(t)
	for i := range r.Endpoints {
		r.mute(t, i)
	}
	remote, endpoint := assemble(t, r.Remote, lab.RemoteLink), assemble(t, r.Endpoints[0], "eth0")
	run := 0
	rapid.Check(t, func(rt *rapid.T) {
		run++
		type sent struct {
			at   int // -1: the remote
			data []byte
		}
		var pieces []sent
		var texts []string
		for n := range rapid.IntRange(1, 6).Draw(rt, "datagrams") {
			at := rapid.IntRange(-1, 1).Draw(rt, "sender")
			text := fmt.Sprintf("run %d.%d ", run, n)
			s := segment{protocol: model.UDP, from: inside(max(at, 0), 4000), to: stranger(7, 53), id: uint16(run)}
			if at < 0 {
				s.from, s.to, s.id = stranger(7, uint16(1000+n)), netip.AddrPortFrom(hostAddress, 8080), uint16(run*8+n)
			} else {
				s.id = uint16(run*8 + n) // the other endpoint may have the same, in another run's shuffle
			}
			s.payload = long(text, rapid.IntRange(100, 8000).Draw(rt, "size"))
			for _, piece := range cutUp(s.ip(), 8*rapid.IntRange(16, 185).Draw(rt, "piece")) {
				pieces = append(pieces, sent{at, piece})
			}
			texts = append(texts, text)
		}
		for _, p := range rapid.Permutation(pieces).Draw(rt, "order") {
			if p.at < 0 {
				r.ipFromRemote(t, p.data)
			} else {
				r.ipFromEndpoint(t, p.at, p.data)
			}
		}
		for _, text := range texts {
			eventually(t, text, func() bool { return len(remote.came(model.UDP, text))+len(endpoint.came(model.UDP, text)) == 1 })
		}
	})
	r.noDrops(t)
}

// RFC 3022 section 6.3, RFC 7857 section 10: two endpoints with equal
// identifications to one remote; two compartments with equal addresses too.
func TestFragmentsOfTwoDoNotMix(t *testing.T) {
	t.Parallel()
	rigs := map[string]func(*testing.T) (*rig, [2]netip.Addr, [2]model.MAC){
		"one network": func(t *testing.T) (*rig, [2]netip.Addr, [2]model.MAC) {
			return newRig(t, 2), [2]netip.Addr{endpointAddress(0), endpointAddress(1)}, [2]model.MAC{gatewayMAC, gatewayMAC}
		},
		"two compartments": func(t *testing.T) (*rig, [2]netip.Addr, [2]model.MAC) {
			r := newTwoNetworkRig(t, Network{
				Compartment: rigCompartment + 1, NAT: rigNAT + 1, Subnet: netip.MustParsePrefix("172.16.1.0/24"), Gateway: netip.MustParseAddr("172.16.1.1"),
			}, "172.16.1.2")
			return r, [2]netip.Addr{endpointAddress(0), endpointAddress(0)}, [2]model.MAC{gatewayMAC, secondMAC}
		},
	}
	for name, make := range rigs {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, addresses, gateways := make(t)
			r.addRoom(t)
			remote := assemble(t, r.Remote, lab.RemoteLink)
			var cut [2][][]byte
			for i, a := range addresses {
				cut[i] = cutUp(segment{
					protocol: model.UDP, from: netip.AddrPortFrom(a, 4000), to: stranger(7, 53), id: 77, payload: long(fmt.Sprint("endpoint ", i), 4000),
				}.ip(), 1000)
			}
			for n := range cut[0] {
				for i := range cut { // one forwards, the other backwards, by turns
					at := n
					if i == 1 {
						at = len(cut[i]) - 1 - n
					}
					r.send(t, r.Endpoints[i], "eth0", ethernet(endpointMAC(i), gateways[i], etherIPv4, cut[i][at]))
				}
			}
			for i := range cut {
				if _, w := remote.await(t, model.UDP, fmt.Sprint("endpoint ", i)); w.pieces != len(cut[i]) {
					t.Errorf("endpoint %d: %d pieces", i, w.pieces)
				}
			}
			ids := map[uint16]bool{}
			for _, p := range remote.seen() {
				ids[p.id] = true
			}
			if len(ids) != 2 {
				t.Errorf("identifications outside: %v, want two", ids)
			}
			r.noDrops(t)
		})
	}
}

// RFC 4787 REQ-9 with fragments: a mapping's endpoint, and the sender itself.
func TestFragmentsThroughHairpin(t *testing.T) {
	t.Parallel()
	r := newRig(t, 2)
	r.addRoom(t)
	r.config.Mappings[1] = mapping(model.UDP, "0.0.0.0:8080", inside(0, 80))
	r.config.Mappings[2] = mapping(model.TCP, "0.0.0.0:8080", inside(0, 80))
	r.apply(t)
	r.mute(t, 0)
	r.mute(t, 1)
	endpoint, back := assemble(t, r.Endpoints[0], "eth0"), assemble(t, r.Endpoints[1], "eth0")
	published := netip.AddrPortFrom(hostAddress, 8080)
	var id uint16
	for _, p := range []model.Protocol{model.UDP, model.TCP} {
		for _, order := range [][]int{{0, 1, 2}, {2, 1, 0}, {1, 2, 0}} {
			id++
			text := fmt.Sprintf("%v %v", p, order)
			from := inside(1, 5000+id)
			d := segment{protocol: p, flags: syn, from: from, to: published, id: id, payload: long(text, 3000)}.ip()
			r.ipFromEndpoint(t, 1, pick(cutUp(d, 1200), order...)...)
			got, w := endpoint.await(t, p, text)
			if got.from.Addr() != hostAddress || got.to != inside(0, 80) || w.pieces != 3 || got.ttl != 63 {
				t.Errorf("%s: %v to %v with TTL %d in %d pieces", text, got.from, got.to, got.ttl, w.pieces)
			}
			d = segment{protocol: p, flags: synAck, from: inside(0, 80), to: got.from, id: id, payload: long("re "+text, 3000)}.ip()
			r.ipFromEndpoint(t, 0, pick(cutUp(d, 1200), order...)...)
			if got, _ = back.await(t, p, "re "+text); got.from != published || got.to != from {
				t.Errorf("answer to %s: %v to %v", text, got.from, got.to)
			}
		}
	}
	r.noDrops(t)
	r.consistent(t)
}

// What is the host's stays the host's, in whatever order: from outside, and from an endpoint.
func TestFragmentsForTheHost(t *testing.T) {
	t.Parallel()
	r := newRig(t, 1)
	r.addRoom(t)
	service := listen(t, r.Host, lab.HostAddress+":9000")
	for n, order := range [][]int{{0, 1, 2}, {2, 1, 0}, {1, 0, 2}} {
		to := netip.AddrPortFrom(hostAddress, 9000)
		text := long(fmt.Sprint("from outside ", order), 3000)
		d := segment{protocol: model.UDP, from: netip.AddrPortFrom(remoteAddress, 99), to: to, id: uint16(n), payload: text}.ip()
		r.ipFromRemote(t, pick(cutUp(d, 1200), order...)...)
		if from := service.expect(t, string(text)); from.Addr() != remoteAddress {
			t.Errorf("the host's service saw %v", from)
		}
		text = long(fmt.Sprint("from inside ", order), 3000)
		d = segment{protocol: model.UDP, from: inside(0, 99), to: to, id: uint16(n), payload: text}.ip()
		r.ipFromEndpoint(t, 0, pick(cutUp(d, 1200), order...)...)
		if from := service.expect(t, string(text)); from.Addr() != endpointAddress(0) {
			t.Errorf("the host's service saw %v", from)
		}
	}
	if service.pending(0) {
		t.Error("the host got a datagram twice")
	}
}

// Over a link without Ethernet, both for an endpoint and for the host.
func TestFragmentsWithoutEthernet(t *testing.T) {
	t.Parallel()
	r := newRig(t, 1)
	r.addRoom(t)
	tun, own := r.addTun(t)
	r.config.Mappings[1] = mapping(model.UDP, "0.0.0.0:8080", inside(0, 80))
	r.apply(t)
	r.mute(t, 0)
	endpoint := assemble(t, r.Endpoints[0], "eth0")
	service := listen(t, r.Host, own.String()+":9000")
	remote := netip.MustParseAddrPort("192.0.2.9:99")
	for n, order := range [][]int{{0, 1, 2}, {2, 1, 0}, {1, 0, 2}} {
		text := fmt.Sprint("to the mapping ", order)
		d := segment{protocol: model.UDP, from: remote, to: netip.AddrPortFrom(own, 8080), id: uint16(n), payload: long(text, 3000)}.ip()
		for _, piece := range pick(cutUp(d, 1200), order...) {
			tun.inject(t, virtio{}, piece)
		}
		if got, w := endpoint.await(t, model.UDP, text); got.from != remote || w.pieces != 3 {
			t.Errorf("%s: from %v in %d pieces", text, got.from, w.pieces)
		}
		text = string(long(fmt.Sprint("to the host ", order), 3000))
		d = segment{protocol: model.UDP, from: remote, to: netip.AddrPortFrom(own, 9000), id: uint16(n + 100), payload: []byte(text)}.ip()
		for _, piece := range pick(cutUp(d, 1200), order...) {
			tun.inject(t, virtio{}, piece)
		}
		service.expect(t, text)
		text = fmt.Sprint("out ", order)
		d = segment{protocol: model.UDP, from: inside(0, 4000), to: remote, id: uint16(n), payload: long(text, 3000)}.ip()
		r.ipFromEndpoint(t, 0, pick(cutUp(d, 1200), order...)...)
		first := tun.await(t, text, func(p packet) bool { return strings.HasPrefix(p.payload, text) })
		if first.from.Addr() != own {
			t.Errorf("%s: from %v", text, first.from)
		}
	}
	r.noDrops(t)
}

// addTun adds an outside without Ethernet, the way to 192.0.2.0/24.
func (r *rig) addTun(t *testing.T) (*device, netip.Addr) {
	t.Helper()
	tun := openDevice(t, r.Host, "tun0", unix.IFF_TUN)
	must(t, r.Host.AddAddress("tun0", "10.99.0.1/24"))
	must(t, r.Host.AddRoute("192.0.2.0/24", "10.99.0.2"))
	index := ifindex(t, r.Host, "tun0")
	own := netip.MustParseAddr("10.99.0.1")
	r.config.Outsides[index] = Outside{NoEthernet: true}
	r.config.HostAddresses[own] = index
	r.config.Pools = append(r.config.Pools, Pool{NAT: rigNAT, Interface: index, Addresses: []PoolAddress{{Address: own, Ports: rigPorts}}})
	r.apply(t)
	r.attach(t, index, OutsideIngressL3, OutsideEgressL3)
	return tun, own
}
