package bench

import (
	"context"
	"fmt"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/hostnat/hostnat/dev/bench/traffic"
	"golang.org/x/sys/unix"
)

const (
	roundTrips    = 12000
	roundWarmUp   = 1000
	roundTripPort = 27000 // the client's
	farewell      = 1     // bytes of the datagram after the last
)

// roundTrips measures how long a small UDP datagram and its answer take: the
// median and the 99th percentile in µs. Client and server share a CPU: waking
// up another one would cost more than the path, and vary more.
func (b *Bench) roundTrips(_ context.Context, p path) ([]float64, error) {
	ready := make(chan struct{})
	var stopped atomic.Bool
	var times []float64
	answer := func() error {
		return inside(p.server, b.cpus.near, func() error { return answerDatagrams(p.listen, ready, &stopped) })
	}
	ask := func() error {
		defer stopped.Store(true)
		<-ready
		return inside(p.client, b.cpus.near, func() (err error) {
			times, err = askDatagrams(p)
			return err
		})
	}
	if err := together(answer, ask); err != nil {
		return nil, err
	}
	return []float64{percentile(times, 50), percentile(times, 99)}, nil
}

func askDatagrams(p path) ([]float64, error) {
	fd, err := traffic.Connected(unix.SOCK_DGRAM, netip.AddrPortFrom(p.local, roundTripPort), p.target)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	times := make([]float64, 0, roundTrips)
	buffer := make([]byte, payloadBytes)
	defer unix.Write(fd, buffer[:farewell])
	for i := range roundWarmUp + roundTrips {
		start := time.Now()
		if _, err := traffic.Write(fd, buffer); err != nil {
			return nil, fmt.Errorf("send datagram %d: %w", i, err)
		}
		if _, err := traffic.Read(fd, buffer); err != nil {
			return nil, fmt.Errorf("wait for answer %d: %w", i, err)
		}
		if i >= roundWarmUp {
			times = append(times, microseconds(time.Since(start)))
		}
	}
	return times, nil
}

// answerDatagrams answers one client, the first that it hears of.
func answerDatagrams(listen netip.AddrPort, ready chan<- struct{}, stopped *atomic.Bool) error {
	fd, err := traffic.Socket(unix.SOCK_DGRAM, listen)
	close(ready)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	buffer := make([]byte, payloadBytes)
	n, client, err := traffic.Receive(fd, buffer)
	if err == nil {
		err = unix.Connect(fd, client)
	}
	for err == nil && n != farewell {
		if _, err = traffic.Write(fd, buffer[:n]); err == nil {
			n, err = traffic.Read(fd, buffer)
		}
	}
	if err != nil && !stopped.Load() {
		return fmt.Errorf("answer datagrams: %w", err)
	}
	return nil
}

func microseconds(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1e3 }
