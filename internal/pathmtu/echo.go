package pathmtu

import (
	"context"
	"encoding/binary"
	"math/rand/v2"
	"time"

	"golang.org/x/sys/unix"
)

const ipHeader = 20

// echo sends ICMP echo requests.
type echo struct {
	socket
	id, sequence uint16
}

func newEcho(t Target) (*echo, error) {
	s, err := openSocket(unix.IPPROTO_ICMP, t)
	return &echo{socket: s, id: uint16(rand.Uint32())}, err
}

func (e *echo) name() string { return "echo requests" }

func (e *echo) send(ctx context.Context, size int, wait time.Duration) (answer, error) {
	e.sequence++
	const request, reply = 8, 0 // RFC 792
	message := make([]byte, size-ipHeader)
	message[0] = request
	binary.BigEndian.PutUint16(message[4:], e.id)
	binary.BigEndian.PutUint16(message[6:], e.sequence)
	binary.BigEndian.PutUint16(message[2:], ^sum(0, message))
	return e.exchange(ctx, message, wait, func(b []byte) bool {
		return len(b) >= 8 && b[0] == reply && binary.BigEndian.Uint16(b[4:]) == e.id && binary.BigEndian.Uint16(b[6:]) == e.sequence
	})
}

// sum is the Internet checksum's one's complement sum (RFC 1071).
func sum(start uint32, b []byte) uint16 {
	for ; len(b) >= 2; b = b[2:] {
		start += uint32(binary.BigEndian.Uint16(b))
	}
	if len(b) == 1 {
		start += uint32(b[0]) << 8
	}
	for start > 0xffff {
		start = start>>16 + start&0xffff
	}
	return uint16(start)
}
