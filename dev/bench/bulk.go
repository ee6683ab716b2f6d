package bench

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/hostnat/hostnat/dev/bench/traffic"
	"golang.org/x/sys/unix"
)

const (
	bulkLaps   = 5
	bulkWarmUp = 100 * time.Millisecond // the congestion window opens
	bulkTime   = 300 * time.Millisecond
	bulkWrite  = 256 << 10
	bulkPort   = 21000 // the client's
)

// bulk measures one TCP connection from client to server, in Gbit/s of payload
// that the server reads, and CPU seconds a Gbit. Sender and receiver have a CPU each.
func (b *Bench) bulk(_ context.Context, p path) ([]float64, error) {
	listener, err := listenIn(p)
	if err != nil {
		return nil, err
	}
	defer unix.Close(listener)
	var figures []float64
	receive := func() error {
		return inside(p.server, b.cpus.far, func() (err error) {
			figures, err = receiveBulk(listener)
			return err
		})
	}
	send := func() error {
		return inside(p.client, b.cpus.near, func() error { return sendBulk(p) })
	}
	err = together(receive, send)
	return figures, err
}

// listenIn opens p's TCP listener.
func listenIn(p path) (fd int, err error) {
	err = p.server.Do(func() error {
		fd, err = traffic.ListenTCP(p.listen)
		return err
	})
	return fd, err
}

func sendBulk(p path) error {
	fd, err := traffic.Connected(unix.SOCK_STREAM, netip.AddrPortFrom(p.local, bulkPort), p.target)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	data := make([]byte, bulkWrite)
	for {
		// The receiver closes when it has seen enough.
		_, err := unix.SendmsgN(fd, data, nil, nil, unix.MSG_NOSIGNAL)
		if errors.Is(err, unix.EPIPE) || errors.Is(err, unix.ECONNRESET) {
			return nil
		}
		if err != nil && !errors.Is(err, unix.EINTR) {
			return fmt.Errorf("send: %w", err)
		}
	}
}

func receiveBulk(listener int) ([]float64, error) {
	fd, err := traffic.Accept(listener)
	if err != nil {
		return nil, fmt.Errorf("accept: %w", err)
	}
	defer unix.Close(fd)
	buffer := make([]byte, 1<<20)
	if _, err := readFor(fd, buffer, bulkWarmUp); err != nil {
		return nil, err
	}
	m, err := startMeter()
	if err != nil {
		return nil, err
	}
	total, err := readFor(fd, buffer, bulkTime)
	if err != nil {
		return nil, err
	}
	return m.read(float64(total) * 8 / 1e9)
}

func readFor(fd int, buffer []byte, d time.Duration) (total int, err error) {
	for start := time.Now(); time.Since(start) < d; {
		n, err := traffic.Read(fd, buffer)
		if err != nil {
			return total, fmt.Errorf("receive: %w", err)
		}
		if n == 0 {
			return total, errors.New("the connection ended early")
		}
		total += n
	}
	return total, nil
}
