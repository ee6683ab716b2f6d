package datapath

import (
	"net/netip"
	"testing"
	"time"

	"github.com/hostnat/hostnat/dev/lab"
	"github.com/hostnat/hostnat/internal/model"
)

// newPluggedRig is newUnmanagedRig whose unmanaged port has been noticed.
func newPluggedRig(t *testing.T) *rig {
	t.Helper()
	r := newUnmanagedRig(t)
	index := ifindex(t, r.Host, hostSide(1))
	r.config.Insides[index] = Inside{Network: rigNetwork, Port: true}
	r.apply(t)
	r.attach(t, index, PortIngress)
	return r
}

// Outside, neighbour and host are reached as before the port was noticed.
func TestPluggedPortReachesAll(t *testing.T) {
	t.Parallel()
	r := newPluggedRig(t)
	ctx := withTimeout(t)
	for _, to := range []string{lab.RemoteAddress, endpointAddress(0).String(), "172.16.1.1"} {
		if _, err := lab.Ping(ctx, r.Endpoints[1], to); err != nil {
			t.Errorf("%s: %v", to, err)
		}
	}
	bulk(t, r.Endpoints[1], r.Remote, lab.RemoteAddress+":7000", lab.RemoteAddress+":7000")
	r.noDrops(t)
	r.consistent(t)
}

// Nor for who else has an address by DHCP, as long as he has it; nor is it in the
// way of its holder, or of a client that asks for its address of before.
func TestPluggedPortCannotForgeALease(t *testing.T) {
	t.Parallel()
	const holder, other = model.MAC("02:00:00:00:01:73"), model.MAC("02:00:00:00:01:74")
	r := newPluggedRig(t)
	r.muteAt(t, 1, unmanaged.Addr())
	gateway, taken := netip.MustParseAddr("172.16.1.1"), netip.MustParseAddr("172.16.1.70")
	lease := func(mac model.MAC, left time.Duration) {
		t.Helper()
		must(t, r.dp.ChangeLeases([]Lease{{Compartment: rigCompartment, Address: taken, MAC: mac, Until: time.Now().Add(left)}}))
	}
	send := func(frame []byte) { t.Helper(); r.send(t, r.Endpoints[1], "eth0", frame) }
	from := func(mac, to model.MAC, port uint16, target netip.AddrPort, text string) []byte {
		return ethernet(mac, to, etherIPv4, segment{protocol: model.UDP, from: netip.AddrPortFrom(taken, port), to: target, payload: []byte(text)}.ip())
	}
	spoofed := func(want uint64) { t.Helper(); r.dropped(t, "spoofed-source", want) }
	atNeighbour, atRemote := r.atEndpoint[0], r.atRemote

	lease(holder, time.Hour)
	send(arp(2, other, taken, endpointAddress(0)))
	send(from(other, endpointMAC(0), 53, inside(0, 53), "forged"))
	send(from(other, gatewayMAC, 53, stranger(7, 53), "forged"))
	spoofed(3)
	send(from(holder, endpointMAC(0), 53, inside(0, 53), "honest"))
	send(from(holder, gatewayMAC, 53, stranger(7, 53), "honest"))
	atNeighbour.await(t, "the holder's packet", 1, says("honest"))
	atRemote.await(t, "the holder's packet", 1, says("honest"))
	send(arp(2, holder, taken, gateway))
	send(from(other, gatewayMAC, 68, netip.MustParseAddrPort("172.16.1.1:67"), "renew")) // to be told no
	spoofed(3)

	lease(other, time.Hour) // it has changed hands
	send(arp(2, holder, taken, gateway))
	spoofed(4)
	lease(holder, -time.Minute) // and ended
	send(from(other, gatewayMAC, 53, stranger(7, 53), "free"))
	atRemote.await(t, "a packet from a free address", 1, says("free"))
	send(arp(2, other, taken, gateway))
	spoofed(4)
	for _, w := range []*wire{atNeighbour, atRemote} {
		if got := w.came(says("forged")); len(got) != 0 {
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
		return segment{protocol: model.UDP, from: from, to: to, payload: []byte("forged")}.ip()
	}
	at := func(a netip.Addr, port uint16) netip.AddrPort { return netip.AddrPortFrom(a, port) }
	r, want := newPluggedRig(t), make(map[string]uint64)
	r.muteAt(t, 1, unmanaged.Addr())
	for _, tt := range []struct {
		name, reason string
		frame        []byte
	}{
		{"ARP for the gateway", "spoofed-source", arp(2, other, gateway, endpointAddress(0))},
		{"ARP for an endpoint", "spoofed-source", arp(2, other, endpointAddress(0), gateway)},
		{"the gateway's MAC", "spoofed-source", ethernet(gatewayMAC, endpointMAC(0), etherIPv4, udp(unmanaged, inside(0, 53)))},
		{"the gateway's address to a neighbour", "spoofed-source", ethernet(other, endpointMAC(0), etherIPv4, udp(at(gateway, 53), inside(0, 53)))},
		{"an endpoint's address to the outside", "spoofed-source", ethernet(other, gatewayMAC, etherIPv4, udp(inside(0, 53), stranger(7, 53)))},
		{"no address of the subnet", "spoofed-source", ethernet(other, gatewayMAC, etherIPv4, udp(stranger(9, 53), stranger(7, 53)))},
		{"a DHCP server to all", "rogue-server", ethernet(other, broadcast, etherIPv4, udp(at(unmanaged.Addr(), 67), client))},
		{"a DHCP server to one", "rogue-server", ethernet(other, endpointMAC(0), etherIPv4, udp(at(unmanaged.Addr(), 67), inside(0, 68)))},
	} {
		r.send(t, r.Endpoints[1], "eth0", tt.frame)
		want[tt.reason]++
		eventually(t, tt.name, func() bool { return r.drops(t)[tt.reason] == want[tt.reason] })
	}
	for _, w := range []*wire{r.atEndpoint[0], r.atRemote} {
		if got := w.came(says("forged")); len(got) != 0 {
			t.Errorf("arrived: %+v", got)
		}
	}
}
