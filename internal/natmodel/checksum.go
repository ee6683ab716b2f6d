package natmodel

import "encoding/binary"

// sum is RFC 1071's one's complement sum of a's words, not inverted.
func sum(parts ...[]byte) uint16 {
	var total uint32
	for _, b := range parts {
		for i, v := range b {
			if i%2 == 0 {
				total += uint32(v) << 8
			} else {
				total += uint32(v)
			}
		}
		total = total>>16 + total&0xffff
	}
	return uint16(total>>16 + total&0xffff)
}

// adjust brings a checksum up to date with words that changed, RFC 1624
// equation 3. A right one stays right; that of a damaged packet stays wrong, so
// that its receiver finds the damage (RFC 3022 section 4.1).
func adjust(check uint16, before, after []byte) uint16 {
	total, changed := uint64(^check), false
	for i := 0; i+1 < len(before); i += 2 {
		old, new := binary.BigEndian.Uint16(before[i:]), binary.BigEndian.Uint16(after[i:])
		if old != new {
			total += uint64(^old) + uint64(new)
			changed = true
		}
	}
	if !changed {
		return check
	}
	for total > 0xffff {
		total = total>>16 + total&0xffff
	}
	return ^uint16(total)
}

// adjustUDP is adjust for UDP, where 0 means that there is no checksum (RFC 768).
func adjustUDP(check uint16, before, after []byte) uint16 {
	if check == 0 {
		return 0
	}
	if check = adjust(check, before, after); check == 0 {
		return 0xffff
	}
	return check
}
