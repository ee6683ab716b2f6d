package linktest

import (
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/hostnat/hostnat/dev/lab"
	"github.com/hostnat/hostnat/internal/datapath/dptest"
	"github.com/hostnat/hostnat/internal/datapath/dptest/wire"
	"github.com/hostnat/hostnat/internal/model"
)

// A VLAN is a network of its own; VLAN 0 is only a priority.
func TestVLANsAreNotTheUntaggedNetwork(t *testing.T) {
	t.Parallel()
	r := dptest.NewMappedRig(t, 1)
	r.Mute(t, 0)
	remote, host := r.MACOf(t, r.Remote, lab.RemoteLink), r.MACOf(t, r.Host, lab.HostLink)
	tagged := func(tag byte, text string) []byte {
		s := wire.Segment{Protocol: model.UDP, From: wire.Unanswered(7, 80), To: wire.Published, Payload: []byte(text)}
		return wire.Ethernet(remote, host, wire.EtherVLAN, append([]byte{0x60, tag, 8, 0}, s.IP()...))
	}
	r.Send(t, r.Remote, lab.RemoteLink, tagged(9, "tagged"), tagged(0, "priority"))
	for _, p := range r.AtEndpoint[0].Await(t, "the datagram with a priority", 1, wire.Says("priority")) {
		if p.Ether != wire.EtherIPv4 || p.Size != 14+20+8+len("priority") {
			t.Errorf("it arrived as %x", p.Data)
		}
	}
	if got := r.AtEndpoint[0].Came(wire.Says("tagged")); len(got) != 0 || len(r.Sessions(t)) != 1 {
		t.Errorf("came in: %v; sessions %+v", got, r.Sessions(t))
	}
}

// A frame for somebody else is nobody's here.
func TestFramesForOthersAreNotTranslated(t *testing.T) {
	t.Parallel()
	r := dptest.NewMappedRig(t, 1)
	r.Mute(t, 0)
	s := wire.Segment{Protocol: model.UDP, From: wire.Unanswered(7, 80), To: wire.Published, Payload: []byte("overheard")}
	r.Send(t, r.Remote, lab.RemoteLink, wire.Ethernet(r.MACOf(t, r.Remote, lab.RemoteLink), "02:aa:aa:aa:aa:aa", wire.EtherIPv4, s.IP()))
	r.Marker(t)
	if got := r.AtEndpoint[0].Came(wire.Says("overheard")); len(got) != 0 {
		t.Errorf("came in: %v", got)
	}
}

// RFC 3022 section 5: nobody outside is told of inside addresses.
func TestGatewayIsNotAnnouncedOutside(t *testing.T) {
	t.Parallel()
	r := dptest.NewMappedRig(t, 1)
	mac := r.MACOf(t, r.Remote, lab.RemoteLink)
	who := func(target netip.Addr) []byte {
		b := append([]byte{0, 1, 8, 0, 6, 4, 0, 1}, wire.Hardware(mac)...)
		b = append(b, wire.RemoteAddress.AsSlice()...)
		b = append(append(b, 0, 0, 0, 0, 0, 0), target.AsSlice()...)
		return wire.Ethernet(mac, "ff:ff:ff:ff:ff:ff", wire.EtherARP, b)
	}
	r.Send(t, r.Remote, lab.RemoteLink, who(netip.MustParseAddr("172.16.1.1")), who(wire.EndpointAddress(0)), who(wire.HostAddress))
	says := func(a netip.Addr) func(wire.Packet) bool {
		return func(p wire.Packet) bool {
			return p.Ether == wire.EtherARP && p.Data[21] == 2 && string(p.Data[28:32]) == string(a.AsSlice())
		}
	}
	r.AtRemote.Await(t, "answer for the host's own address", 1, says(wire.HostAddress))
	for _, a := range []netip.Addr{netip.MustParseAddr("172.16.1.1"), wire.EndpointAddress(0)} {
		if got := r.AtRemote.Came(says(a)); len(got) != 0 {
			t.Errorf("the host answers ARP for %v: %x", a, got[0].Data)
		}
	}
	r.Dropped(t, "inside-address-from-outside", 2)
}

// An endpoint without an address may ask for one (RFC 2131 section 4.1).
func TestDHCPDiscoverPasses(t *testing.T) {
	t.Parallel()
	r := dptest.NewRig(t, 1)
	r.Mute(t, 0)
	bridge := wire.Watch(t, r.Host, "br1")
	discover := wire.Segment{Protocol: model.UDP, From: netip.MustParseAddrPort("0.0.0.0:68"), To: netip.MustParseAddrPort("255.255.255.255:67"), Payload: []byte("discover")}
	r.Send(t, r.Endpoints[0], "eth0", wire.Ethernet(dptest.EndpointMAC(0), "ff:ff:ff:ff:ff:ff", wire.EtherIPv4, discover.IP()))
	bridge.Await(t, "DISCOVER on the bridge", 1, wire.Says("discover"))
	other := discover // from no address to anything else it stays a forgery
	other.To = netip.MustParseAddrPort("255.255.255.255:68")
	r.Send(t, r.Endpoints[0], "eth0", wire.Ethernet(dptest.EndpointMAC(0), "ff:ff:ff:ff:ff:ff", wire.EtherIPv4, other.IP()))
	r.Dropped(t, "spoofed-source", 1)
}

// Likewise what comes up a bridge: in promiscuous mode, as while somebody
// captures there, it hands everything up, frames between two VMs too.
func TestBridgeTakesItsOwnFramesAlone(t *testing.T) {
	t.Parallel()
	r := newUnmanagedRig(t)
	r.Mute(t, 0)
	fd := wire.PacketSocket(t, r.Host, "br1")
	defer unix.Close(fd)
	wire.Must(t, unix.SetsockoptPacketMreq(fd, unix.SOL_PACKET, unix.PACKET_ADD_MEMBERSHIP, &unix.PacketMreq{
		Ifindex: int32(wire.Ifindex(t, r.Host, "br1")), Type: unix.PACKET_MR_PROMISC,
	}))
	frame := func(to model.MAC, text string, tag ...byte) []byte {
		ip := wire.Segment{Protocol: model.UDP, From: unmanaged, To: wire.Unanswered(7, 80), Payload: []byte(text)}.IP()
		if tag != nil {
			return wire.Ethernet(dptest.EndpointMAC(1), to, wire.EtherVLAN, append(append(tag, 8, 0), ip...))
		}
		return wire.Ethernet(dptest.EndpointMAC(1), to, wire.EtherIPv4, ip)
	}
	r.Send(t, r.Endpoints[1], "eth0",
		frame("02:aa:aa:aa:aa:aa", "overheard"), frame(dptest.EndpointMAC(0), "for a neighbour that routes"), frame(wire.GatewayMAC, "tagged", 0, 9),
		frame(wire.GatewayMAC, "marker"))
	r.AtRemote.Await(t, "marker", 1, wire.Says("marker"))
	if got := r.AtRemote.Came(func(p wire.Packet) bool { return p.Protocol == model.UDP && p.Payload != "marker" }); len(got) != 0 {
		t.Errorf("went out: %v", got)
	}
}
