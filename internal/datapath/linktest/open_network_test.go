package linktest

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/hostnat/hostnat/dev/lab"
	"github.com/hostnat/hostnat/internal/datapath"
	"github.com/hostnat/hostnat/internal/datapath/dptest"
	"github.com/hostnat/hostnat/internal/datapath/dptest/wire"
	"github.com/hostnat/hostnat/internal/model"
)

var openAddress = netip.MustParseAddr("172.16.2.2")

// newOpenRig has two networks of one compartment that are open to each other,
// with an endpoint each.
func newOpenRig(t *testing.T) *dptest.Rig {
	t.Helper()
	r := dptest.NewTwoNetworkRig(t, datapath.Network{
		Compartment: wire.RigCompartment, NAT: wire.RigNAT, Subnet: netip.MustParsePrefix("172.16.2.0/24"),
		Gateway: netip.MustParseAddr("172.16.2.1"), Open: true,
	}, openAddress.String())
	setOpen(t, r, true)
	return r
}

// setOpen opens the first network, or isolates it.
func setOpen(t *testing.T, r *dptest.Rig, open bool) {
	t.Helper()
	n := r.Config.Networks[wire.RigNetwork]
	n.Open = open
	r.Config.Networks[wire.RigNetwork] = n
	r.Apply(t)
}

// fromSecond sends from endpoint 1, which is in the second network.
func fromSecond(t *testing.T, r *dptest.Rig, segments ...wire.Segment) {
	t.Helper()
	for _, s := range segments {
		r.Send(t, r.Endpoints[1], "eth0", wire.Ethernet(dptest.EndpointMAC(1), wire.SecondMAC, wire.EtherIPv4, s.IP()))
	}
}

// muteAt is mute for an endpoint whose address is another than endpointAddress.
func muteAt(t *testing.T, r *dptest.Rig, i int, a netip.Addr) {
	t.Helper()
	wire.Must(t, r.Endpoints[i].DeleteAddress("eth0", netip.PrefixFrom(a, 24).String()))
}

func atOpen(port uint16) netip.AddrPort { return netip.AddrPortFrom(openAddress, port) }

// asksAcross reports how the second endpoint's servers see the first one.
func asksAcross(t *testing.T, r *dptest.Rig, network string) netip.Addr {
	t.Helper()
	server, err := lab.EchoServer(r.Endpoints[1], network, wire.Text(openAddress, "80"))
	wire.Must(t, err)
	defer server.Close()
	seen, err := lab.Ask(wire.WithTimeout(t), r.Endpoints[0], network, wire.Text(openAddress, "80"))
	if err != nil {
		t.Fatalf("%s: %v; drops %v", network, err, r.Drops(t))
	}
	return seen.Addr()
}

// Both sides see each other's own address, and no port is taken for it.
func TestOpenNetworksReachEachOther(t *testing.T) {
	t.Parallel()
	r := newOpenRig(t)
	for _, network := range []string{"tcp", "udp"} {
		if seen := asksAcross(t, r, network); seen != wire.EndpointAddress(0) {
			t.Errorf("%s: seen as %v", network, seen)
		}
	}
	ctx := wire.WithTimeout(t)
	for i, to := range []netip.Addr{openAddress, wire.EndpointAddress(0)} {
		if _, err := lab.Ping(ctx, r.Endpoints[i], to.String()); err != nil {
			t.Error(err)
		}
	}
	if got := r.Sessions(t); len(got) != 0 {
		t.Errorf("sessions %+v", got)
	}
	for _, p := range r.AtEndpoint[1].Came(func(p wire.Packet) bool { return p.From.Addr() == wire.EndpointAddress(0) }) {
		if p.TTL != 63 {
			t.Errorf("%+v has TTL %d, one router was in between", p, p.TTL)
		}
	}
	noDrops(t, r)
	bothWork(t, r, "172.16.1.2", "172.16.2.2") // and the outside as ever
}

// Offloaded segments and checksums survive the way.
func TestBulkTCPBetweenOpenNetworks(t *testing.T) {
	t.Parallel()
	r := newOpenRig(t)
	bulk(t, r.Endpoints[0], r.Endpoints[1], wire.Text(openAddress, "80"), wire.Text(openAddress, "80"))
	noDrops(t, r)
}

// One setting lets them, and takes it away again at once.
func TestNetworkIsClosedAgain(t *testing.T) {
	t.Parallel()
	r := newOpenRig(t)
	asksAcross(t, r, "udp")
	setOpen(t, r, false)
	isolated(t, r)
	setOpen(t, r, true)
	asksAcross(t, r, "udp")
}

// Compartments are apart, open or not: the same prefix is on both sides of the
// border, and what is sent there stays in its own.
func TestOpenNetworksOfTwoCompartments(t *testing.T) {
	t.Parallel()
	r := dptest.NewBareRig(t, 4)
	subnet := func(i int) netip.Prefix { return netip.MustParsePrefix(fmt.Sprintf("172.16.%d.0/24", i)) }
	for i := range 4 {
		compartment, n := uint32(wire.RigCompartment+i/2), 1+i%2
		r.AddNetwork(t, uint32(wire.RigNetwork+i), fmt.Sprint("br", i), datapath.Network{
			Compartment: compartment, NAT: wire.RigNAT, Subnet: subnet(n), Open: true,
			Gateway: subnet(n).Addr().Next(), GatewayMAC: model.MAC(fmt.Sprintf("02:00:00:00:00:0%d", i+1)),
		})
		r.AddEndpoint(t, i, uint32(wire.RigNetwork+i), subnet(n).Addr().Next().Next())
	}
	r.Apply(t)
	for i := range 4 {
		muteAt(t, r, i, subnet(1+i%2).Addr().Next().Next())
	}
	for i := range 4 {
		from, to := subnet(1+i%2).Addr().Next().Next(), subnet(2-i%2).Addr().Next().Next()
		s := wire.Segment{Protocol: model.UDP, From: netip.AddrPortFrom(from, 4000), To: netip.AddrPortFrom(to, 5000), Payload: []byte(fmt.Sprint("from ", i))}
		r.Send(t, r.Endpoints[i], "eth0", wire.Ethernet(dptest.EndpointMAC(i), r.Config.Networks[uint32(wire.RigNetwork+i)].GatewayMAC, wire.EtherIPv4, s.IP()))
	}
	for i := range 4 {
		r.AtEndpoint[i].Await(t, fmt.Sprint("what is for endpoint ", i), 1, wire.Says(fmt.Sprint("from ", i^1)))
		if got := r.AtEndpoint[i].Came(func(p wire.Packet) bool {
			return wire.Says(fmt.Sprint("from ", i^2))(p) || wire.Says(fmt.Sprint("from ", i^3))(p)
		}); len(got) != 0 {
			t.Errorf("endpoint %d got what is of the other compartment: %+v", i, got)
		}
	}
	noDrops(t, r)
}

// A hop is counted, and who runs out of them is told by its own gateway.
func TestHopLimitBetweenOpenNetworks(t *testing.T) {
	t.Parallel()
	r := newOpenRig(t)
	r.Mute(t, 0)
	muteAt(t, r, 1, openAddress)
	r.FromEndpoint(t, 0, wire.Segment{Protocol: model.UDP, TTL: 1, From: wire.Inside(0, 4000), To: atOpen(33434), Payload: []byte("too far")})
	r.AtEndpoint[0].Await(t, "time exceeded", 1, func(p wire.Packet) bool {
		return p.Protocol == model.ICMP && p.Data[34] == 11 && p.From.Addr() == netip.MustParseAddr("172.16.1.1")
	})
	r.Dropped(t, "hop-limit", 1)
	r.FromEndpoint(t, 0, wire.Segment{Protocol: model.UDP, TTL: 2, From: wire.Inside(0, 4000), To: atOpen(33434), Payload: []byte("just")})
	if p := r.AtEndpoint[1].Await(t, "the next", 1, wire.Says("just"))[0]; p.TTL != 1 {
		t.Errorf("TTL %d", p.TTL)
	}
	if got := r.AtEndpoint[1].Came(wire.Says("too far")); len(got) != 0 {
		t.Errorf("came in: %v", got)
	}
}

// An endpoint's own stack answers with an error; it is routed like any packet.
func TestErrorsBetweenOpenNetworks(t *testing.T) {
	t.Parallel()
	r := newOpenRig(t)
	client := wire.Listen(t, r.Endpoints[0], wire.Text(wire.EndpointAddress(0), "4000"))
	client.Send(t, atOpen(9), "nobody there")
	r.AtEndpoint[0].Await(t, "port unreachable", 1, func(p wire.Packet) bool {
		return p.Protocol == model.ICMP && p.Data[34] == 3 && p.Data[35] == 3 && p.From.Addr() == openAddress
	})
	noDrops(t, r)
}

// What may be cut is cut; who forbids it is told the MTU.
func TestMTUBetweenOpenNetworks(t *testing.T) {
	t.Parallel()
	r := newOpenRig(t)
	r.AddReassembly(t)
	r.Mute(t, 0)
	wire.Must(t, r.Host.SetMTU(dptest.HostSide(1), wire.Narrow))
	r.Config.Endpoints[1].MTU = wire.Narrow
	r.Apply(t)
	at := wire.Assemble(t, r.Endpoints[1], "eth0")
	for i, p := range wire.Protocols {
		whole := fmt.Sprint("whole ", p)
		r.FromEndpoint(t, 0, wire.Segment{Protocol: p, Flags: wire.Syn, From: wire.Inside(0, uint16(4000+i)), To: atOpen(53), ID: uint16(i + 1), Payload: wire.Long(whole, 1400)})
		if got, w := at.Await(t, p, whole); got.From.Addr() != wire.EndpointAddress(0) || w.Pieces != 2 || got.TTL != 63 {
			t.Errorf("%s from %v with TTL %d in %d pieces", whole, got.From, got.TTL, w.Pieces)
		}
		cut := fmt.Sprint("cut ", p)
		d := wire.Segment{Protocol: p, Flags: wire.Syn, From: wire.Inside(0, uint16(4000+i)), To: atOpen(53), ID: uint16(20 + i), Payload: wire.Long(cut, 4000)}.IP()
		r.IPFromEndpoint(t, 0, wire.CutUp(d, 1480)...)
		if got, w := at.Await(t, p, cut); w.Pieces < 4 || got.TTL != 63 {
			t.Errorf("%s: TTL %d in %d pieces", cut, got.TTL, w.Pieces)
		}
	}
	at.CheckPieces(t, wire.Narrow)
	noDrops(t, r)
	r.FromEndpoint(t, 0, wire.Segment{Protocol: model.UDP, Fragment: 0x4000, From: wire.Inside(0, 4500), To: atOpen(53), Payload: wire.Long("not to be cut", 1400)})
	r.AtEndpoint[0].Await(t, "fragmentation needed", 1, func(p wire.Packet) bool {
		return p.Protocol == model.ICMP && p.Data[34] == 3 && p.Data[35] == 4 && int(p.Data[40])<<8|int(p.Data[41]) == wire.Narrow
	})
	r.Dropped(t, "packet-too-big", 1)
}

// Fragments need no room: no port has to be known.
func TestFragmentsBetweenOpenNetworks(t *testing.T) {
	t.Parallel()
	r := newOpenRig(t)
	r.Mute(t, 0)
	at := wire.Assemble(t, r.Endpoints[1], "eth0")
	for i, order := range [][]int{{0, 1, 2}, {2, 1, 0}, {1, 2, 0}} {
		text := fmt.Sprint("order ", i)
		d := wire.Segment{Protocol: model.UDP, From: wire.Inside(0, 4000), To: atOpen(53), ID: uint16(10 + i), Payload: wire.Long(text, 4000)}.IP()
		r.IPFromEndpoint(t, 0, wire.Pick(wire.CutUp(d, 1480), order...)...)
		if _, w := at.Await(t, model.UDP, text); w.Pieces != 3 {
			t.Errorf("%s in %d pieces", text, w.Pieces)
		}
	}
	noDrops(t, r)
}

// Nobody speaks under another's address, and nobody speaks to all of a network.
func TestForgeriesBetweenOpenNetworks(t *testing.T) {
	t.Parallel()
	r := newOpenRig(t)
	r.Mute(t, 0)
	muteAt(t, r, 1, openAddress)
	forged := func(from, to string) wire.Segment {
		return wire.Segment{Protocol: model.UDP, From: netip.MustParseAddrPort(from), To: netip.MustParseAddrPort(to), Payload: []byte("forged")}
	}
	r.FromEndpoint(t, 0,
		forged("172.16.1.3:4000", "172.16.2.2:53"), forged("172.16.2.3:4000", "172.16.2.2:53"),
		forged("172.16.2.1:4000", "172.16.2.2:53"), forged("8.8.8.8:53", "172.16.2.2:53"))
	r.Dropped(t, "spoofed-source", 4)
	r.FromEndpoint(t, 0, forged("172.16.1.2:4000", "172.16.2.255:53"), forged("172.16.1.2:4000", "172.16.2.0:53"))
	r.Dropped(t, "isolated-network", 2)
	if got := r.AtEndpoint[1].Came(wire.Says("forged")); len(got) != 0 {
		t.Errorf("came in: %+v", got)
	}
}

// A link that was plugged in by hand is reached, and reaches: both ways by its bridge.
func TestUnmanagedPortOfOpenNetwork(t *testing.T) {
	t.Parallel()
	r := newOpenRig(t)
	index := wire.Ifindex(t, r.Host, dptest.HostSide(1))
	wire.Must(t, r.Host.Do(func() error {
		return r.Datapath.Detach(datapath.Attachment{Interface: index, Hook: datapath.InsideIngress})
	}))
	delete(r.Config.Insides, index)
	r.Config.Endpoints = r.Config.Endpoints[:1]
	for id, n := range r.Config.Networks {
		n.Unguarded = true // else it would have to be noticed first
		r.Config.Networks[id] = n
	}
	r.Apply(t)
	for _, network := range []string{"tcp", "udp"} {
		if seen := asksAcross(t, r, network); seen != wire.EndpointAddress(0) {
			t.Errorf("%s: seen as %v", network, seen)
		}
	}
	fromSecond(t, r, wire.Segment{Protocol: model.UDP, From: netip.MustParseAddrPort("172.16.1.9:4000"), To: wire.Inside(0, 53), Payload: []byte("forged")})
	r.Dropped(t, "spoofed-source", 1)
}

// Networks without NAT are internal, and open ones reach each other all the same.
func TestOpenNetworkWithoutNAT(t *testing.T) {
	t.Parallel()
	r := newOpenRig(t)
	n := r.Config.Networks[wire.RigNetwork]
	n.NAT = 0
	r.Config.Networks[wire.RigNetwork] = n
	r.Apply(t)
	if seen := asksAcross(t, r, "tcp"); seen != wire.EndpointAddress(0) {
		t.Errorf("seen as %v", seen)
	}
	r.Mute(t, 0)
	r.FromEndpoint(t, 0, wire.Segment{Protocol: model.UDP, From: wire.Inside(0, 4000), To: wire.Unanswered(7, 80)})
	r.Dropped(t, "no-nat", 1)
}
