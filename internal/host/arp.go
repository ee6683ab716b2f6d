package host

import (
	"encoding/binary"
	"net"
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"
)

// Sizes and operations of ARP for IPv4 on Ethernet (RFC 826).
const (
	sizeofARP  = 28
	arpRequest = 1
)

// arpMessage is an ARP packet for IPv4 on Ethernet.
type arpMessage struct {
	operation            uint16
	senderMAC, targetMAC net.HardwareAddr // 6 bytes
	sender, target       netip.Addr       // IPv4
}

// marshal returns the packet without an Ethernet header.
func (m arpMessage) marshal() []byte {
	b := make([]byte, 0, sizeofARP)
	b = binary.BigEndian.AppendUint16(b, 1) // Ethernet
	b = binary.BigEndian.AppendUint16(b, unix.ETH_P_IP)
	b = append(b, 6, 4)
	b = binary.BigEndian.AppendUint16(b, m.operation)
	return slices.Concat(b, m.senderMAC, m.sender.AsSlice(), m.targetMAC, m.target.AsSlice())
}

// parseARP reads a packet without its Ethernet header; what follows is padding.
// False: it is not one for IPv4 on Ethernet.
func parseARP(b []byte) (arpMessage, bool) {
	if len(b) < sizeofARP || [6]byte(b) != [6]byte{0, 1, 8, 0, 6, 4} {
		return arpMessage{}, false
	}
	return arpMessage{
		operation: binary.BigEndian.Uint16(b[6:]),
		senderMAC: net.HardwareAddr(slices.Clone(b[8:14])), sender: netip.AddrFrom4([4]byte(b[14:18])),
		targetMAC: net.HardwareAddr(slices.Clone(b[18:24])), target: netip.AddrFrom4([4]byte(b[24:28])),
	}, true
}

// claims reports whether the message says that another machine than the one
// with that MAC uses the address or is about to (RFC 5227 section 2.1.1).
func (m arpMessage) claims(a netip.Addr, own net.HardwareAddr) bool {
	if slices.Equal(m.senderMAC, own) {
		return false
	}
	probe := m.operation == arpRequest && m.sender.IsUnspecified() && m.target == a
	return m.sender == a || probe
}
