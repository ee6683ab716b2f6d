// Package attack has the frames that a hostile machine sends at its port of a network's switch, and the
// ways to wrap them: for tests of the data path and of the whole.
package attack

import (
	"encoding/binary"
	"net/netip"
	"slices"

	"github.com/hostnat/hostnat/internal/datapath/dptest/wire"
	"github.com/hostnat/hostnat/internal/model"
)

// Station is a machine, or the host, on a switch.
type Station struct {
	MAC     model.MAC
	Address netip.Addr
}

// Parties are who is on the switch.
type Parties struct {
	Attacker  Station
	Endpoint  Station // attached
	Neighbour Station // at another plugged-in port
	Gateway   Station
}

// Frame is one that a good switch does not forward from a machine's port.
type Frame struct {
	Name   string
	Reason string // that it is refused for
	Data   []byte
}

// Mark is in each attack's frame: the payload, or behind all, where no protocol
// looks (a bridge may cut that off IPv4 packets).
const Mark = "forged by the attacker"

const everybody = model.MAC("ff:ff:ff:ff:ff:ff")

// Frames are what was tried on networks' switches, without tags.
func Frames(p Parties) []Frame {
	attacker, neighbour, victim, gateway := p.Attacker.MAC, p.Neighbour.MAC, p.Endpoint.MAC, p.Gateway.MAC
	own, atNeighbour, atVictim, atGateway := p.Attacker.Address, p.Neighbour.Address, p.Endpoint.Address, p.Gateway.Address
	subnet, _ := own.Prefix(24)
	arp := func(operation uint16, mac model.MAC, sender, target netip.Addr) []byte {
		return ARP(attacker, operation, mac, sender, target)
	}
	udp := func(source, to netip.AddrPort) []byte {
		return wire.Segment{Protocol: model.UDP, From: source, To: to, Payload: []byte(Mark)}.IP()
	}
	at := netip.AddrPortFrom
	offerTo := netip.MustParseAddrPort("255.255.255.255:68")
	ip := func(source, to model.MAC, packet []byte) []byte {
		return wire.Ethernet(source, to, wire.EtherIPv4, packet)
	}
	return []Frame{
		{"ARP: the gateway is here", "spoofed-source", arp(2, attacker, atGateway, atVictim)},
		{"ARP: an endpoint is here", "spoofed-source", arp(2, attacker, atVictim, atNeighbour)},
		{"ARP: the neighbour is here", "address-elsewhere", arp(2, attacker, atNeighbour, atVictim)},
		{"ARP of another MAC than the frame's", "spoofed-source", arp(2, neighbour, own, atVictim)},
		{"a gratuitous ARP for the gateway", "spoofed-source", arp(1, attacker, atGateway, atGateway)},
		{"ARP for the network's address", "spoofed-source", arp(2, attacker, subnet.Addr(), atNeighbour)},
		{"the gateway's MAC", "spoofed-source", ip(gateway, victim, udp(at(own, 4000), at(atVictim, 53)))},
		{"an endpoint's MAC", "mac-elsewhere", ip(victim, neighbour, udp(at(own, 4000), at(atNeighbour, 53)))},
		{"the neighbour's MAC", "mac-elsewhere", ip(neighbour, victim, udp(at(own, 4000), at(atVictim, 53)))},
		{"a group's MAC as source", "spoofed-source", ip("03:00:00:00:01:03", victim, udp(at(own, 4000), at(atVictim, 53)))},
		{"the gateway's address", "spoofed-source", ip(attacker, victim, udp(at(atGateway, 53), at(atVictim, 53)))},
		{"an endpoint's address to the neighbour", "spoofed-source", ip(attacker, neighbour, udp(at(atVictim, 53), at(atNeighbour, 53)))},
		{"an endpoint's address to the host", "spoofed-source", ip(attacker, gateway, udp(at(atVictim, 53), at(atGateway, 53)))},
		{"the neighbour's address", "address-elsewhere", ip(attacker, victim, udp(at(atNeighbour, 53), at(atVictim, 53)))},
		{"the neighbour's address to the host", "address-elsewhere", ip(attacker, gateway, udp(at(atNeighbour, 53), at(atGateway, 53)))},
		{"an address of nobody's subnet", "spoofed-source", ip(attacker, gateway, udp(wire.Unanswered(9, 53), wire.Unanswered(7, 53)))},
		{"the neighbour's address, as if a DHCP client spoke", "address-elsewhere", ip(attacker, victim, udp(at(atNeighbour, 68), at(atVictim, 67)))},
		{"a DHCP server", "rogue-server", ip(attacker, everybody, udp(at(own, 67), offerTo))},
		{"a DHCP server from another port", "rogue-server", ip(attacker, victim, udp(at(own, 1067), at(atVictim, 68)))},
		{"a router advertisement", "rogue-router", routerAdvertisement(attacker)},
		{"a router advertisement behind an extension header", "rogue-router", routerAdvertisement(attacker, 60)},
		{"a DHCPv6 server", "rogue-server", wire.Ethernet(attacker, "33:33:00:00:00:01", wire.EtherIPv6, ipv6(17, 2, 35, 2, 34, 0, 8, 0, 0))},
		{"spanning tree", "bridge-protocol", wire.Ethernet(attacker, "01:80:c2:00:00:00", 38, append([]byte{0x42, 0x42, 3}, make([]byte, 57)...))},
		{"LACP", "bridge-protocol", wire.Ethernet(attacker, "01:80:c2:00:00:02", 0x8809, make([]byte, 60))},
		{"Cisco's spanning tree", "bridge-protocol", wire.Ethernet(attacker, "01:00:0c:cc:cc:cd", 50, append([]byte{0xaa, 0xaa, 3}, make([]byte, 57)...))},
		{"a pause frame", "bridge-protocol", wire.Ethernet(attacker, "01:80:c2:00:00:01", 0x8808, append([]byte{0, 1, 0xff, 0xff}, make([]byte, 42)...))},
		{"EAPOL", "bridge-protocol", wire.Ethernet(attacker, "01:80:c2:00:00:03", 0x888e, make([]byte, 46))},
		{"LLDP", "bridge-protocol", wire.Ethernet(attacker, "01:80:c2:00:00:0e", 0x88cc, make([]byte, 46))},
		{"MVRP", "bridge-protocol", wire.Ethernet(attacker, "01:80:c2:00:00:21", 0x88f5, make([]byte, 46))},
		{"spanning tree to one machine", "encapsulated", wire.Ethernet(attacker, victim, 38, append([]byte{0x42, 0x42, 3}, make([]byte, 57)...))},
		{"an IPv6 redirect", "rogue-router", wire.Ethernet(attacker, "33:33:00:00:00:01", wire.EtherIPv6, ipv6(58, append([]byte{137, 0, 0, 0, 0, 0, 0, 0}, make([]byte, 32)...)...))},
		{"a DHCP server's fragment", "rogue-server", ip(attacker, victim, fragmented(udp(at(own, 67), at(atVictim, 68))))},
		{"a DHCP server behind IP options", "rogue-server", ip(attacker, victim, wire.Segment{Protocol: model.UDP, From: at(own, 67), To: at(atVictim, 68), Options: wire.IPOptions, Payload: []byte(Mark)}.IP())},
		{"MPLS", "encapsulated", wire.Ethernet(attacker, victim, 0x8847, append([]byte{0, 0, 1, 64}, udp(at(atNeighbour, 53), at(atVictim, 53))...))},
		{"PPPoE", "encapsulated", wire.Ethernet(attacker, victim, 0x8864, append([]byte{0x11, 0, 0, 1, 0, 40, 0, 0x21}, udp(at(atNeighbour, 53), at(atVictim, 53))...))},
		{"an ARP reply to one machine alone", "spoofed-source", append(wire.Ethernet(attacker, victim, wire.EtherARP, nil), arp(2, attacker, atGateway, atVictim)[14:]...)},
		{"an ARP question in the neighbour's name", "address-elsewhere", arp(1, attacker, atNeighbour, atVictim)},
		{"ARP behind LLC", "encapsulated", wire.Ethernet(attacker, everybody, 36, append([]byte{0xaa, 0xaa, 3, 0, 0, 0, 8, 6}, arp(2, attacker, atGateway, atNeighbour)[14:]...))},
	}
}

// fragmented makes a packet the first fragment of one.
func fragmented(packet []byte) []byte {
	packet[6] |= 0x20 // more fragments
	packet[10], packet[11] = 0, 0
	check := ^wire.Checksum(0, packet[:20])
	packet[10], packet[11] = byte(check>>8), byte(check)
	return packet
}

// ipv6 is a packet with an upper-layer message.
func ipv6(next byte, message ...byte) []byte {
	message = append(message, Mark...)
	b := append([]byte{0x60, 0, 0, 0}, binary.BigEndian.AppendUint16(nil, uint16(len(message)))...)
	b = append(b, next, 255)
	b = append(b, netip.MustParseAddr("fe80::bad:1").AsSlice()...)
	b = append(b, netip.MustParseAddr("ff02::1").AsSlice()...)
	return append(b, message...)
}

// routerAdvertisement is one to all nodes, behind extension headers (RFC 4861
// section 4.2).
func routerAdvertisement(attacker model.MAC, headers ...byte) []byte {
	const icmpv6 = 58
	next, message := byte(icmpv6), append([]byte{134, 0, 0, 0, 64, 0, 7, 8}, make([]byte, 8)...)
	for _, h := range slices.Backward(headers) {
		message = append([]byte{next, 0, 1, 4, 0, 0, 0, 0}, message...) // PadN
		next = h
	}
	return wire.Ethernet(attacker, "33:33:00:00:00:01", wire.EtherIPv6, ipv6(next, message...))
}

// Tagged puts tags between a frame's addresses and its protocol.
func Tagged(frame []byte, tags ...byte) []byte {
	return slices.Concat(frame[:12], tags, frame[12:])
}

// Envelope is a way to wrap a frame.
type Envelope struct {
	Name, Reason string
	Tags         []byte
}

// Envelopes are the ways to wrap a frame, and as what it is refused; "": as what
// is in it.
var Envelopes = []Envelope{
	{"untagged", "", nil},
	{"a priority tag", "", []byte{0x81, 0, 0xe0, 0}},
	{"VLAN 5", "encapsulated", []byte{0x81, 0, 0, 5}},
	{"a service tag", "encapsulated", []byte{0x88, 0xa8, 0, 5}},
	{"two priority tags", "encapsulated", []byte{0x81, 0, 0, 0, 0x81, 0, 0, 0}},
	{"QinQ", "encapsulated", []byte{0x88, 0xa8, 0, 7, 0x81, 0, 0, 5}},
	{"a priority tag in a service tag", "encapsulated", []byte{0x88, 0xa8, 0, 0, 0x81, 0, 0, 0}},
}

// ARP is a message to all, sent by one MAC and saying what it likes.
func ARP(by model.MAC, operation uint16, mac model.MAC, sender, target netip.Addr) []byte {
	b := []byte{0, 1, 8, 0, 6, 4}
	b = binary.BigEndian.AppendUint16(b, operation)
	b = append(append(b, wire.Hardware(mac)...), sender.AsSlice()...)
	b = append(append(b, 0, 0, 0, 0, 0, 0), target.AsSlice()...)
	return wire.Ethernet(by, everybody, wire.EtherARP, b)
}

// Wrapped is an attack as it is sent.
func (e Envelope) Wrapped(f Frame) []byte { return append(Tagged(f.Data, e.Tags...), Mark...) }

// Refusal is the reason that a wrapped attack is refused for.
func (e Envelope) Refusal(f Frame) string {
	if e.Reason != "" {
		return e.Reason
	}
	return f.Reason
}
