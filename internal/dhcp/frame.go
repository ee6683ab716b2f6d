package dhcp

import (
	"encoding/binary"
	"errors"
	"net"
	"net/netip"

	"github.com/hostnat/hostnat/internal/checksum"
)

// The ports of RFC 2131 section 4.1.
const (
	serverPort = 67
	clientPort = 68
)

// Lengths in bytes.
const (
	ethernetLength = 14
	ipLength       = 20 // without options
	udpLength      = 8
)

// frame is a client's datagram as it came in.
type frame struct {
	source  net.HardwareAddr
	payload []byte
}

// parseFrame reads an Ethernet frame with a whole UDP datagram to port 67. The
// UDP checksum is not looked at: a VM leaves it to its card, which is us.
func parseFrame(b []byte) (frame, error) {
	if len(b) < ethernetLength+ipLength+udpLength || binary.BigEndian.Uint16(b[12:]) != 0x0800 {
		return frame{}, errors.New("no IPv4 datagram")
	}
	ip := b[ethernetLength:]
	header, length := int(ip[0]&0x0f)*4, int(binary.BigEndian.Uint16(ip[2:]))
	switch {
	case ip[0]>>4 != 4 || header < ipLength || length < header+udpLength || length > len(ip):
		return frame{}, errors.New("malformed IPv4 header")
	case ip[9] != 17 || binary.BigEndian.Uint16(ip[6:])&0x3fff != 0: // more fragments, offset
		return frame{}, errors.New("no whole UDP datagram")
	case checksum.Sum(0, ip[:header]) != 0xffff:
		return frame{}, errors.New("wrong IPv4 checksum")
	}
	udp := ip[header:length]
	size := int(binary.BigEndian.Uint16(udp[4:]))
	if binary.BigEndian.Uint16(udp[2:]) != serverPort || size < udpLength || size > len(udp) {
		return frame{}, errors.New("malformed UDP header")
	}
	return frame{source: net.HardwareAddr(b[6:12]), payload: udp[udpLength:size]}, nil
}

// buildFrame makes a frame with a datagram from port 67 to port 68.
func buildFrame(to, from net.HardwareAddr, destination, source netip.Addr, payload []byte) []byte {
	b := make([]byte, ethernetLength+ipLength+udpLength+len(payload))
	copy(b, to)
	copy(b[6:], from)
	binary.BigEndian.PutUint16(b[12:], 0x0800)
	ip := b[ethernetLength:]
	ip[0], ip[1] = 0x45, 0x10 // low delay, as servers do
	binary.BigEndian.PutUint16(ip[2:], uint16(len(ip)))
	ip[8], ip[9] = 64, 17
	copy(ip[12:], source.AsSlice())
	copy(ip[16:], destination.AsSlice())
	binary.BigEndian.PutUint16(ip[10:], ^checksum.Sum(0, ip[:ipLength]))
	udp := ip[ipLength:]
	binary.BigEndian.PutUint16(udp, serverPort)
	binary.BigEndian.PutUint16(udp[2:], clientPort)
	binary.BigEndian.PutUint16(udp[4:], uint16(len(udp)))
	copy(udp[udpLength:], payload)
	check := ^checksum.Sum(uint32(checksum.Sum(uint32(17+len(udp)), ip[12:20])), udp)
	if check == 0 {
		check = 0xffff // 0 says that there is none (RFC 768)
	}
	binary.BigEndian.PutUint16(udp[6:], check)
	return b
}
