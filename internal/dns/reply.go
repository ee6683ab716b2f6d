package dns

import (
	"bytes"
	"encoding/binary"
)

// answers reports whether a message from a resolver is the answer to a query
// that was sent with this id: the same question, whatever the case of its
// letters, or none, as of servers that could not read it.
func answers(raw []byte, q *query, id uint16) bool {
	if len(raw) < headerSize || raw[2]&bitResponse == 0 || binary.BigEndian.Uint16(raw) != id {
		return false
	}
	if int(raw[2]>>3)&0xf != q.header.Opcode {
		return false
	}
	if binary.BigEndian.Uint16(raw[4:]) == 0 {
		return rcode(raw) != 0
	}
	end := questionEnd(raw)
	return end == q.end && bytes.Equal(raw[end-4:end], q.raw[end-4:end]) &&
		bytes.EqualFold(raw[headerSize:end-4], q.raw[headerSize:end-4])
}

// rcode is the low part of an answer's code (RFC 1035 section 4.1.1).
func rcode(raw []byte) int { return int(raw[3] & 0xf) }

func truncated(raw []byte) bool { return raw[2]&bitTruncated != 0 }

func setID(raw []byte, id uint16) { binary.BigEndian.PutUint16(raw, id) }

// shorten makes an answer fit into what a client takes by UDP: if it is longer,
// what is left is the question, and that there is more by TCP.
func shorten(raw []byte, q *query) []byte {
	if len(raw) <= q.size() {
		return raw
	}
	m := q.reply(rcode(raw))
	m.Truncated = true
	return pack(m, q.size())
}
