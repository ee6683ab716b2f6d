package pathmtu

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// socket is a raw IPv4 socket to one remote, of which no packet is fragmented, whatever
// path MTU the kernel believes in, and which gets ICMP errors about its packets.
type socket struct{ fd int }

func openSocket(protocol int, t Target) (socket, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, protocol)
	if err != nil {
		return socket{}, fmt.Errorf("opening a raw socket: %w", err)
	}
	s := socket{fd}
	err = errors.Join(
		unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_PROBE),
		unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_RECVERR, 1),
	)
	if t.From.IsValid() {
		// The NAT may have an address that the host does not: then as the host chooses.
		_ = unix.Bind(fd, &unix.SockaddrInet4{Addr: t.From.As4()})
	}
	if err == nil {
		err = unix.Connect(fd, &unix.SockaddrInet4{Addr: t.To.Addr().As4()})
	}
	if err != nil {
		return socket{}, errors.Join(fmt.Errorf("opening a raw socket to %s: %w", t.To.Addr(), err), unix.Close(fd))
	}
	return s, nil
}

// Close ends it.
func (s socket) Close() error { return os.NewSyscallError("close", unix.Close(s.fd)) }

// own is the address that packets leave with.
func (s socket) own() (netip.Addr, error) {
	name, err := unix.Getsockname(s.fd)
	if err != nil {
		return netip.Addr{}, os.NewSyscallError("getsockname", err)
	}
	v4, is := name.(*unix.SockaddrInet4)
	if !is {
		return netip.Addr{}, errors.New("the socket has no IPv4 address")
	}
	return netip.AddrFrom4(v4.Addr), nil
}

// exchange sends a payload and waits for an answer to it: a received IP payload for
// which answers returns true, or an ICMP error.
func (s socket) exchange(ctx context.Context, payload []byte, wait time.Duration, answers func([]byte) bool) (answer, error) {
	start := time.Now()
	if err := unix.Send(s.fd, payload, 0); err != nil {
		if a, is := refused(err); is {
			return a, nil
		}
		return answer{}, fmt.Errorf("sending %d bytes: %w", len(payload), err)
	}
	buffer := make([]byte, 65536)
	for left := wait; left > 0; left = wait - time.Since(start) {
		if err := ctx.Err(); err != nil {
			return answer{}, err
		}
		poll := []unix.PollFd{{Fd: int32(s.fd), Events: unix.POLLIN}}
		n, err := unix.Poll(poll, int(left/time.Millisecond)+1)
		if errors.Is(err, unix.EINTR) || err == nil && n == 0 {
			continue
		}
		if err != nil {
			return answer{}, os.NewSyscallError("poll", err)
		}
		if a, is := s.icmpError(); is {
			a.took = time.Since(start)
			return a, nil
		}
		size, _, err := unix.Recvfrom(s.fd, buffer, unix.MSG_DONTWAIT)
		if err != nil { // an error whose message was read, or nothing any more
			continue
		}
		if packet := ipPayload(buffer[:size]); packet != nil && answers(packet) {
			return answer{got: true, took: time.Since(start)}, nil
		}
	}
	return answer{}, nil
}

// refused: the kernel itself says that there is no way.
func refused(err error) (answer, bool) {
	for _, no := range []error{unix.ENETUNREACH, unix.EHOSTUNREACH, unix.EACCES, unix.EPERM} {
		if errors.Is(err, no) {
			return answer{refusal: "the host itself cannot send: " + err.Error()}, true
		}
	}
	return answer{}, false
}

func ipPayload(packet []byte) []byte {
	if len(packet) < 20 || int(packet[0]&15)*4 > len(packet) {
		return nil
	}
	return packet[int(packet[0]&15)*4:]
}
