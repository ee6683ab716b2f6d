package demo

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hostnat/hostnat/dev/lab"
)

const forgedPackets = 5

// forgedSource is an address of network web that nobody has.
var forgedSource = netip.MustParseAddr("172.16.1.99")

var forgedPayload = []byte("I am not who I seem to be")

// sendForged sends packets from c1 with a source that is not its own, and
// returns how many of them the server outside saw.
func (s *stage) sendForged(ctx context.Context) (arrived int, err error) {
	c1, err := s.c1.Link("eth0")
	if err != nil {
		return 0, err
	}
	gateway, err := s.net.Host.Link(s.bridge)
	if err != nil {
		return 0, err
	}
	tap, err := lab.Capture(s.net.Remote, lab.RemoteLink)
	if err != nil {
		return 0, err
	}
	defer tap.Close()
	frame := forgedFrame(gateway.HardwareAddr, c1.HardwareAddr)
	for range forgedPackets {
		if err := lab.SendFrames(s.c1, "eth0", frame); err != nil {
			return 0, err
		}
	}
	// An honest packet goes the same way behind them: when it is there, they
	// are too, or never will be.
	seen, err := lab.Ask(ctx, s.c1, "udp", echoAddr)
	if err != nil {
		return 0, err
	}
	return countForged(tap, seen.Port())
}

// countForged reads the capture up to the honest packet, which came from port.
func countForged(tap *lab.Tap, port uint16) (arrived int, err error) {
	honest := binary.BigEndian.AppendUint16(nil, port)
	timeout := time.After(3 * time.Second)
	for {
		select {
		case p := <-tap.Packets():
			if bytes.Contains(p.Data, forgedPayload) {
				arrived++
			}
			if !p.Outgoing && len(p.Data) > 36 && bytes.Equal(p.Data[34:36], honest) {
				return arrived, nil
			}
		case <-timeout:
			return 0, fmt.Errorf("the honest packet from port %d did not show up in the capture", port)
		}
	}
}

// forgedFrame is a UDP datagram to the server outside. Only its source address
// is wrong: the MAC addresses and the checksums are right.
func forgedFrame(to, from net.HardwareAddr) []byte {
	frame := append(append([]byte{}, to...), from...)
	frame = binary.BigEndian.AppendUint16(frame, unix.ETH_P_IP)
	ip := []byte{0x45, 0, 0, byte(28 + len(forgedPayload)), 0, 1, 0, 0, 64, unix.IPPROTO_UDP, 0, 0}
	ip = append(ip, forgedSource.AsSlice()...)
	ip = append(ip, netip.MustParseAddr(lab.RemoteAddress).AsSlice()...)
	binary.BigEndian.PutUint16(ip[10:], headerChecksum(ip))
	udp := []byte{0x30, 0x39, 0, 7, 0, byte(8 + len(forgedPayload)), 0, 0} // from port 12345, without checksum
	return append(append(append(frame, ip...), udp...), forgedPayload...)
}

// headerChecksum is RFC 1071's for an IPv4 header whose checksum field is 0.
func headerChecksum(ip []byte) uint16 {
	var sum uint32
	for i := 0; i < len(ip); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(ip[i:]))
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}
