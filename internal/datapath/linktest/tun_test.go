package linktest

import (
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/hostnat/hostnat/dev/lab"
	"github.com/hostnat/hostnat/internal/datapath"
	"github.com/hostnat/hostnat/internal/datapath/dptest"
	"github.com/hostnat/hostnat/internal/datapath/dptest/wire"
	"github.com/hostnat/hostnat/internal/model"
)

// An outside without Ethernet, as most VPNs are: the way to 192.0.2.0/24.
func TestOutsideWithoutEthernet(t *testing.T) {
	t.Parallel()
	r := dptest.NewRig(t, 2)
	tun := wire.OpenDevice(t, r.Host, "tun0", unix.IFF_TUN)
	wire.Must(t, r.Host.AddAddress("tun0", "10.99.0.1/24"))
	wire.Must(t, r.Host.AddRoute("192.0.2.0/24", "10.99.0.2"))
	index := wire.Ifindex(t, r.Host, "tun0")
	own := netip.MustParseAddr("10.99.0.1")
	r.Config.Outsides[index] = datapath.Outside{NoEthernet: true}
	r.Config.HostAddresses[own] = index
	r.Config.Pools = append(r.Config.Pools, datapath.Pool{NAT: wire.RigNAT, Interface: index, Addresses: []datapath.PoolAddress{{Address: own, Ports: wire.RigPorts}}})
	r.Config.Mappings[1] = dptest.Mapping(model.UDP, "0.0.0.0:8080", wire.Inside(0, 80))
	r.Apply(t)
	r.Attach(t, index, datapath.OutsideIngressL3, datapath.OutsideEgressL3)
	r.Mute(t, 0)

	remote := netip.MustParseAddrPort("192.0.2.9:99")
	for i, p := range []model.Protocol{model.UDP, model.TCP, model.ICMP} {
		from := wire.Inside(0, 4000+uint16(i))
		r.FromEndpoint(t, 0, wire.Segment{Protocol: p, Flags: wire.Syn, From: from, To: remote, Payload: []byte("out")})
		external := r.External(t, p, from)
		if external.Addr() != own {
			t.Errorf("%v leaves from %v, want the tunnel's address", p, external)
		}
		got := tun.Await(t, p.String()+" out", wire.Is(p, external, netip.AddrPort{}))
		verifyIP(t, got.Data)
		tun.Inject(t, wire.Virtio{}, wire.Segment{Protocol: p, Flags: wire.SynAck, Reply: true, From: remote, To: external, Payload: []byte("in")}.IP())
		r.AtEndpoint[0].Await(t, p.String()+" in", 1, wire.Is(p, netip.AddrPort{}, from))
	}
	tun.Inject(t, wire.Virtio{}, wire.Segment{Protocol: model.UDP, From: remote, To: netip.AddrPortFrom(own, 8080)}.IP())
	r.AtEndpoint[0].Await(t, "packet to the mapping", 1, wire.Is(model.UDP, remote, wire.Inside(0, 80)))
	// The delivered frames have the header of the inside.
	for _, p := range r.AtEndpoint[0].Came(func(p wire.Packet) bool { return p.From.Addr() == remote.Addr() }) {
		if want := string(append(wire.Hardware(dptest.EndpointMAC(0)), wire.Hardware(wire.GatewayMAC)...)); string(p.Data[:12]) != want {
			t.Errorf("Ethernet header % x, want % x", p.Data[:12], want)
		}
	}
	// To the other outside the same endpoint goes from the other address.
	r.FromEndpoint(t, 0, wire.Segment{Protocol: model.UDP, From: wire.Inside(0, 4100), To: wire.Unanswered(7, 80)})
	if external := r.External(t, model.UDP, wire.Inside(0, 4100)); external.Addr() != wire.HostAddress {
		t.Errorf("the flow to the first outside leaves from %v", external)
	}
	r.Consistent(t)
}

// Rule 1 holds there too.
func TestLeakGuardOnOutsideWithoutEthernet(t *testing.T) {
	t.Parallel()
	r := dptest.NewRig(t, 1)
	tun := wire.OpenDevice(t, r.Host, "tun0", unix.IFF_TUN)
	wire.Must(t, r.Host.AddAddress("tun0", "10.99.0.1/24"))
	wire.Must(t, r.Host.AddRoute("192.0.2.0/24", "10.99.0.2"))
	index := wire.Ifindex(t, r.Host, "tun0")
	r.Config.Outsides[index] = datapath.Outside{NoEthernet: true}
	r.Apply(t)
	r.Attach(t, index, datapath.OutsideIngressL3, datapath.OutsideEgressL3)
	openTheGates(t, r)
	client := wire.Listen(t, r.Endpoints[0], wire.Text(wire.EndpointAddress(0), "4000"))
	host := wire.Listen(t, r.Host, "10.99.0.1:4000")
	remote := netip.MustParseAddrPort("192.0.2.9:99")
	client.Send(t, remote, "leak")
	r.Dropped(t, "untranslated-inside-source", 1)
	host.Send(t, remote, "marker")
	tun.Await(t, "marker", wire.Says("marker"))
	if leaked := tun.Came(wire.Says("leak")); len(leaked) != 0 {
		t.Errorf("left untranslated: %v", leaked)
	}
	tun.Inject(t, wire.Virtio{}, wire.Segment{Protocol: model.UDP, From: remote, To: wire.Inside(0, 4000)}.IP())
	r.Dropped(t, "inside-address-from-outside", 1)
}

// verifyIP checks an IP packet's checksums.
func verifyIP(t *testing.T, ip []byte) {
	t.Helper()
	frame := wire.Ethernet("02:00:00:00:00:02", "02:00:00:00:00:01", wire.EtherIPv4, ip)
	if err := lab.VerifyChecksums(lab.Packet{Data: frame}); err != nil {
		t.Errorf("%v: %x", err, ip)
	}
}
