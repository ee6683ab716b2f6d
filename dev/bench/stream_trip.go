package bench

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"github.com/hostnat/hostnat/dev/bench/traffic"
	"golang.org/x/sys/unix"
)

const streamTripPort = 28000 // the client's

// streamTrips measures how long 64 bytes and their answer take on a TCP
// connection that stands: the median and the 99th percentile in µs. Client and
// server share a CPU; a relay may use any.
func (b *Bench) streamTrips(_ context.Context, p path) ([]float64, error) {
	return b.streamTimes(p, b.cpus.near, answerStream, askStream)
}

// streamTimes has a client ask, on the near CPU, and a server answer what comes to its
// listener. It returns the median and the 99th percentile of the times that ask returns.
func (b *Bench) streamTimes(p path, server int, answer func(listener int) error, ask func(path) ([]float64, error)) ([]float64, error) {
	listener, err := listenIn(p)
	if err != nil {
		return nil, err
	}
	defer unix.Close(listener)
	var times []float64
	answers := func() error {
		return inside(p.server, server, func() error { return answer(listener) })
	}
	asks := func() error {
		return inside(p.client, b.cpus.near, func() (err error) {
			times, err = ask(p)
			return err
		})
	}
	if err := together(answers, asks); err != nil {
		return nil, err
	}
	return []float64{percentile(times, 50), percentile(times, 99)}, nil
}

func askStream(p path) ([]float64, error) {
	fd, err := traffic.Connected(unix.SOCK_STREAM, netip.AddrPortFrom(p.local, streamTripPort), p.target)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	if err := unix.SetsockoptInt(fd, unix.SOL_TCP, unix.TCP_NODELAY, 1); err != nil {
		return nil, err
	}
	times := make([]float64, 0, roundTrips)
	buffer := make([]byte, requestBytes)
	for i := range roundWarmUp + roundTrips {
		start := time.Now()
		if _, err := traffic.Write(fd, buffer); err != nil {
			return nil, fmt.Errorf("send message %d: %w", i, err)
		}
		if err := readFull(fd, buffer); err != nil {
			return nil, fmt.Errorf("wait for answer %d: %w", i, err)
		}
		if i >= roundWarmUp {
			times = append(times, microseconds(time.Since(start)))
		}
	}
	// Reset, so that the port is free again at once.
	return times, unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
}

// answerStream answers one client until it hangs up.
func answerStream(listener int) error {
	fd, err := traffic.Accept(listener)
	if err != nil {
		return fmt.Errorf("accept: %w", err)
	}
	defer unix.Close(fd)
	if err := unix.SetsockoptInt(fd, unix.SOL_TCP, unix.TCP_NODELAY, 1); err != nil {
		return err
	}
	buffer := make([]byte, requestBytes)
	for {
		if open, err := answerNext(fd, buffer); err != nil || !open {
			return err
		}
	}
}

// answerNext answers what comes next on a connection; open is false once the client
// has hung up.
func answerNext(fd int, buffer []byte) (open bool, err error) {
	n, err := traffic.Read(fd, buffer)
	if n == 0 || err == unix.ECONNRESET {
		return false, nil
	}
	if err == nil {
		_, err = traffic.Write(fd, buffer[:n])
	}
	if err != nil {
		return false, fmt.Errorf("answer: %w", err)
	}
	return true, nil
}

func readFull(fd int, buffer []byte) error {
	for len(buffer) > 0 {
		n, err := traffic.Read(fd, buffer)
		if err != nil {
			return err
		}
		if n == 0 {
			return unix.ECONNRESET
		}
		buffer = buffer[n:]
	}
	return nil
}
