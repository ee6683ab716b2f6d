package datapath

import (
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/hostnat/hostnat/dev/lab"
	"github.com/hostnat/hostnat/internal/model"
)

// An outside without Ethernet, as most VPNs are: the way to 192.0.2.0/24.
func TestOutsideWithoutEthernet(t *testing.T) {
	t.Parallel()
	r := newRig(t, 2)
	tun := openDevice(t, r.Host, "tun0", unix.IFF_TUN)
	must(t, r.Host.AddAddress("tun0", "10.99.0.1/24"))
	must(t, r.Host.AddRoute("192.0.2.0/24", "10.99.0.2"))
	index := ifindex(t, r.Host, "tun0")
	own := netip.MustParseAddr("10.99.0.1")
	r.config.Outsides[index] = Outside{NoEthernet: true}
	r.config.HostAddresses[own] = index
	r.config.Pools = append(r.config.Pools, Pool{NAT: rigNAT, Interface: index, Addresses: []PoolAddress{{Address: own, Ports: rigPorts}}})
	r.config.Mappings[1] = mapping(model.UDP, "0.0.0.0:8080", inside(0, 80))
	r.apply(t)
	r.attach(t, index, OutsideIngressL3, OutsideEgressL3)
	r.mute(t, 0)

	remote := netip.MustParseAddrPort("192.0.2.9:99")
	for i, p := range []model.Protocol{model.UDP, model.TCP, model.ICMP} {
		from := inside(0, 4000+uint16(i))
		r.fromEndpoint(t, 0, segment{protocol: p, flags: syn, from: from, to: remote, payload: []byte("out")})
		external := r.external(t, p, from)
		if external.Addr() != own {
			t.Errorf("%v leaves from %v, want the tunnel's address", p, external)
		}
		got := tun.await(t, p.String()+" out", is(p, external, netip.AddrPort{}))
		verifyIP(t, got.data)
		tun.inject(t, virtio{}, segment{protocol: p, flags: synAck, reply: true, from: remote, to: external, payload: []byte("in")}.ip())
		r.atEndpoint[0].await(t, p.String()+" in", 1, is(p, netip.AddrPort{}, from))
	}
	tun.inject(t, virtio{}, segment{protocol: model.UDP, from: remote, to: netip.AddrPortFrom(own, 8080)}.ip())
	r.atEndpoint[0].await(t, "packet to the mapping", 1, is(model.UDP, remote, inside(0, 80)))
	// The delivered frames have the header of the inside.
	for _, p := range r.atEndpoint[0].came(func(p packet) bool { return p.from.Addr() == remote.Addr() }) {
		if want := string(append(hardware(endpointMAC(0)), hardware(gatewayMAC)...)); string(p.data[:12]) != want {
			t.Errorf("Ethernet header % x, want % x", p.data[:12], want)
		}
	}
	// To the other outside the same endpoint goes from the other address.
	r.fromEndpoint(t, 0, segment{protocol: model.UDP, from: inside(0, 4100), to: stranger(7, 80)})
	if external := r.external(t, model.UDP, inside(0, 4100)); external.Addr() != hostAddress {
		t.Errorf("the flow to the first outside leaves from %v", external)
	}
	r.consistent(t)
}

// Rule 1 holds there too.
func TestLeakGuardOnOutsideWithoutEthernet(t *testing.T) {
	t.Parallel()
	r := newRig(t, 1)
	tun := openDevice(t, r.Host, "tun0", unix.IFF_TUN)
	must(t, r.Host.AddAddress("tun0", "10.99.0.1/24"))
	must(t, r.Host.AddRoute("192.0.2.0/24", "10.99.0.2"))
	index := ifindex(t, r.Host, "tun0")
	r.config.Outsides[index] = Outside{NoEthernet: true}
	r.apply(t)
	r.attach(t, index, OutsideIngressL3, OutsideEgressL3)
	r.openTheGates(t)
	client := listen(t, r.Endpoints[0], text(endpointAddress(0), "4000"))
	host := listen(t, r.Host, "10.99.0.1:4000")
	remote := netip.MustParseAddrPort("192.0.2.9:99")
	client.send(t, remote, "leak")
	r.dropped(t, "untranslated-inside-source", 1)
	host.send(t, remote, "marker")
	tun.await(t, "marker", says("marker"))
	if leaked := tun.came(says("leak")); len(leaked) != 0 {
		t.Errorf("left untranslated: %v", leaked)
	}
	tun.inject(t, virtio{}, segment{protocol: model.UDP, from: remote, to: inside(0, 4000)}.ip())
	r.dropped(t, "inside-address-from-outside", 1)
}

// verifyIP checks an IP packet's checksums.
func verifyIP(t *testing.T, ip []byte) {
	t.Helper()
	frame := ethernet("02:00:00:00:00:02", "02:00:00:00:00:01", etherIPv4, ip)
	if err := lab.VerifyChecksums(lab.Packet{Data: frame}); err != nil {
		t.Errorf("%v: %x", err, ip)
	}
}
