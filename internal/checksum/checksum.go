// Package checksum computes the checksums of IPv4, UDP, TCP and ICMP (RFC 1071).
package checksum

import "encoding/binary"

// Sum is the one's complement sum of b's words in network order, begun with start. The
// checksum is its complement.
func Sum(start uint32, b []byte) uint16 {
	sum := uint64(start)
	for ; len(b) >= 2; b = b[2:] {
		sum += uint64(binary.BigEndian.Uint16(b))
	}
	if len(b) == 1 {
		sum += uint64(b[0]) << 8
	}
	return fold(sum)
}

// Replace is what a checksum becomes when one word of what it covers does (RFC 1624
// equation 3).
func Replace(checksum, was, is uint16) uint16 {
	return ^fold(uint64(^checksum) + uint64(^was) + uint64(is))
}

func fold(sum uint64) uint16 {
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return uint16(sum)
}
