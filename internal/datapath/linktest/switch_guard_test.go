package linktest

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"slices"
	"testing"

	"github.com/hostnat/hostnat/internal/datapath"
	"github.com/hostnat/hostnat/internal/datapath/dptest"
	"github.com/hostnat/hostnat/internal/datapath/dptest/wire"
	"github.com/hostnat/hostnat/internal/model"
)

const (
	attacker  = model.MAC("02:00:00:00:01:03") // of namespace 1, at a plugged-in port
	neighbour = model.MAC("02:00:00:00:01:04") // of namespace 2, at another
	everybody = model.MAC("ff:ff:ff:ff:ff:ff")
)

var (
	atGateway   = netip.MustParseAddr("172.16.1.1")
	atNeighbour = netip.MustParseAddr("172.16.1.78")
)

// newSwitchRig has endpoint 0, attached, and the namespaces 1 and 2, which are
// plugged into its bridge; the neighbour, 2, has been heard of.
func newSwitchRig(t *testing.T, guarded bool) *dptest.Rig {
	t.Helper()
	r := dptest.NewBareRig(t, 3)
	r.AddNetwork(t, wire.RigNetwork, "br1", datapath.Network{
		Compartment: wire.RigCompartment, NAT: wire.RigNAT, Subnet: netip.MustParsePrefix("172.16.1.0/24"),
		Gateway: atGateway, GatewayMAC: wire.GatewayMAC, Unguarded: !guarded,
	})
	r.AddEndpoint(t, 0, wire.RigNetwork, wire.EndpointAddress(0))
	for i, a := range map[int]netip.Addr{1: unmanaged.Addr(), 2: atNeighbour} {
		_, index := r.Plug(t, i, wire.RigNetwork, a)
		r.Config.Insides[index] = datapath.Inside{Network: wire.RigNetwork, Port: true}
		r.Attach(t, index, datapath.PortIngress)
	}
	r.Apply(t)
	muteAt(t, r, 1, unmanaged.Addr())
	muteAt(t, r, 2, atNeighbour)
	r.Send(t, r.Endpoints[2], "eth0", sent(neighbour, arp(1, neighbour, atNeighbour, atGateway)))
	r.AtEndpoint[0].Await(t, "the neighbour's ARP", 1, func(p wire.Packet) bool {
		return p.Ether == wire.EtherARP && bytes.Equal(p.Data[6:12], wire.Hardware(neighbour))
	})
	return r
}

// attack is a frame that a good switch does not forward from a machine's port.
type attack struct {
	name, reason string
	frame        []byte
}

// mark is in each attack's frame: the payload, or behind all, where no protocol
// looks (a bridge may cut that off IPv4 packets).
const mark = "forged by the attacker"

// attacks are what was tried on networks' switches, without tags.
func attacks() []attack {
	udp := func(source, to netip.AddrPort) []byte {
		return wire.Segment{Protocol: model.UDP, From: source, To: to, Payload: []byte(mark)}.IP()
	}
	at := netip.AddrPortFrom
	victim := dptest.EndpointMAC(0)
	offerTo := netip.MustParseAddrPort("255.255.255.255:68")
	ip := func(source, to model.MAC, packet []byte) []byte {
		return wire.Ethernet(source, to, wire.EtherIPv4, packet)
	}
	return []attack{
		{"ARP: the gateway is here", "spoofed-source", sent(attacker, arp(2, attacker, atGateway, wire.EndpointAddress(0)))},
		{"ARP: an endpoint is here", "spoofed-source", sent(attacker, arp(2, attacker, wire.EndpointAddress(0), atNeighbour))},
		{"ARP: the neighbour is here", "address-elsewhere", sent(attacker, arp(2, attacker, atNeighbour, wire.EndpointAddress(0)))},
		{"ARP of another MAC than the frame's", "spoofed-source", sent(attacker, arp(2, neighbour, unmanaged.Addr(), wire.EndpointAddress(0)))},
		{"a gratuitous ARP for the gateway", "spoofed-source", sent(attacker, arp(1, attacker, atGateway, atGateway))},
		{"ARP for the network's address", "spoofed-source", sent(attacker, arp(2, attacker, netip.MustParseAddr("172.16.1.0"), atNeighbour))},
		{"the gateway's MAC", "spoofed-source", ip(wire.GatewayMAC, victim, udp(unmanaged, wire.Inside(0, 53)))},
		{"an endpoint's MAC", "mac-elsewhere", ip(victim, neighbour, udp(unmanaged, at(atNeighbour, 53)))},
		{"the neighbour's MAC", "mac-elsewhere", ip(neighbour, victim, udp(unmanaged, wire.Inside(0, 53)))},
		{"a group's MAC as source", "spoofed-source", ip("03:00:00:00:01:03", victim, udp(unmanaged, wire.Inside(0, 53)))},
		{"the gateway's address", "spoofed-source", ip(attacker, victim, udp(at(atGateway, 53), wire.Inside(0, 53)))},
		{"an endpoint's address to the neighbour", "spoofed-source", ip(attacker, neighbour, udp(wire.Inside(0, 53), at(atNeighbour, 53)))},
		{"an endpoint's address to the host", "spoofed-source", ip(attacker, wire.GatewayMAC, udp(wire.Inside(0, 53), at(atGateway, 53)))},
		{"the neighbour's address", "address-elsewhere", ip(attacker, victim, udp(at(atNeighbour, 53), wire.Inside(0, 53)))},
		{"the neighbour's address to the host", "address-elsewhere", ip(attacker, wire.GatewayMAC, udp(at(atNeighbour, 53), at(atGateway, 53)))},
		{"an address of nobody's subnet", "spoofed-source", ip(attacker, wire.GatewayMAC, udp(wire.Stranger(9, 53), wire.Stranger(7, 53)))},
		{"a DHCP server", "rogue-server", ip(attacker, everybody, udp(at(unmanaged.Addr(), 67), offerTo))},
		{"a DHCP server from another port", "rogue-server", ip(attacker, victim, udp(at(unmanaged.Addr(), 1067), wire.Inside(0, 68)))},
		{"a router advertisement", "rogue-router", routerAdvertisement()},
		{"a router advertisement behind an extension header", "rogue-router", routerAdvertisement(60)},
		{"a DHCPv6 server", "rogue-server", wire.Ethernet(attacker, "33:33:00:00:00:01", wire.EtherIPv6, ipv6(17, 2, 35, 2, 34, 0, 8, 0, 0))},
		{"spanning tree", "bridge-protocol", wire.Ethernet(attacker, "01:80:c2:00:00:00", 38, append([]byte{0x42, 0x42, 3}, make([]byte, 57)...))},
		{"LACP", "bridge-protocol", wire.Ethernet(attacker, "01:80:c2:00:00:02", 0x8809, make([]byte, 60))},
		{"Cisco's spanning tree", "bridge-protocol", wire.Ethernet(attacker, "01:00:0c:cc:cc:cd", 50, append([]byte{0xaa, 0xaa, 3}, make([]byte, 57)...))},
		{"ARP behind LLC", "encapsulated", wire.Ethernet(attacker, everybody, 36, append([]byte{0xaa, 0xaa, 3, 0, 0, 0, 8, 6}, arp(2, attacker, atGateway, atNeighbour)[14:]...))},
	}
}

// ipv6 is a packet with an upper-layer message.
func ipv6(next byte, message ...byte) []byte {
	message = append(message, mark...)
	b := append([]byte{0x60, 0, 0, 0}, binary.BigEndian.AppendUint16(nil, uint16(len(message)))...)
	b = append(b, next, 255)
	b = append(b, netip.MustParseAddr("fe80::bad:1").AsSlice()...)
	b = append(b, netip.MustParseAddr("ff02::1").AsSlice()...)
	return append(b, message...)
}

// routerAdvertisement is one to all nodes, behind extension headers (RFC 4861
// section 4.2).
func routerAdvertisement(headers ...byte) []byte {
	const icmpv6 = 58
	next, message := byte(icmpv6), append([]byte{134, 0, 0, 0, 64, 0, 7, 8}, make([]byte, 8)...)
	for _, h := range slices.Backward(headers) {
		message = append([]byte{next, 0, 1, 4, 0, 0, 0, 0}, message...) // PadN
		next = h
	}
	return wire.Ethernet(attacker, "33:33:00:00:00:01", wire.EtherIPv6, ipv6(next, message...))
}

// tagged puts tags between a frame's addresses and its protocol.
func tagged(frame []byte, tags ...byte) []byte {
	return slices.Concat(frame[:12], tags, frame[12:])
}

// envelopes are the ways to wrap a frame, and as what it is refused; "": as what
// is in it.
var envelopes = []struct {
	name, reason string
	tags         []byte
}{
	{"untagged", "", nil},
	{"a priority tag", "", []byte{0x81, 0, 0xe0, 0}},
	{"VLAN 5", "encapsulated", []byte{0x81, 0, 0, 5}},
	{"a service tag", "encapsulated", []byte{0x88, 0xa8, 0, 5}},
	{"two priority tags", "encapsulated", []byte{0x81, 0, 0, 0, 0x81, 0, 0, 0}},
	{"QinQ", "encapsulated", []byte{0x88, 0xa8, 0, 7, 0x81, 0, 0, 5}},
	{"a priority tag in a service tag", "encapsulated", []byte{0x88, 0xa8, 0, 0, 0x81, 0, 0, 0}},
}

func isForged(p wire.Packet) bool { return bytes.Contains(p.Data, []byte(mark)) }

// No attack arrives anywhere, however it is wrapped, and each is told by name.
func TestSwitchRefusesAttacks(t *testing.T) {
	t.Parallel()
	r := newSwitchRig(t, true)
	bridge := wire.Watch(t, r.Host, "br1")
	for _, envelope := range envelopes {
		for _, a := range attacks() {
			reason := a.reason
			if envelope.reason != "" {
				reason = envelope.reason
			}
			before := r.Drops(t)[reason]
			r.Send(t, r.Endpoints[1], "eth0", append(tagged(a.frame, envelope.tags...), mark...))
			wire.Eventually(t, a.name+" in "+envelope.name+" to be refused as "+reason, func() bool { return r.Drops(t)[reason] == before+1 })
		}
	}
	for name, w := range map[string]*wire.Capture{"the endpoint": r.AtEndpoint[0], "the neighbour": r.AtEndpoint[2], "the bridge": bridge, "outside": r.AtRemote} {
		for _, p := range w.Came(isForged) {
			t.Errorf("%s got %x", name, p.Data)
		}
	}
}

// With port-security=off the switch is a plain one: what is for somebody else or
// for all goes there.
func TestSwitchWithoutGuardForwardsAll(t *testing.T) {
	t.Parallel()
	r := newSwitchRig(t, false)
	for _, i := range []int{0, 2} {
		r.AtEndpoint[i].ExpectWrong(isForged)
	}
	for _, a := range attacks() {
		gateway := wire.Hardware(wire.GatewayMAC)
		if a.reason == "bridge-protocol" || a.frame[6]&1 != 0 || bytes.Equal(a.frame[:6], gateway) || bytes.Equal(a.frame[6:12], gateway) {
			continue // a bridge keeps these to itself; the host has its own checks
		}
		if a.reason == "mac-elsewhere" {
			continue // a bridge believes it: what is for that MAC goes to the attacker from then on
		}
		came := func() int { return len(r.AtEndpoint[0].Came(isForged)) + len(r.AtEndpoint[2].Came(isForged)) }
		before := came()
		r.Send(t, r.Endpoints[1], "eth0", append(slices.Clone(a.frame), mark...))
		wire.Eventually(t, a.name, func() bool { return came() > before })
	}
}

// A port has 64 MACs and no more, so that a flood of invented ones does not fill
// the table, and a neighbour is forwarded to as before.
func TestFloodOfMACsStaysAtItsPort(t *testing.T) {
	t.Parallel()
	const flood, most = 1000, 64
	r := newSwitchRig(t, true)
	for i := range flood {
		mac := model.MAC(wire.Hardware("02:66:00:00:00:00").String()[:12] + hexByte(byte(i>>8)) + ":" + hexByte(byte(i)))
		r.Send(t, r.Endpoints[1], "eth0", append(wire.Ethernet(mac, dptest.EndpointMAC(0), 0x88b5, make([]byte, 46)), mark...))
	}
	r.Dropped(t, "port-limit", flood-most)
	if got := len(r.AtEndpoint[0].Await(t, "frames with the first MACs", most, isForged)); got != most {
		t.Errorf("%d invented MACs are forwarded from, want %d", got, most)
	}
	r.Send(t, r.Endpoints[2], "eth0", sent(neighbour, arp(1, neighbour, atNeighbour, wire.EndpointAddress(0))))
	r.AtEndpoint[2].Await(t, "an answer to the neighbour", 1, func(p wire.Packet) bool {
		return p.Ether == wire.EtherARP && p.Data[21] == 2 && bytes.Equal(p.Data[22:28], wire.Hardware(dptest.EndpointMAC(0)))
	})
}

func hexByte(b byte) string {
	const digits = "0123456789abcdef"
	return string([]byte{digits[b>>4], digits[b&15]})
}
