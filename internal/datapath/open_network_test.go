package datapath

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/hostnat/hostnat/dev/lab"
	"github.com/hostnat/hostnat/internal/model"
)

var openAddress = netip.MustParseAddr("172.16.2.2")

// newOpenRig has two networks of one compartment that are open to each other,
// with an endpoint each.
func newOpenRig(t *testing.T) *rig {
	t.Helper()
	r := newTwoNetworkRig(t, Network{
		Compartment: rigCompartment, NAT: rigNAT, Subnet: netip.MustParsePrefix("172.16.2.0/24"),
		Gateway: netip.MustParseAddr("172.16.2.1"), Open: true,
	}, openAddress.String())
	r.setOpen(t, true)
	return r
}

// setOpen opens the first network, or isolates it.
func (r *rig) setOpen(t *testing.T, open bool) {
	t.Helper()
	n := r.config.Networks[rigNetwork]
	n.Open = open
	r.config.Networks[rigNetwork] = n
	r.apply(t)
}

// fromSecond sends from endpoint 1, which is in the second network.
func (r *rig) fromSecond(t *testing.T, segments ...segment) {
	t.Helper()
	for _, s := range segments {
		r.send(t, r.Endpoints[1], "eth0", ethernet(endpointMAC(1), secondMAC, etherIPv4, s.ip()))
	}
}

// muteAt is mute for an endpoint whose address is another than endpointAddress.
func (r *rig) muteAt(t *testing.T, i int, a netip.Addr) {
	t.Helper()
	must(t, r.Endpoints[i].DeleteAddress("eth0", netip.PrefixFrom(a, 24).String()))
}

func atOpen(port uint16) netip.AddrPort { return netip.AddrPortFrom(openAddress, port) }

// asksAcross reports how the second endpoint's servers see the first one.
func (r *rig) asksAcross(t *testing.T, network string) netip.Addr {
	t.Helper()
	server, err := lab.EchoServer(r.Endpoints[1], network, text(openAddress, "80"))
	must(t, err)
	defer server.Close()
	seen, err := lab.Ask(withTimeout(t), r.Endpoints[0], network, text(openAddress, "80"))
	if err != nil {
		t.Fatalf("%s: %v; drops %v", network, err, r.drops(t))
	}
	return seen.Addr()
}

// Both sides see each other's own address, and no port is taken for it.
func TestOpenNetworksReachEachOther(t *testing.T) {
	t.Parallel()
	r := newOpenRig(t)
	for _, network := range []string{"tcp", "udp"} {
		if seen := r.asksAcross(t, network); seen != endpointAddress(0) {
			t.Errorf("%s: seen as %v", network, seen)
		}
	}
	ctx := withTimeout(t)
	for i, to := range []netip.Addr{openAddress, endpointAddress(0)} {
		if _, err := lab.Ping(ctx, r.Endpoints[i], to.String()); err != nil {
			t.Error(err)
		}
	}
	if got := r.sessions(t); len(got) != 0 {
		t.Errorf("sessions %+v", got)
	}
	for _, p := range r.atEndpoint[1].came(func(p packet) bool { return p.from.Addr() == endpointAddress(0) }) {
		if p.ttl != 63 {
			t.Errorf("%+v has TTL %d, one router was in between", p, p.ttl)
		}
	}
	r.noDrops(t)
	r.bothWork(t, "172.16.1.2", "172.16.2.2") // and the outside as ever
}

// Offloaded segments and checksums survive the way.
func TestBulkTCPBetweenOpenNetworks(t *testing.T) {
	t.Parallel()
	r := newOpenRig(t)
	bulk(t, r.Endpoints[0], r.Endpoints[1], text(openAddress, "80"), text(openAddress, "80"))
	r.noDrops(t)
}

// One setting lets them, and takes it away again at once.
func TestNetworkIsClosedAgain(t *testing.T) {
	t.Parallel()
	r := newOpenRig(t)
	r.asksAcross(t, "udp")
	r.setOpen(t, false)
	r.isolated(t)
	r.setOpen(t, true)
	r.asksAcross(t, "udp")
}

// Compartments are apart, open or not: the same prefix is on both sides of the
// border, and what is sent there stays in its own.
func TestOpenNetworksOfTwoCompartments(t *testing.T) {
	t.Parallel()
	r := newBareRig(t, 4)
	subnet := func(i int) netip.Prefix { return netip.MustParsePrefix(fmt.Sprintf("172.16.%d.0/24", i)) }
	for i := range 4 {
		compartment, n := uint32(rigCompartment+i/2), 1+i%2
		r.addNetwork(t, uint32(rigNetwork+i), fmt.Sprint("br", i), Network{
			Compartment: compartment, NAT: rigNAT, Subnet: subnet(n), Open: true,
			Gateway: subnet(n).Addr().Next(), GatewayMAC: model.MAC(fmt.Sprintf("02:00:00:00:00:0%d", i+1)),
		})
		r.addEndpoint(t, i, uint32(rigNetwork+i), subnet(n).Addr().Next().Next())
	}
	r.apply(t)
	for i := range 4 {
		r.muteAt(t, i, subnet(1+i%2).Addr().Next().Next())
	}
	for i := range 4 {
		from, to := subnet(1+i%2).Addr().Next().Next(), subnet(2-i%2).Addr().Next().Next()
		s := segment{protocol: model.UDP, from: netip.AddrPortFrom(from, 4000), to: netip.AddrPortFrom(to, 5000), payload: []byte(fmt.Sprint("from ", i))}
		r.send(t, r.Endpoints[i], "eth0", ethernet(endpointMAC(i), r.config.Networks[uint32(rigNetwork+i)].GatewayMAC, etherIPv4, s.ip()))
	}
	for i := range 4 {
		r.atEndpoint[i].await(t, fmt.Sprint("what is for endpoint ", i), 1, says(fmt.Sprint("from ", i^1)))
		if got := r.atEndpoint[i].came(func(p packet) bool { return says(fmt.Sprint("from ", i^2))(p) || says(fmt.Sprint("from ", i^3))(p) }); len(got) != 0 {
			t.Errorf("endpoint %d got what is of the other compartment: %+v", i, got)
		}
	}
	r.noDrops(t)
}

// A hop is counted, and who runs out of them is told by its own gateway.
func TestHopLimitBetweenOpenNetworks(t *testing.T) {
	t.Parallel()
	r := newOpenRig(t)
	r.mute(t, 0)
	r.muteAt(t, 1, openAddress)
	r.fromEndpoint(t, 0, segment{protocol: model.UDP, ttl: 1, from: inside(0, 4000), to: atOpen(33434), payload: []byte("too far")})
	r.atEndpoint[0].await(t, "time exceeded", 1, func(p packet) bool {
		return p.protocol == model.ICMP && p.data[34] == 11 && p.from.Addr() == netip.MustParseAddr("172.16.1.1")
	})
	r.dropped(t, "hop-limit", 1)
	r.fromEndpoint(t, 0, segment{protocol: model.UDP, ttl: 2, from: inside(0, 4000), to: atOpen(33434), payload: []byte("just")})
	if p := r.atEndpoint[1].await(t, "the next", 1, says("just"))[0]; p.ttl != 1 {
		t.Errorf("TTL %d", p.ttl)
	}
	if got := r.atEndpoint[1].came(says("too far")); len(got) != 0 {
		t.Errorf("came in: %v", got)
	}
}

// An endpoint's own stack answers with an error; it is routed like any packet.
func TestErrorsBetweenOpenNetworks(t *testing.T) {
	t.Parallel()
	r := newOpenRig(t)
	client := listen(t, r.Endpoints[0], text(endpointAddress(0), "4000"))
	client.send(t, atOpen(9), "nobody there")
	r.atEndpoint[0].await(t, "port unreachable", 1, func(p packet) bool {
		return p.protocol == model.ICMP && p.data[34] == 3 && p.data[35] == 3 && p.from.Addr() == openAddress
	})
	r.noDrops(t)
}

// What may be cut is cut; who forbids it is told the MTU.
func TestMTUBetweenOpenNetworks(t *testing.T) {
	t.Parallel()
	r := newOpenRig(t)
	r.addRoom(t)
	r.mute(t, 0)
	must(t, r.Host.SetMTU(hostSide(1), narrow))
	r.config.Endpoints[1].MTU = narrow
	r.apply(t)
	at := assemble(t, r.Endpoints[1], "eth0")
	for i, p := range protocols {
		whole := fmt.Sprint("whole ", p)
		r.fromEndpoint(t, 0, segment{protocol: p, flags: syn, from: inside(0, uint16(4000+i)), to: atOpen(53), id: uint16(i + 1), payload: long(whole, 1400)})
		if got, w := at.await(t, p, whole); got.from.Addr() != endpointAddress(0) || w.pieces != 2 || got.ttl != 63 {
			t.Errorf("%s from %v with TTL %d in %d pieces", whole, got.from, got.ttl, w.pieces)
		}
		cut := fmt.Sprint("cut ", p)
		d := segment{protocol: p, flags: syn, from: inside(0, uint16(4000+i)), to: atOpen(53), id: uint16(20 + i), payload: long(cut, 4000)}.ip()
		r.ipFromEndpoint(t, 0, cutUp(d, 1480)...)
		if got, w := at.await(t, p, cut); w.pieces < 4 || got.ttl != 63 {
			t.Errorf("%s: TTL %d in %d pieces", cut, got.ttl, w.pieces)
		}
	}
	at.checkPieces(t, narrow)
	r.noDrops(t)
	r.fromEndpoint(t, 0, segment{protocol: model.UDP, fragment: 0x4000, from: inside(0, 4500), to: atOpen(53), payload: long("not to be cut", 1400)})
	r.atEndpoint[0].await(t, "fragmentation needed", 1, func(p packet) bool {
		return p.protocol == model.ICMP && p.data[34] == 3 && p.data[35] == 4 && int(p.data[40])<<8|int(p.data[41]) == narrow
	})
	r.dropped(t, "packet-too-big", 1)
}

// Fragments need no room: no port has to be known.
func TestFragmentsBetweenOpenNetworks(t *testing.T) {
	t.Parallel()
	r := newOpenRig(t)
	r.mute(t, 0)
	at := assemble(t, r.Endpoints[1], "eth0")
	for i, order := range [][]int{{0, 1, 2}, {2, 1, 0}, {1, 2, 0}} {
		text := fmt.Sprint("order ", i)
		d := segment{protocol: model.UDP, from: inside(0, 4000), to: atOpen(53), id: uint16(10 + i), payload: long(text, 4000)}.ip()
		r.ipFromEndpoint(t, 0, pick(cutUp(d, 1480), order...)...)
		if _, w := at.await(t, model.UDP, text); w.pieces != 3 {
			t.Errorf("%s in %d pieces", text, w.pieces)
		}
	}
	r.noDrops(t)
}

// Nobody speaks under another's address, and nobody speaks to all of a network.
func TestForgeriesBetweenOpenNetworks(t *testing.T) {
	t.Parallel()
	r := newOpenRig(t)
	r.mute(t, 0)
	r.muteAt(t, 1, openAddress)
	forged := func(from, to string) segment {
		return segment{protocol: model.UDP, from: netip.MustParseAddrPort(from), to: netip.MustParseAddrPort(to), payload: []byte("forged")}
	}
	r.fromEndpoint(t, 0,
		forged("172.16.1.3:4000", "172.16.2.2:53"), forged("172.16.2.3:4000", "172.16.2.2:53"),
		forged("172.16.2.1:4000", "172.16.2.2:53"), forged("8.8.8.8:53", "172.16.2.2:53"))
	r.dropped(t, "spoofed-source", 4)
	r.fromEndpoint(t, 0, forged("172.16.1.2:4000", "172.16.2.255:53"), forged("172.16.1.2:4000", "172.16.2.0:53"))
	r.dropped(t, "isolated-network", 2)
	if got := r.atEndpoint[1].came(says("forged")); len(got) != 0 {
		t.Errorf("came in: %+v", got)
	}
}

// A link that was plugged in by hand is reached, and reaches: both ways by its bridge.
func TestUnmanagedPortOfOpenNetwork(t *testing.T) {
	t.Parallel()
	r := newOpenRig(t)
	index := ifindex(t, r.Host, hostSide(1))
	must(t, r.Host.Do(func() error { return r.dp.Detach(Attachment{Interface: index, Hook: InsideIngress}) }))
	delete(r.config.Insides, index)
	r.config.Endpoints = r.config.Endpoints[:1]
	r.apply(t)
	for _, network := range []string{"tcp", "udp"} {
		if seen := r.asksAcross(t, network); seen != endpointAddress(0) {
			t.Errorf("%s: seen as %v", network, seen)
		}
	}
	r.fromSecond(t, segment{protocol: model.UDP, from: netip.MustParseAddrPort("172.16.1.9:4000"), to: inside(0, 53), payload: []byte("forged")})
	r.dropped(t, "spoofed-source", 1)
}

// Networks without NAT are internal, and open ones reach each other all the same.
func TestOpenNetworkWithoutNAT(t *testing.T) {
	t.Parallel()
	r := newOpenRig(t)
	n := r.config.Networks[rigNetwork]
	n.NAT = 0
	r.config.Networks[rigNetwork] = n
	r.apply(t)
	if seen := r.asksAcross(t, "tcp"); seen != endpointAddress(0) {
		t.Errorf("seen as %v", seen)
	}
	r.mute(t, 0)
	r.fromEndpoint(t, 0, segment{protocol: model.UDP, from: inside(0, 4000), to: stranger(7, 80)})
	r.dropped(t, "no-nat", 1)
}
