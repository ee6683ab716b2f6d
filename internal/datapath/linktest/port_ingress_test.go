package linktest

import (
	"net/netip"
	"testing"
	"time"

	"github.com/hostnat/hostnat/dev/lab"
	"github.com/hostnat/hostnat/internal/datapath"
	"github.com/hostnat/hostnat/internal/datapath/dptest"
	"github.com/hostnat/hostnat/internal/datapath/dptest/wire"
	"github.com/hostnat/hostnat/internal/model"
)

// newPluggedRig is newUnmanagedRig whose ports are checked, and whose unmanaged one has been noticed.
func newPluggedRig(t *testing.T) *dptest.Rig {
	t.Helper()
	r := newUnmanagedRig(t)
	index := wire.Ifindex(t, r.Host, dptest.HostSide(1))
	r.Config.Insides[index] = datapath.Inside{Network: wire.RigNetwork, Port: true}
	network := r.Config.Networks[wire.RigNetwork]
	network.Unguarded = false
	r.Config.Networks[wire.RigNetwork] = network
	r.Apply(t)
	r.Attach(t, index, datapath.PortIngress, datapath.PortEgress)
	return r
}

// Outside, neighbour and host are reached as before the port was noticed.
func TestPluggedPortReachesAll(t *testing.T) {
	t.Parallel()
	r := newPluggedRig(t)
	ctx := wire.WithTimeout(t)
	for _, to := range []string{lab.RemoteAddress, wire.EndpointAddress(0).String(), "172.16.1.1"} {
		if _, err := lab.Ping(ctx, r.Endpoints[1], to); err != nil {
			t.Errorf("%s: %v", to, err)
		}
	}
	bulk(t, r.Endpoints[1], r.Remote, lab.RemoteAddress+":7000", lab.RemoteAddress+":7000")
	noDrops(t, r)
	r.Consistent(t)
}

// Nor for who else has an address by DHCP, as long as he has it; nor is it in the
// way of its holder, or of a client that asks for its address of before.
func TestPluggedPortCannotForgeALease(t *testing.T) {
	t.Parallel()
	const holder, other = model.MAC("02:00:00:00:01:73"), model.MAC("02:00:00:00:01:74")
	r := newPluggedRig(t)
	muteAt(t, r, 1, unmanaged.Addr())
	gateway, taken := netip.MustParseAddr("172.16.1.1"), netip.MustParseAddr("172.16.1.70")
	lease := func(mac model.MAC, left time.Duration) {
		t.Helper()
		r.Change(t, datapath.Part{Leases: &[]datapath.Lease{{Compartment: wire.RigCompartment, Address: taken, MAC: mac, Until: time.Now().Add(left)}}})
	}
	send := func(frame []byte) { t.Helper(); r.Send(t, r.Endpoints[1], "eth0", frame) }
	from := func(mac, to model.MAC, port uint16, target netip.AddrPort, text string) []byte {
		return wire.Ethernet(mac, to, wire.EtherIPv4, wire.Segment{Protocol: model.UDP, From: netip.AddrPortFrom(taken, port), To: target, Payload: []byte(text)}.IP())
	}
	spoofed := func(want uint64) { t.Helper(); r.Dropped(t, "spoofed-source", want) }
	atNeighbour, atRemote := r.AtEndpoint[0], r.AtRemote

	lease(holder, time.Hour)
	send(sent(other, arp(2, other, taken, wire.EndpointAddress(0))))
	send(from(other, dptest.EndpointMAC(0), 53, wire.Inside(0, 53), "forged"))
	send(from(other, wire.GatewayMAC, 53, wire.Unanswered(7, 53), "forged"))
	spoofed(3)
	send(from(holder, dptest.EndpointMAC(0), 53, wire.Inside(0, 53), "honest"))
	send(from(holder, wire.GatewayMAC, 53, wire.Unanswered(7, 53), "honest"))
	atNeighbour.Await(t, "the holder's packet", 1, wire.Says("honest"))
	atRemote.Await(t, "the holder's packet", 1, wire.Says("honest"))
	send(sent(holder, arp(2, holder, taken, gateway)))
	send(from(other, wire.GatewayMAC, 68, netip.MustParseAddrPort("172.16.1.1:67"), "renew")) // to be told no
	spoofed(3)

	lease(other, time.Hour) // it has changed hands
	send(sent(holder, arp(2, holder, taken, gateway)))
	spoofed(4)
	lease(other, -time.Minute) // and ended: its holder was there last
	send(from(holder, wire.GatewayMAC, 53, wire.Unanswered(7, 53), "free"))
	atRemote.Await(t, "a packet from a free address", 1, wire.Says("free"))
	send(sent(other, arp(2, other, taken, gateway))) // nobody has asked the holder yet
	r.Dropped(t, "address-elsewhere", 1)
	spoofed(4)
	for _, w := range []*wire.Capture{atNeighbour, atRemote} {
		if got := w.Came(wire.Says("forged")); len(got) != 0 {
			t.Errorf("arrived: %+v", got)
		}
	}
}

// Who plugs himself in may not speak for the gateway, for an endpoint, or as a
// DHCP server.
func TestPluggedPortCannotForge(t *testing.T) {
	t.Parallel()
	const broadcast, other = model.MAC("ff:ff:ff:ff:ff:ff"), model.MAC("02:00:00:00:01:03")
	gateway, client := netip.MustParseAddr("172.16.1.1"), netip.MustParseAddrPort("255.255.255.255:68")
	udp := func(from, to netip.AddrPort) []byte {
		return wire.Segment{Protocol: model.UDP, From: from, To: to, Payload: []byte("forged")}.IP()
	}
	at := func(a netip.Addr, port uint16) netip.AddrPort { return netip.AddrPortFrom(a, port) }
	r, want := newPluggedRig(t), make(map[string]uint64)
	muteAt(t, r, 1, unmanaged.Addr())
	for _, tt := range []struct {
		name, reason string
		frame        []byte
	}{
		{"ARP for the gateway", "spoofed-source", sent(other, arp(2, other, gateway, wire.EndpointAddress(0)))},
		{"ARP for an endpoint", "spoofed-source", sent(other, arp(2, other, wire.EndpointAddress(0), gateway))},
		{"the gateway's MAC", "spoofed-source", wire.Ethernet(wire.GatewayMAC, dptest.EndpointMAC(0), wire.EtherIPv4, udp(unmanaged, wire.Inside(0, 53)))},
		{"the gateway's address to a neighbour", "spoofed-source", wire.Ethernet(other, dptest.EndpointMAC(0), wire.EtherIPv4, udp(at(gateway, 53), wire.Inside(0, 53)))},
		{"an endpoint's address to the outside", "spoofed-source", wire.Ethernet(other, wire.GatewayMAC, wire.EtherIPv4, udp(wire.Inside(0, 53), wire.Unanswered(7, 53)))},
		{"no address of the subnet", "spoofed-source", wire.Ethernet(other, wire.GatewayMAC, wire.EtherIPv4, udp(wire.Unanswered(9, 53), wire.Unanswered(7, 53)))},
		{"a DHCP server to all", "rogue-server", wire.Ethernet(other, broadcast, wire.EtherIPv4, udp(at(unmanaged.Addr(), 67), client))},
		{"a DHCP server to one", "rogue-server", wire.Ethernet(other, dptest.EndpointMAC(0), wire.EtherIPv4, udp(at(unmanaged.Addr(), 67), wire.Inside(0, 68)))},
	} {
		r.Send(t, r.Endpoints[1], "eth0", tt.frame)
		want[tt.reason]++
		wire.Eventually(t, tt.name, func() bool { return r.Drops(t)[tt.reason] == want[tt.reason] })
	}
	for _, w := range []*wire.Capture{r.AtEndpoint[0], r.AtRemote} {
		if got := w.Came(wire.Says("forged")); len(got) != 0 {
			t.Errorf("arrived: %+v", got)
		}
	}
}

// On a network without hostnat's DHCP server somebody inside may be it, plugged in or
// attached.
func TestDHCPServerInside(t *testing.T) {
	t.Parallel()
	const broadcast, other = model.MAC("ff:ff:ff:ff:ff:ff"), model.MAC("02:00:00:00:01:03")
	r := newPluggedRig(t)
	network := r.Config.Networks[wire.RigNetwork]
	network.DHCPInside = true
	r.Config.Networks[wire.RigNetwork] = network
	r.Apply(t)
	muteAt(t, r, 1, unmanaged.Addr())
	offer := func(from netip.AddrPort, text string) []byte {
		return wire.Segment{Protocol: model.UDP, From: from, To: netip.MustParseAddrPort("255.255.255.255:68"), Payload: []byte(text)}.IP()
	}
	r.Send(t, r.Endpoints[1], "eth0", wire.Ethernet(other, broadcast, wire.EtherIPv4, offer(netip.AddrPortFrom(unmanaged.Addr(), 67), "by a port")))
	wire.Eventually(t, "an offer of who is plugged in", func() bool { return len(r.AtEndpoint[0].Came(wire.Says("by a port"))) > 0 })
	if drops := r.Drops(t)["rogue-server"]; drops != 0 {
		t.Errorf("%d are refused", drops)
	}
}
