package pathmtu

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hostnat/hostnat/internal/checksum"
)

const tcpHeader = 20

// syn sends SYNs with data, which a remote answers with a SYN-ACK that leaves the data
// out, or with a RST (RFC 9293 section 3.10.7). The kernel ends what was opened that
// way: no socket of it listens to the answer.
type syn struct {
	socket
	from, to netip.AddrPort
	port     int // a socket that has the local port, so that no other program gets it
	sequence uint32
}

func newSYN(t Target) (*syn, error) {
	s, err := openSocket(unix.IPPROTO_TCP, t)
	if err != nil {
		return nil, err
	}
	own, err := s.own()
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	held, port, err := holdPort(own)
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return &syn{socket: s, from: netip.AddrPortFrom(own, port), to: t.To, port: held, sequence: rand.Uint32()}, nil
}

// holdPort takes a port of the host's.
func holdPort(own netip.Addr) (fd int, port uint16, err error) {
	fd, err = unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, 0, fmt.Errorf("opening a socket: %w", err)
	}
	err = unix.Bind(fd, &unix.SockaddrInet4{Addr: own.As4()})
	if err == nil {
		var name unix.Sockaddr
		if name, err = unix.Getsockname(fd); err == nil {
			return fd, uint16(name.(*unix.SockaddrInet4).Port), nil
		}
	}
	return 0, 0, errors.Join(fmt.Errorf("taking a port of %s: %w", own, err), unix.Close(fd))
}

// Close ends it.
func (s *syn) Close() error { return errors.Join(s.socket.Close(), unix.Close(s.port)) }

func (s *syn) name() string { return "SYNs with data" }

func (s *syn) send(ctx context.Context, size int, wait time.Duration) (answer, error) {
	const flagSYN = 2
	s.sequence += 1 << 16 // more than any packet's data: answers tell which is meant
	segment := make([]byte, size-ipHeader)
	binary.BigEndian.PutUint16(segment, s.from.Port())
	binary.BigEndian.PutUint16(segment[2:], s.to.Port())
	binary.BigEndian.PutUint32(segment[4:], s.sequence)
	segment[12], segment[13] = tcpHeader/4<<4, flagSYN
	binary.BigEndian.PutUint16(segment[14:], 65535)
	pseudo := append(append(s.from.Addr().AsSlice(), s.to.Addr().AsSlice()...), 0, unix.IPPROTO_TCP, byte(len(segment)>>8), byte(len(segment)))
	binary.BigEndian.PutUint16(segment[16:], ^checksum.Sum(uint32(checksum.Sum(0, pseudo)), segment))
	return s.exchange(ctx, segment, wait, func(b []byte) bool { return s.answers(b, len(segment)-tcpHeader) })
}

// answers reports whether a segment acknowledges what was sent last, in part or whole.
func (s *syn) answers(b []byte, data int) bool {
	if len(b) < tcpHeader || binary.BigEndian.Uint16(b) != s.to.Port() || binary.BigEndian.Uint16(b[2:]) != s.from.Port() {
		return false
	}
	const flagACK = 16
	acknowledged := binary.BigEndian.Uint32(b[8:]) - s.sequence
	return b[13]&flagACK != 0 && acknowledged >= 1 && acknowledged <= uint32(data)+1
}
