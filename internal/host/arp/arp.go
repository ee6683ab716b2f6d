// Package arp asks by ARP who has an address on a link of the host or at a port of a
// bridge, and tells neighbours who has one now.
package arp

import (
	"encoding/binary"
	"net"
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"
)

// Sizes and operations of ARP for IPv4 on Ethernet (RFC 826).
const (
	size      = 28
	opRequest = 1
)

// message is an ARP packet for IPv4 on Ethernet.
type message struct {
	operation            uint16
	senderMAC, targetMAC net.HardwareAddr // 6 bytes
	sender, target       netip.Addr       // IPv4
}

// marshal returns the packet without an Ethernet header.
func (m message) marshal() []byte {
	b := make([]byte, 0, size)
	b = binary.BigEndian.AppendUint16(b, 1) // Ethernet
	b = binary.BigEndian.AppendUint16(b, unix.ETH_P_IP)
	b = append(b, 6, 4)
	b = binary.BigEndian.AppendUint16(b, m.operation)
	return slices.Concat(b, m.senderMAC, m.sender.AsSlice(), m.targetMAC, m.target.AsSlice())
}

// parse reads a packet without its Ethernet header; what follows is padding.
// False: it is not one for IPv4 on Ethernet.
func parse(b []byte) (message, bool) {
	if len(b) < size || [6]byte(b) != [6]byte{0, 1, 8, 0, 6, 4} {
		return message{}, false
	}
	return message{
		operation: binary.BigEndian.Uint16(b[6:]),
		senderMAC: net.HardwareAddr(slices.Clone(b[8:14])), sender: netip.AddrFrom4([4]byte(b[14:18])),
		targetMAC: net.HardwareAddr(slices.Clone(b[18:24])), target: netip.AddrFrom4([4]byte(b[24:28])),
	}, true
}

// claims reports whether the message says that another machine than the one
// with that MAC uses the address or is about to (RFC 5227 section 2.1.1).
func (m message) claims(a netip.Addr, own net.HardwareAddr) bool {
	if slices.Equal(m.senderMAC, own) {
		return false
	}
	probe := m.operation == opRequest && m.sender.IsUnspecified() && m.target == a
	return m.sender == a || probe
}
