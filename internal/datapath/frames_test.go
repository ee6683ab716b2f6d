package datapath

import (
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/hostnat/hostnat/dev/lab"
	"github.com/hostnat/hostnat/internal/model"
)

// A VLAN is a network of its own; VLAN 0 is only a priority.
func TestVLANsAreNotTheUntaggedNetwork(t *testing.T) {
	t.Parallel()
	r := newMappedRig(t, 1)
	r.mute(t, 0)
	remote, host := r.macOf(t, r.Remote, lab.RemoteLink), r.macOf(t, r.Host, lab.HostLink)
	tagged := func(tag byte, text string) []byte {
		s := segment{protocol: model.UDP, from: stranger(7, 80), to: published, payload: []byte(text)}
		return ethernet(remote, host, etherVLAN, append([]byte{0x60, tag, 8, 0}, s.ip()...))
	}
	r.send(t, r.Remote, lab.RemoteLink, tagged(9, "tagged"), tagged(0, "priority"))
	for _, p := range r.atEndpoint[0].await(t, "the datagram with a priority", 1, says("priority")) {
		if p.ether != etherIPv4 || p.size != 14+20+8+len("priority") {
			t.Errorf("it arrived as %x", p.data)
		}
	}
	if got := r.atEndpoint[0].came(says("tagged")); len(got) != 0 || len(r.sessions(t)) != 1 {
		t.Errorf("came in: %v; sessions %+v", got, r.sessions(t))
	}
}

// A frame for somebody else is nobody's here.
func TestFramesForOthersAreNotTranslated(t *testing.T) {
	t.Parallel()
	r := newMappedRig(t, 1)
	r.mute(t, 0)
	s := segment{protocol: model.UDP, from: stranger(7, 80), to: published, payload: []byte("overheard")}
	r.send(t, r.Remote, lab.RemoteLink, ethernet(r.macOf(t, r.Remote, lab.RemoteLink), "02:aa:aa:aa:aa:aa", etherIPv4, s.ip()))
	r.marker(t)
	if got := r.atEndpoint[0].came(says("overheard")); len(got) != 0 {
		t.Errorf("came in: %v", got)
	}
}

// RFC 3022 section 5: nobody outside is told of inside addresses.
func TestGatewayIsNotAnnouncedOutside(t *testing.T) {
	t.Parallel()
	r := newMappedRig(t, 1)
	mac := r.macOf(t, r.Remote, lab.RemoteLink)
	who := func(target netip.Addr) []byte {
		b := append([]byte{0, 1, 8, 0, 6, 4, 0, 1}, hardware(mac)...)
		b = append(b, remoteAddress.AsSlice()...)
		b = append(append(b, 0, 0, 0, 0, 0, 0), target.AsSlice()...)
		return ethernet(mac, "ff:ff:ff:ff:ff:ff", etherARP, b)
	}
	r.send(t, r.Remote, lab.RemoteLink, who(netip.MustParseAddr("172.16.1.1")), who(endpointAddress(0)), who(hostAddress))
	says := func(a netip.Addr) func(packet) bool {
		return func(p packet) bool {
			return p.ether == etherARP && p.data[21] == 2 && string(p.data[28:32]) == string(a.AsSlice())
		}
	}
	r.atRemote.await(t, "answer for the host's own address", 1, says(hostAddress))
	for _, a := range []netip.Addr{netip.MustParseAddr("172.16.1.1"), endpointAddress(0)} {
		if got := r.atRemote.came(says(a)); len(got) != 0 {
			t.Errorf("the host answers ARP for %v: %x", a, got[0].data)
		}
	}
	r.dropped(t, "inside-address-from-outside", 2)
}

// An endpoint without an address may ask for one (RFC 2131 section 4.1).
func TestDHCPDiscoverPasses(t *testing.T) {
	t.Parallel()
	r := newRig(t, 1)
	r.mute(t, 0)
	bridge := watch(t, r.Host, "br1")
	discover := segment{protocol: model.UDP, from: netip.MustParseAddrPort("0.0.0.0:68"), to: netip.MustParseAddrPort("255.255.255.255:67"), payload: []byte("discover")}
	r.send(t, r.Endpoints[0], "eth0", ethernet(endpointMAC(0), "ff:ff:ff:ff:ff:ff", etherIPv4, discover.ip()))
	bridge.await(t, "DISCOVER on the bridge", 1, says("discover"))
	other := discover // from no address to anything else it stays a forgery
	other.to = netip.MustParseAddrPort("255.255.255.255:68")
	r.send(t, r.Endpoints[0], "eth0", ethernet(endpointMAC(0), "ff:ff:ff:ff:ff:ff", etherIPv4, other.ip()))
	r.dropped(t, "spoofed-source", 1)
}

// Likewise what comes up a bridge: in promiscuous mode, as while somebody
// captures there, it hands everything up, frames between two VMs too.
func TestBridgeTakesItsOwnFramesAlone(t *testing.T) {
	t.Parallel()
	r := newUnmanagedRig(t)
	r.mute(t, 0)
	fd := packetSocket(t, r.Host, "br1")
	defer unix.Close(fd)
	must(t, unix.SetsockoptPacketMreq(fd, unix.SOL_PACKET, unix.PACKET_ADD_MEMBERSHIP, &unix.PacketMreq{
		Ifindex: int32(ifindex(t, r.Host, "br1")), Type: unix.PACKET_MR_PROMISC,
	}))
	frame := func(to model.MAC, text string, tag ...byte) []byte {
		ip := segment{protocol: model.UDP, from: unmanaged, to: stranger(7, 80), payload: []byte(text)}.ip()
		if tag != nil {
			return ethernet(endpointMAC(1), to, etherVLAN, append(append(tag, 8, 0), ip...))
		}
		return ethernet(endpointMAC(1), to, etherIPv4, ip)
	}
	r.send(t, r.Endpoints[1], "eth0",
		frame("02:aa:aa:aa:aa:aa", "overheard"), frame(endpointMAC(0), "for a neighbour that routes"), frame(gatewayMAC, "tagged", 0, 9),
		frame(gatewayMAC, "marker"))
	r.atRemote.await(t, "marker", 1, says("marker"))
	if got := r.atRemote.came(func(p packet) bool { return p.protocol == model.UDP && p.payload != "marker" }); len(got) != 0 {
		t.Errorf("went out: %v", got)
	}
}
