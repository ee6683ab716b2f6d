package datapath

import (
	"encoding/binary"
	"net/netip"
	"strings"
	"testing"

	"github.com/hostnat/hostnat/internal/model"
)

// arp is a frame of endpoint 0's that says that sender address is at MAC.
func arp(operation uint16, mac model.MAC, sender, target netip.Addr) []byte {
	b := []byte{0, 1, 8, 0, 6, 4}
	b = binary.BigEndian.AppendUint16(b, operation)
	b = append(append(b, hardware(mac)...), sender.AsSlice()...)
	b = append(append(b, 0, 0, 0, 0, 0, 0), target.AsSlice()...)
	return ethernet(endpointMAC(0), "ff:ff:ff:ff:ff:ff", etherARP, b)
}

// TestForgedFramesArriveNowhere sends them from endpoint 0. Endpoint 1 is on
// the same bridge; the bridge itself and the outside are looked at too.
func TestForgedFramesArriveNowhere(t *testing.T) {
	t.Parallel()
	const broadcast = model.MAC("ff:ff:ff:ff:ff:ff")
	gateway := netip.MustParseAddr("172.16.1.1")
	udp := segment{protocol: model.UDP, from: inside(0, 4000), to: stranger(7, 80), payload: []byte("forged")}
	foreign, neighbour := udp, udp
	foreign.from = inside(1, 4000)
	neighbour.from, neighbour.to = inside(9, 4000), inside(1, 4000)
	r := newRig(t, 2)
	r.mute(t, 0)
	bridge := watch(t, r.Host, "br1")
	for _, tt := range []struct {
		name, reason string
		frames       [][]byte
	}{
		{"foreign IP", "spoofed-source", [][]byte{
			ethernet(endpointMAC(0), gatewayMAC, etherIPv4, foreign.ip()),
			ethernet(endpointMAC(0), endpointMAC(1), etherIPv4, neighbour.ip()), // to the neighbour
			ethernet(endpointMAC(0), broadcast, etherIPv4, neighbour.ip()),
		}},
		{"foreign MAC", "spoofed-source", [][]byte{
			ethernet(endpointMAC(1), gatewayMAC, etherIPv4, udp.ip()),
			ethernet(gatewayMAC, endpointMAC(1), etherIPv4, udp.ip()),
			ethernet(endpointMAC(1), broadcast, etherARP, arp(1, endpointMAC(0), endpointAddress(0), gateway)[14:]),
		}},
		{"ARP with foreign address", "spoofed-source", [][]byte{
			arp(1, endpointMAC(0), gateway, endpointAddress(1)),
			arp(2, endpointMAC(0), gateway, endpointAddress(1)),
			arp(2, endpointMAC(0), endpointAddress(1), gateway),
		}},
		{"ARP with foreign MAC", "spoofed-source", [][]byte{
			arp(1, endpointMAC(1), endpointAddress(0), gateway),
			arp(2, endpointMAC(5), endpointAddress(0), gateway),
		}},
		{"IPv6", "ipv6", [][]byte{
			ethernet(endpointMAC(0), "33:33:00:00:00:01", etherIPv6, make([]byte, 60)), // a router advertisement would be one
		}},
		{"VLAN tag", "protocol-unsupported", [][]byte{
			ethernet(endpointMAC(0), gatewayMAC, etherVLAN, append([]byte{0, 5, 8, 0}, udp.ip()...)),
			ethernet(endpointMAC(0), broadcast, etherVLAN, append([]byte{0, 0, 8, 0}, udp.ip()...)),
			ethernet(endpointMAC(0), broadcast, etherVLAN, append([]byte{0, 5, 8, 6}, arp(1, endpointMAC(0), endpointAddress(0), endpointAddress(1))[14:]...)),
		}},
		{"unknown protocol", "protocol-unsupported", [][]byte{
			ethernet(endpointMAC(0), broadcast, 0x88cc, make([]byte, 60)), // LLDP
			ethernet(endpointMAC(0), broadcast, 60, make([]byte, 60)),     // IEEE 802.3
			ethernet(endpointMAC(0), gatewayMAC, 0x88a8, append([]byte{0, 5, 8, 0}, udp.ip()...)),
		}},
		{"not IPv4 at all", "malformed", [][]byte{
			ethernet(endpointMAC(0), gatewayMAC, etherIPv4, append([]byte{0x65}, udp.ip()[1:]...)),
			ethernet(endpointMAC(0), gatewayMAC, etherIPv4, append([]byte{0x44}, udp.ip()[1:]...)),
			ethernet(endpointMAC(0), gatewayMAC, etherIPv4, udp.ip()[:19]),
			ethernet(endpointMAC(0), gatewayMAC, etherIPv4, udp.ip()[:24]), // no UDP header
			ethernet(endpointMAC(0), broadcast, etherARP, make([]byte, 10)),
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			before := r.drops(t)[tt.reason]
			r.send(t, r.Endpoints[0], "eth0", tt.frames...)
			r.dropped(t, tt.reason, before+uint64(len(tt.frames)))
			marker := udp
			marker.payload = []byte("marker " + tt.name)
			r.fromEndpoint(t, 0, marker)
			r.atRemote.await(t, "marker", 1, says(string(marker.payload)))
			for name, w := range map[string]*wire{"the neighbour": r.atEndpoint[1], "the bridge": bridge, "the remote": r.atRemote} {
				for _, p := range w.came(func(p packet) bool { return !strings.HasPrefix(p.payload, "marker") && !p.hostsOwn() }) {
					t.Errorf("%s got %x", name, p.data)
				}
			}
		})
	}
}

// hostsOwn tells the others' own frames: questions for neighbours, and IGMP.
func (p packet) hostsOwn() bool {
	const igmp = 2
	if p.protocol == igmp {
		return true
	}
	forger := string(hardware(endpointMAC(0)))
	return p.ether == etherARP && len(p.data) >= 42 && p.data[21] == 1 && string(p.data[6:12]) != forger &&
		string(p.data[22:28]) == string(p.data[6:12])
}

// An endpoint may ask for its own address and for others' as ever.
func TestHonestARPPasses(t *testing.T) {
	t.Parallel()
	r := newRig(t, 2)
	r.mute(t, 0)
	r.send(t, r.Endpoints[0], "eth0",
		arp(1, endpointMAC(0), netip.IPv4Unspecified(), endpointAddress(0)), // is it free?
		arp(1, endpointMAC(0), endpointAddress(0), endpointAddress(0)),      // it is mine
		arp(1, endpointMAC(0), endpointAddress(0), endpointAddress(1)))
	r.atEndpoint[1].await(t, "ARP at the neighbour", 3, func(p packet) bool { return p.ether == etherARP })
	r.atEndpoint[0].await(t, "the neighbour's answer", 1, func(p packet) bool {
		return p.ether == etherARP && p.data[21] == 2 && string(p.data[28:32]) == string(endpointAddress(1).AsSlice())
	})
	if drops := r.drops(t); len(drops) != 0 {
		t.Errorf("drops %v", drops)
	}
}
