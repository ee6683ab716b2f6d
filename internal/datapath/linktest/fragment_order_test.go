package linktest

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
	"pgregory.net/rapid"

	"github.com/hostnat/hostnat/dev/lab"
	"github.com/hostnat/hostnat/internal/datapath"
	"github.com/hostnat/hostnat/internal/datapath/dptest"
	"github.com/hostnat/hostnat/internal/datapath/dptest/wire"
	"github.com/hostnat/hostnat/internal/model"
)

// RFC 4787 REQ-14: fragments in any order, outward and back, of each protocol.
func TestFragmentsInAnyOrder(t *testing.T) {
	t.Parallel()
	r := dptest.NewRig(t, 1)
	r.AddReassembly(t)
	r.Mute(t, 0)
	remote, endpoint := wire.Assemble(t, r.Remote, lab.RemoteLink), wire.Assemble(t, r.Endpoints[0], "eth0")
	var id uint16
	for _, p := range wire.Protocols {
		for _, order := range [][]int{{0, 1, 2}, {2, 1, 0}, {1, 0, 2}, {2, 0, 1}, {1, 2, 0}, {0, 2, 1}} {
			id++
			text := fmt.Sprintf("%v %v", p, order)
			from, to := wire.Inside(0, 4000+id), wire.Unanswered(7, 53)
			d := wire.Segment{Protocol: p, Flags: wire.Syn, From: from, To: to, ID: id, Payload: wire.Long("out "+text, 3000)}.IP()
			r.IPFromEndpoint(t, 0, wire.Pick(wire.CutUp(d, 1480), order...)...)
			got, w := remote.Await(t, p, "out "+text)
			if got.From.Addr() != wire.HostAddress || w.Pieces != 3 || got.TTL != 63 {
				t.Errorf("out %s: from %v with TTL %d in %d pieces", text, got.From, got.TTL, w.Pieces)
			}
			back := wire.Segment{Protocol: p, Flags: wire.SynAck, Reply: true, From: to, To: got.From, ID: id, TTL: 9, Payload: wire.Long("in "+text, 3000)}.IP()
			r.IPFromRemote(t, wire.Pick(wire.CutUp(back, 1200), order...)...)
			got, w = endpoint.Await(t, p, "in "+text)
			if got.To != from || w.Pieces != 3 || got.TTL != 8 {
				t.Errorf("in %s: to %v with TTL %d in %d pieces", text, got.To, got.TTL, w.Pieces)
			}
		}
	}
	noDrops(t, r)
	r.Consistent(t)
}

func noDrops(t *testing.T, r *dptest.Rig) {
	t.Helper()
	if drops := r.Drops(t); len(drops) > 0 {
		t.Errorf("drops: %v", drops)
	}
}

// Any number of datagrams, cut anywhere, their fragments shuffled together.
func TestFragmentsShuffled(t *testing.T) {
	t.Parallel()
	r := dptest.NewRig(t, 2)
	r.AddReassembly(t)
	r.Config.Mappings[1] = dptest.Mapping(model.UDP, "0.0.0.0:8080", wire.Inside(0, 80))
	r.Apply(t)
	for i := range r.Endpoints {
		r.Mute(t, i)
	}
	remote, endpoint := wire.Assemble(t, r.Remote, lab.RemoteLink), wire.Assemble(t, r.Endpoints[0], "eth0")
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
			s := wire.Segment{Protocol: model.UDP, From: wire.Inside(max(at, 0), 4000), To: wire.Unanswered(7, 53), ID: uint16(run)}
			if at < 0 {
				s.From, s.To, s.ID = wire.Unanswered(7, uint16(1000+n)), netip.AddrPortFrom(wire.HostAddress, 8080), uint16(run*8+n)
			} else {
				s.ID = uint16(run*8 + n) // the other endpoint may have the same, in another run's shuffle
			}
			s.Payload = wire.Long(text, rapid.IntRange(100, 8000).Draw(rt, "size"))
			for _, piece := range wire.CutUp(s.IP(), 8*rapid.IntRange(16, 185).Draw(rt, "piece")) {
				pieces = append(pieces, sent{at, piece})
			}
			texts = append(texts, text)
		}
		for _, p := range rapid.Permutation(pieces).Draw(rt, "order") {
			if p.at < 0 {
				r.IPFromRemote(t, p.data)
			} else {
				r.IPFromEndpoint(t, p.at, p.data)
			}
		}
		for _, text := range texts {
			wire.Eventually(t, text, func() bool { return len(remote.Came(model.UDP, text))+len(endpoint.Came(model.UDP, text)) == 1 })
		}
	})
	noDrops(t, r)
}

// RFC 3022 section 6.3, RFC 7857 section 10: two endpoints with equal
// identifications to one remote; two compartments with equal addresses too.
func TestFragmentsOfTwoDoNotMix(t *testing.T) {
	t.Parallel()
	rigs := map[string]func(*testing.T) (*dptest.Rig, [2]netip.Addr, [2]model.MAC){
		"one network": func(t *testing.T) (*dptest.Rig, [2]netip.Addr, [2]model.MAC) {
			return dptest.NewRig(t, 2), [2]netip.Addr{wire.EndpointAddress(0), wire.EndpointAddress(1)}, [2]model.MAC{wire.GatewayMAC, wire.GatewayMAC}
		},
		"two compartments": func(t *testing.T) (*dptest.Rig, [2]netip.Addr, [2]model.MAC) {
			r := dptest.NewTwoNetworkRig(t, datapath.Network{
				Compartment: wire.RigCompartment + 1, NAT: wire.RigNAT + 1, Subnet: netip.MustParsePrefix("172.16.1.0/24"), Gateway: netip.MustParseAddr("172.16.1.1"),
			}, "172.16.1.2")
			return r, [2]netip.Addr{wire.EndpointAddress(0), wire.EndpointAddress(0)}, [2]model.MAC{wire.GatewayMAC, wire.SecondMAC}
		},
	}
	for name, make := range rigs {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, addresses, gateways := make(t)
			r.AddReassembly(t)
			remote := wire.Assemble(t, r.Remote, lab.RemoteLink)
			var cut [2][][]byte
			for i, a := range addresses {
				cut[i] = wire.CutUp(wire.Segment{
					Protocol: model.UDP, From: netip.AddrPortFrom(a, 4000), To: wire.Unanswered(7, 53), ID: 77, Payload: wire.Long(fmt.Sprint("endpoint ", i), 4000),
				}.IP(), 1000)
			}
			for n := range cut[0] {
				for i := range cut { // one forwards, the other backwards, by turns
					at := n
					if i == 1 {
						at = len(cut[i]) - 1 - n
					}
					r.Send(t, r.Endpoints[i], "eth0", wire.Ethernet(dptest.EndpointMAC(i), gateways[i], wire.EtherIPv4, cut[i][at]))
				}
			}
			for i := range cut {
				if _, w := remote.Await(t, model.UDP, fmt.Sprint("endpoint ", i)); w.Pieces != len(cut[i]) {
					t.Errorf("endpoint %d: %d pieces", i, w.Pieces)
				}
			}
			ids := map[uint16]bool{}
			for _, p := range remote.Seen() {
				ids[p.ID] = true
			}
			if len(ids) != 2 {
				t.Errorf("identifications outside: %v, want two", ids)
			}
			noDrops(t, r)
		})
	}
}

// RFC 4787 REQ-9 with fragments: a mapping's endpoint, and the sender itself.
func TestFragmentsThroughHairpin(t *testing.T) {
	t.Parallel()
	r := dptest.NewRig(t, 2)
	r.AddReassembly(t)
	r.Config.Mappings[1] = dptest.Mapping(model.UDP, "0.0.0.0:8080", wire.Inside(0, 80))
	r.Config.Mappings[2] = dptest.Mapping(model.TCP, "0.0.0.0:8080", wire.Inside(0, 80))
	r.Apply(t)
	r.Mute(t, 0)
	r.Mute(t, 1)
	endpoint, back := wire.Assemble(t, r.Endpoints[0], "eth0"), wire.Assemble(t, r.Endpoints[1], "eth0")
	published := netip.AddrPortFrom(wire.HostAddress, 8080)
	var id uint16
	for _, p := range []model.Protocol{model.UDP, model.TCP} {
		for _, order := range [][]int{{0, 1, 2}, {2, 1, 0}, {1, 2, 0}} {
			id++
			text := fmt.Sprintf("%v %v", p, order)
			from := wire.Inside(1, 5000+id)
			d := wire.Segment{Protocol: p, Flags: wire.Syn, From: from, To: published, ID: id, Payload: wire.Long(text, 3000)}.IP()
			r.IPFromEndpoint(t, 1, wire.Pick(wire.CutUp(d, 1200), order...)...)
			got, w := endpoint.Await(t, p, text)
			if got.From.Addr() != wire.HostAddress || got.To != wire.Inside(0, 80) || w.Pieces != 3 || got.TTL != 63 {
				t.Errorf("%s: %v to %v with TTL %d in %d pieces", text, got.From, got.To, got.TTL, w.Pieces)
			}
			d = wire.Segment{Protocol: p, Flags: wire.SynAck, From: wire.Inside(0, 80), To: got.From, ID: id, Payload: wire.Long("re "+text, 3000)}.IP()
			r.IPFromEndpoint(t, 0, wire.Pick(wire.CutUp(d, 1200), order...)...)
			if got, _ = back.Await(t, p, "re "+text); got.From != published || got.To != from {
				t.Errorf("answer to %s: %v to %v", text, got.From, got.To)
			}
		}
	}
	noDrops(t, r)
	r.Consistent(t)
}

// What is the host's stays the host's, in whatever order: from outside, and from an endpoint.
func TestFragmentsForTheHost(t *testing.T) {
	t.Parallel()
	r := dptest.NewRig(t, 1)
	r.AddReassembly(t)
	service := wire.Listen(t, r.Host, lab.HostAddress+":9000")
	for n, order := range [][]int{{0, 1, 2}, {2, 1, 0}, {1, 0, 2}} {
		to := netip.AddrPortFrom(wire.HostAddress, 9000)
		text := wire.Long(fmt.Sprint("from outside ", order), 3000)
		d := wire.Segment{Protocol: model.UDP, From: netip.AddrPortFrom(wire.RemoteAddress, 99), To: to, ID: uint16(n), Payload: text}.IP()
		r.IPFromRemote(t, wire.Pick(wire.CutUp(d, 1200), order...)...)
		if from := service.Expect(t, string(text)); from.Addr() != wire.RemoteAddress {
			t.Errorf("the host's service saw %v", from)
		}
		text = wire.Long(fmt.Sprint("from inside ", order), 3000)
		d = wire.Segment{Protocol: model.UDP, From: wire.Inside(0, 99), To: to, ID: uint16(n), Payload: text}.IP()
		r.IPFromEndpoint(t, 0, wire.Pick(wire.CutUp(d, 1200), order...)...)
		if from := service.Expect(t, string(text)); from.Addr() != wire.EndpointAddress(0) {
			t.Errorf("the host's service saw %v", from)
		}
	}
	if service.Pending(0) {
		t.Error("the host got a datagram twice")
	}
}

// Over a link without Ethernet, both for an endpoint and for the host.
func TestFragmentsWithoutEthernet(t *testing.T) {
	t.Parallel()
	r := dptest.NewRig(t, 1)
	r.AddReassembly(t)
	tun, own := addTun(t, r)
	r.Config.Mappings[1] = dptest.Mapping(model.UDP, "0.0.0.0:8080", wire.Inside(0, 80))
	r.Apply(t)
	r.Mute(t, 0)
	endpoint := wire.Assemble(t, r.Endpoints[0], "eth0")
	service := wire.Listen(t, r.Host, own.String()+":9000")
	remote := netip.MustParseAddrPort("192.0.2.9:99")
	for n, order := range [][]int{{0, 1, 2}, {2, 1, 0}, {1, 0, 2}} {
		text := fmt.Sprint("to the mapping ", order)
		d := wire.Segment{Protocol: model.UDP, From: remote, To: netip.AddrPortFrom(own, 8080), ID: uint16(n), Payload: wire.Long(text, 3000)}.IP()
		for _, piece := range wire.Pick(wire.CutUp(d, 1200), order...) {
			tun.Inject(t, wire.Virtio{}, piece)
		}
		if got, w := endpoint.Await(t, model.UDP, text); got.From != remote || w.Pieces != 3 {
			t.Errorf("%s: from %v in %d pieces", text, got.From, w.Pieces)
		}
		text = string(wire.Long(fmt.Sprint("to the host ", order), 3000))
		d = wire.Segment{Protocol: model.UDP, From: remote, To: netip.AddrPortFrom(own, 9000), ID: uint16(n + 100), Payload: []byte(text)}.IP()
		for _, piece := range wire.Pick(wire.CutUp(d, 1200), order...) {
			tun.Inject(t, wire.Virtio{}, piece)
		}
		service.Expect(t, text)
		text = fmt.Sprint("out ", order)
		d = wire.Segment{Protocol: model.UDP, From: wire.Inside(0, 4000), To: remote, ID: uint16(n), Payload: wire.Long(text, 3000)}.IP()
		r.IPFromEndpoint(t, 0, wire.Pick(wire.CutUp(d, 1200), order...)...)
		first := tun.Await(t, text, func(p wire.Packet) bool { return strings.HasPrefix(p.Payload, text) })
		if first.From.Addr() != own {
			t.Errorf("%s: from %v", text, first.From)
		}
	}
	noDrops(t, r)
}

// addTun adds an outside without Ethernet, the way to 192.0.2.0/24.
func addTun(t *testing.T, r *dptest.Rig) (*wire.Device, netip.Addr) {
	t.Helper()
	tun := wire.OpenDevice(t, r.Host, "tun0", unix.IFF_TUN)
	wire.Must(t, r.Host.AddAddress("tun0", "10.99.0.1/24"))
	wire.Must(t, r.Host.AddRoute("192.0.2.0/24", "10.99.0.2"))
	index := wire.Ifindex(t, r.Host, "tun0")
	own := netip.MustParseAddr("10.99.0.1")
	r.Config.Outsides[index] = datapath.Outside{NoEthernet: true}
	r.Config.HostAddresses[own] = index
	r.Config.Pools = append(r.Config.Pools, datapath.Pool{NAT: wire.RigNAT, Interface: index, Addresses: []datapath.PoolAddress{{Address: own, Ports: wire.RigPorts}}})
	r.Apply(t)
	r.Attach(t, index, datapath.OutsideIngressL3, datapath.OutsideEgressL3)
	return tun, own
}
