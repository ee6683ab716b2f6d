package linktest

import (
	"encoding/binary"
	"net/netip"
	"strings"
	"testing"

	"github.com/hostnat/hostnat/internal/datapath/dptest"
	"github.com/hostnat/hostnat/internal/datapath/dptest/wire"
	"github.com/hostnat/hostnat/internal/model"
)

// arp is a frame of endpoint 0's that says that sender address is at MAC.
func arp(operation uint16, mac model.MAC, sender, target netip.Addr) []byte {
	b := []byte{0, 1, 8, 0, 6, 4}
	b = binary.BigEndian.AppendUint16(b, operation)
	b = append(append(b, wire.Hardware(mac)...), sender.AsSlice()...)
	b = append(append(b, 0, 0, 0, 0, 0, 0), target.AsSlice()...)
	return wire.Ethernet(dptest.EndpointMAC(0), "ff:ff:ff:ff:ff:ff", wire.EtherARP, b)
}

// sent is a frame with another source.
func sent(by model.MAC, frame []byte) []byte {
	copy(frame[6:], wire.Hardware(by))
	return frame
}

// TestForgedFramesArriveNowhere sends them from endpoint 0. Endpoint 1 is on
// the same bridge; the bridge itself and the outside are looked at too.
func TestForgedFramesArriveNowhere(t *testing.T) {
	t.Parallel()
	const broadcast = model.MAC("ff:ff:ff:ff:ff:ff")
	gateway := netip.MustParseAddr("172.16.1.1")
	udp := wire.Segment{Protocol: model.UDP, From: wire.Inside(0, 4000), To: wire.Unanswered(7, 80), Payload: []byte("forged")}
	foreign, neighbour := udp, udp
	foreign.From = wire.Inside(1, 4000)
	neighbour.From, neighbour.To = wire.Inside(9, 4000), wire.Inside(1, 4000)
	r := dptest.NewRig(t, 2)
	r.Mute(t, 0)
	bridge := wire.Watch(t, r.Host, "br1")
	for _, tt := range []struct {
		name, reason string
		frames       [][]byte
	}{
		{"foreign IP", "spoofed-source", [][]byte{
			wire.Ethernet(dptest.EndpointMAC(0), wire.GatewayMAC, wire.EtherIPv4, foreign.IP()),
			wire.Ethernet(dptest.EndpointMAC(0), dptest.EndpointMAC(1), wire.EtherIPv4, neighbour.IP()), // to the neighbour
			wire.Ethernet(dptest.EndpointMAC(0), broadcast, wire.EtherIPv4, neighbour.IP()),
		}},
		{"foreign MAC", "spoofed-source", [][]byte{
			wire.Ethernet(dptest.EndpointMAC(1), wire.GatewayMAC, wire.EtherIPv4, udp.IP()),
			wire.Ethernet(wire.GatewayMAC, dptest.EndpointMAC(1), wire.EtherIPv4, udp.IP()),
			wire.Ethernet(dptest.EndpointMAC(1), broadcast, wire.EtherARP, arp(1, dptest.EndpointMAC(0), wire.EndpointAddress(0), gateway)[14:]),
		}},
		{"ARP with foreign address", "spoofed-source", [][]byte{
			arp(1, dptest.EndpointMAC(0), gateway, wire.EndpointAddress(1)),
			arp(2, dptest.EndpointMAC(0), gateway, wire.EndpointAddress(1)),
			arp(2, dptest.EndpointMAC(0), wire.EndpointAddress(1), gateway),
		}},
		{"ARP with foreign MAC", "spoofed-source", [][]byte{
			arp(1, dptest.EndpointMAC(1), wire.EndpointAddress(0), gateway),
			arp(2, dptest.EndpointMAC(5), wire.EndpointAddress(0), gateway),
		}},
		{"IPv6", "ipv6", [][]byte{
			wire.Ethernet(dptest.EndpointMAC(0), "33:33:00:00:00:01", wire.EtherIPv6, make([]byte, 60)), // a router advertisement would be one
		}},
		{"VLAN tag", "encapsulated", [][]byte{ // one of VLAN 0 is a priority, and taken off
			wire.Ethernet(dptest.EndpointMAC(0), wire.GatewayMAC, wire.EtherVLAN, append([]byte{0, 5, 8, 0}, udp.IP()...)),
			wire.Ethernet(dptest.EndpointMAC(0), wire.GatewayMAC, 0x88a8, append([]byte{0, 5, 8, 0}, udp.IP()...)),
			wire.Ethernet(dptest.EndpointMAC(0), broadcast, wire.EtherVLAN, append([]byte{0, 5, 8, 6}, arp(1, dptest.EndpointMAC(0), wire.EndpointAddress(0), wire.EndpointAddress(1))[14:]...)),
		}},
		{"unknown protocol", "protocol-unsupported", [][]byte{
			wire.Ethernet(dptest.EndpointMAC(0), broadcast, 0x88cc, make([]byte, 60)), // LLDP
			wire.Ethernet(dptest.EndpointMAC(0), broadcast, 60, make([]byte, 60)),     // IEEE 802.3
		}},
		{"not IPv4 at all", "malformed", [][]byte{
			wire.Ethernet(dptest.EndpointMAC(0), wire.GatewayMAC, wire.EtherIPv4, append([]byte{0x65}, udp.IP()[1:]...)),
			wire.Ethernet(dptest.EndpointMAC(0), wire.GatewayMAC, wire.EtherIPv4, append([]byte{0x44}, udp.IP()[1:]...)),
			wire.Ethernet(dptest.EndpointMAC(0), wire.GatewayMAC, wire.EtherIPv4, udp.IP()[:19]),
			wire.Ethernet(dptest.EndpointMAC(0), wire.GatewayMAC, wire.EtherIPv4, udp.IP()[:24]), // no UDP header
			wire.Ethernet(dptest.EndpointMAC(0), broadcast, wire.EtherARP, make([]byte, 10)),
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			before := r.Drops(t)[tt.reason]
			r.Send(t, r.Endpoints[0], "eth0", tt.frames...)
			r.Dropped(t, tt.reason, before+uint64(len(tt.frames)))
			marker := udp
			marker.Payload = []byte("marker " + tt.name)
			r.FromEndpoint(t, 0, marker)
			r.AtRemote.Await(t, "marker", 1, wire.Says(string(marker.Payload)))
			for name, w := range map[string]*wire.Capture{"the neighbour": r.AtEndpoint[1], "the bridge": bridge, "the remote": r.AtRemote} {
				for _, p := range w.Came(func(p wire.Packet) bool { return !strings.HasPrefix(p.Payload, "marker") && !hostsOwn(p) }) {
					t.Errorf("%s got %x", name, p.Data)
				}
			}
		})
	}
}

// hostsOwn tells the others' own frames: questions for neighbours, and IGMP.
func hostsOwn(p wire.Packet) bool {
	const igmp = 2
	if p.Protocol == igmp {
		return true
	}
	forger := string(wire.Hardware(dptest.EndpointMAC(0)))
	return p.Ether == wire.EtherARP && len(p.Data) >= 42 && p.Data[21] == 1 && string(p.Data[6:12]) != forger &&
		string(p.Data[22:28]) == string(p.Data[6:12])
}

// An endpoint may ask for its own address and for others' as ever.
func TestHonestARPPasses(t *testing.T) {
	t.Parallel()
	r := dptest.NewRig(t, 2)
	r.Mute(t, 0)
	r.Send(t, r.Endpoints[0], "eth0",
		arp(1, dptest.EndpointMAC(0), netip.IPv4Unspecified(), wire.EndpointAddress(0)), // is it free?
		arp(1, dptest.EndpointMAC(0), wire.EndpointAddress(0), wire.EndpointAddress(0)), // it is mine
		arp(1, dptest.EndpointMAC(0), wire.EndpointAddress(0), wire.EndpointAddress(1)))
	r.AtEndpoint[1].Await(t, "ARP at the neighbour", 3, func(p wire.Packet) bool { return p.Ether == wire.EtherARP })
	r.AtEndpoint[0].Await(t, "the neighbour's answer", 1, func(p wire.Packet) bool {
		return p.Ether == wire.EtherARP && p.Data[21] == 2 && string(p.Data[28:32]) == string(wire.EndpointAddress(1).AsSlice())
	})
	if drops := r.Drops(t); len(drops) != 0 {
		t.Errorf("drops %v", drops)
	}
}
