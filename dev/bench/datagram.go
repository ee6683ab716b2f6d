package bench

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/hostnat/hostnat/dev/bench/traffic"
	"golang.org/x/sys/unix"
)

// datagrams measures 64-byte UDP from socket to socket (sendmmsg, recvmmsg), in
// thousands a second that the receiver reads, and CPU seconds a million: what two
// programs see, their own cost included. Sender and receiver have a CPU each.
func (b *Bench) datagrams(_ context.Context, p path) ([]float64, error) {
	var received atomic.Uint64
	var stopped atomic.Bool
	var figures []float64
	ready := make(chan struct{})
	receive := func() error {
		return inside(p.server, b.cpus.far, func() error { return receiveDatagrams(p.listen, ready, &stopped, &received) })
	}
	send := func() error {
		defer stopped.Store(true)
		return inside(p.client, b.cpus.near, func() (err error) {
			<-ready
			figures, err = sendDatagrams(p, &received)
			return err
		})
	}
	if err := together(receive, send); err != nil {
		return nil, err
	}
	return figures, nil
}

func receiveDatagrams(listen netip.AddrPort, ready chan<- struct{}, stopped *atomic.Bool, received *atomic.Uint64) error {
	fd, err := traffic.Socket(unix.SOCK_DGRAM, listen)
	close(ready)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	limit := unix.NsecToTimeval((20 * time.Millisecond).Nanoseconds())
	err = errors.Join(
		unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &limit),
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 8<<20),
	)
	if err != nil {
		return fmt.Errorf("set up receiver: %w", err)
	}
	messages := traffic.NewMessages(buffers())
	for !stopped.Load() {
		n, err := traffic.ReceiveMessages(fd, messages)
		if err != nil && !traffic.TimedOut(err) && !errors.Is(err, unix.EINTR) {
			return fmt.Errorf("receive datagrams: %w", err)
		}
		received.Add(uint64(n))
	}
	return nil
}

func sendDatagrams(p path, received *atomic.Uint64) ([]float64, error) {
	fd, err := traffic.Connected(unix.SOCK_DGRAM, netip.AddrPortFrom(p.local, flowPort), p.target)
	if err != nil {
		return nil, err
	}
	g := traffic.GeneratorOn(fd, buffers())
	defer g.Close()
	if err := g.WarmUp(warmUp, 1); err != nil {
		return nil, err
	}
	m, err := startMeter()
	if err != nil {
		return nil, err
	}
	before := received.Load()
	if _, _, err := g.Run(packetTime); err != nil {
		return nil, err
	}
	return packetFigures(m, received.Load()-before)
}

func buffers() [][]byte {
	all := make([][]byte, traffic.SendBatch)
	for i := range all {
		all[i] = make([]byte, payloadBytes)
	}
	return all
}
