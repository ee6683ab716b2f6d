package bench

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

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
// that the server reads. Sender and receiver have a CPU each.
func (b *Bench) bulk(_ context.Context, p path) ([]float64, error) {
	listener, err := listenIn(p)
	if err != nil {
		return nil, err
	}
	defer unix.Close(listener)
	var rate float64
	receive := func() error {
		return inside(p.server, b.cpus.far, func() (err error) {
			rate, err = receiveBulk(listener)
			return err
		})
	}
	send := func() error {
		return inside(p.client, b.cpus.near, func() error { return sendBulk(p) })
	}
	err = together(receive, send)
	return []float64{rate}, err
}

// listenIn opens p's TCP listener.
func listenIn(p path) (fd int, err error) {
	err = p.server.Do(func() error {
		fd, err = listenTCP(p.listen)
		return err
	})
	return fd, err
}

func sendBulk(p path) error {
	fd, err := connected(unix.SOCK_STREAM, netip.AddrPortFrom(p.local, bulkPort), p.target)
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

func receiveBulk(listener int) (float64, error) {
	fd, err := accept(listener)
	if err != nil {
		return 0, fmt.Errorf("accept: %w", err)
	}
	defer unix.Close(fd)
	buffer := make([]byte, 1<<20)
	if _, _, err := readFor(fd, buffer, bulkWarmUp); err != nil {
		return 0, err
	}
	total, elapsed, err := readFor(fd, buffer, bulkTime)
	return float64(total) * 8 / elapsed.Seconds() / 1e9, err
}

func readFor(fd int, buffer []byte, d time.Duration) (total int, elapsed time.Duration, err error) {
	for start := time.Now(); elapsed < d; elapsed = time.Since(start) {
		n, err := read(fd, buffer)
		if err != nil {
			return total, elapsed, fmt.Errorf("receive: %w", err)
		}
		if n == 0 {
			return total, elapsed, errors.New("the connection ended early")
		}
		total += n
	}
	return total, elapsed, nil
}
