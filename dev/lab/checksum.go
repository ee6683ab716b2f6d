package lab

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// VerifyChecksums checks the IPv4 header checksum of a captured Ethernet frame,
// the TCP, UDP or ICMP checksum behind it, and the same of the packet that an
// ICMP error quotes, as far as the quote goes. A checksum that is left to the
// device must be the sum of the pseudo header. Other frames pass.
func VerifyChecksums(p Packet) error {
	const etherHeader = 14
	if len(p.Data) < etherHeader || binary.BigEndian.Uint16(p.Data[12:]) != 0x0800 {
		return nil
	}
	return verifyIPv4(p.Data[etherHeader:], p.Pending)
}

var errTruncated = errors.New("truncated")

// ipv4 is the part of an IPv4 header that checksums need.
type ipv4 struct {
	header   []byte
	payload  []byte // as much as is there, padding cut off
	length   int    // of the payload by the header
	protocol byte
	fragment bool
}

func parseIPv4(b []byte) (ipv4, error) {
	if len(b) < 20 || b[0]>>4 != 4 {
		return ipv4{}, fmt.Errorf("IPv4 header: %w", errTruncated)
	}
	size := int(b[0]&15) * 4
	total := int(binary.BigEndian.Uint16(b[2:]))
	if total == 0 { // BIG TCP: longer than the field can say
		total = len(b)
	}
	if size < 20 || len(b) < size || total < size {
		return ipv4{}, fmt.Errorf("IPv4 header: %w", errTruncated)
	}
	return ipv4{
		header:   b[:size],
		payload:  b[size:min(total, len(b))],
		length:   total - size,
		protocol: b[9],
		fragment: binary.BigEndian.Uint16(b[6:])&0x3fff != 0,
	}, nil
}

func verifyIPv4(b []byte, pending bool) error {
	p, err := parseIPv4(b)
	if err != nil {
		return err
	}
	if sum(p.header, 0) != 0xffff {
		return errors.New("IPv4 header checksum is wrong")
	}
	if p.fragment { // its L4 checksum spans other packets
		return nil
	}
	if len(p.payload) < p.length {
		return fmt.Errorf("IPv4 payload: %w", errTruncated)
	}
	return p.verifyPayload(pending)
}

// Where the checksum lies in each header, and how long the header is.
var layouts = map[byte]struct {
	name       string
	at, header int
}{
	protocolICMP: {"ICMP", 2, 8},
	protocolTCP:  {"TCP", 16, 20},
	protocolUDP:  {"UDP", 6, 8},
}

const (
	protocolICMP = 1
	protocolTCP  = 6
	protocolUDP  = 17
)

func (p ipv4) verifyPayload(pending bool) error {
	layout, ok := layouts[p.protocol]
	if !ok {
		return nil
	}
	if len(p.payload) < layout.header {
		return fmt.Errorf("%s header: %w", layout.name, errTruncated)
	}
	field := binary.BigEndian.Uint16(p.payload[layout.at:])
	if p.protocol == protocolUDP && field == 0 && !pending { // none (RFC 768)
		return nil
	}
	if pending && p.protocol != protocolICMP {
		if field != p.pseudo() {
			return fmt.Errorf("%s checksum left to the device holds %#04x, the pseudo header sums to %#04x", layout.name, field, p.pseudo())
		}
		return nil
	}
	if sum(p.payload, p.pseudo()) != 0xffff {
		return fmt.Errorf("%s checksum is wrong", layout.name)
	}
	if p.protocol == protocolICMP {
		return p.verifyQuote()
	}
	return nil
}

// verifyQuote checks the packet that an ICMP error quotes.
func (p ipv4) verifyQuote() error {
	switch p.payload[0] {
	case icmpUnreachable, icmpTimeExceeded, icmpParameter:
	default:
		return nil
	}
	quote, err := parseIPv4(p.payload[8:])
	if err != nil {
		return fmt.Errorf("packet in ICMP error: %w", err)
	}
	if sum(quote.header, 0) != 0xffff {
		return errors.New("packet in ICMP error: IPv4 header checksum is wrong")
	}
	if quote.fragment || len(quote.payload) < quote.length {
		return nil
	}
	err = quote.verifyPayload(false)
	if err != nil && quote.verifyPayload(true) != nil { // it may have been quoted before the device summed it
		return fmt.Errorf("packet in ICMP error: %w", err)
	}
	return nil
}

// pseudo is the folded sum of the pseudo header (RFC 9293 section 3.1); ICMP
// has none.
func (p ipv4) pseudo() uint16 {
	if p.protocol == protocolICMP {
		return 0
	}
	var b [12]byte
	copy(b[:8], p.header[12:20])
	b[9] = p.protocol
	binary.BigEndian.PutUint16(b[10:], uint16(p.length))
	return sum(b[:], uint16(p.length>>16)) // the length has 32 bits in the sum
}

// sum is the ones' complement sum of RFC 1071, folded, not inverted.
func sum(b []byte, start uint16) uint16 {
	total := uint64(start)
	for ; len(b) >= 2; b = b[2:] {
		total += uint64(binary.BigEndian.Uint16(b))
	}
	if len(b) == 1 {
		total += uint64(b[0]) << 8
	}
	for total > 0xffff {
		total = total>>16 + total&0xffff
	}
	return uint16(total)
}
