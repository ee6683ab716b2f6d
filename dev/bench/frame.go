package bench

import (
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/hostnat/hostnat/dev/bench/traffic"
)

// A 64-byte Ethernet frame counts its 4-byte check sequence, which a veth does
// not carry: 14 bytes Ethernet, 20 IPv4, 8 UDP and 18 payload remain.
const (
	payloadBytes = 64 - 4 - traffic.EthernetHeader - traffic.IPv4Header - traffic.UDPHeader
	frameBytes   = traffic.EthernetHeader + traffic.IPv4Header + traffic.UDPHeader + payloadBytes
	vnetHeader   = 10 // struct virtio_net_hdr, before each frame
)

// envelope is what the frames of one path have in common.
type envelope struct {
	from, to net.HardwareAddr
	source   netip.Addr
	target   netip.Addr
}

// envelope finds out the Ethernet addresses for p's frames.
func (p path) envelope(ctx context.Context) (envelope, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	link, err := p.client.Link(p.clientLink)
	if err != nil {
		return envelope{}, err
	}
	if err := p.ask(ctx, "udp"); err != nil { // resolves the next hop
		return envelope{}, fmt.Errorf("resolve %v: %w", p.nextHop, err)
	}
	to, err := neighbour(ctx, p.client, p.nextHop)
	if err != nil {
		return envelope{}, err
	}
	return envelope{from: link.HardwareAddr, to: to, source: p.local, target: p.target.Addr()}, nil
}

// udp builds a frame as a UDP socket sends it over a veth: the IPv4 checksum
// complete, the UDP checksum left to the device, which the virtio_net_hdr in
// front tells the packet socket.
func (e envelope) udp(sourcePort, targetPort uint16) []byte {
	return e.build(sourcePort, targetPort, 1)
}

// burst builds so many equal frames in one piece: what a UDP socket sends with
// UDP_SEGMENT. The link must be one that takes it apart, see SplitBursts.
func (e envelope) burst(sourcePort, targetPort uint16, frames int) []byte {
	b := e.build(sourcePort, targetPort, frames)
	const segmentUDP = 5 // VIRTIO_NET_HDR_GSO_UDP_L4
	b[1] = segmentUDP
	binary.NativeEndian.PutUint16(b[2:], frameBytes-payloadBytes)
	binary.NativeEndian.PutUint16(b[4:], payloadBytes)
	return b
}

func (e envelope) build(sourcePort, targetPort uint16, payloads int) []byte {
	payload := payloads * payloadBytes
	b := make([]byte, vnetHeader+frameBytes-payloadBytes+payload)
	const needsChecksum, checksumStart, checksumOffset = 1, traffic.EthernetHeader + traffic.IPv4Header, 6
	b[0] = needsChecksum
	binary.NativeEndian.PutUint16(b[6:], checksumStart)
	binary.NativeEndian.PutUint16(b[8:], checksumOffset)
	frame := b[vnetHeader:]
	copy(frame, e.to)
	copy(frame[6:], e.from)
	binary.BigEndian.PutUint16(frame[12:], 0x0800)
	e.putIPv4(frame[traffic.EthernetHeader:])
	e.putUDP(frame[traffic.EthernetHeader+traffic.IPv4Header:], sourcePort, targetPort)
	return b
}

func (e envelope) putIPv4(b []byte) {
	const version4, dontFragment, ttl, protocolUDP = 0x45, 0x4000, 64, 17
	b[0] = version4
	binary.BigEndian.PutUint16(b[2:], uint16(len(b)))
	binary.BigEndian.PutUint16(b[6:], dontFragment)
	b[8], b[9] = ttl, protocolUDP
	copy(b[12:], e.source.AsSlice())
	copy(b[16:], e.target.AsSlice())
	binary.BigEndian.PutUint16(b[10:], ^sum(b[:traffic.IPv4Header]))
}

func (e envelope) putUDP(b []byte, sourcePort, targetPort uint16) {
	length := uint16(len(b))
	binary.BigEndian.PutUint16(b, sourcePort)
	binary.BigEndian.PutUint16(b[2:], targetPort)
	binary.BigEndian.PutUint16(b[4:], length)
	pseudo := append(e.source.AsSlice(), e.target.AsSlice()...)
	pseudo = append(pseudo, 0, 17, byte(length>>8), byte(length))
	binary.BigEndian.PutUint16(b[6:], sum(pseudo))
}

// sum is the ones' complement sum of an even number of bytes (RFC 1071).
func sum(b []byte) uint16 {
	var total uint32
	for ; len(b) >= 2; b = b[2:] {
		total += uint32(binary.BigEndian.Uint16(b))
	}
	for total > 0xffff {
		total = total>>16 + total&0xffff
	}
	return uint16(total)
}
