package pathmtu

import (
	"context"
	"encoding/binary"
	"math/rand/v2"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hostnat/hostnat/internal/checksum"
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
	binary.BigEndian.PutUint16(message[2:], ^checksum.Sum(0, message))
	return e.exchange(ctx, message, wait, func(b []byte) bool {
		return len(b) >= 8 && b[0] == reply && binary.BigEndian.Uint16(b[4:]) == e.id && binary.BigEndian.Uint16(b[6:]) == e.sequence
	})
}
