package bench

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

const (
	connectTime    = 800 * time.Millisecond
	connectClients = 4
	connectPorts   = 1024  // for each client, used in turns
	connectFirst   = 22000 // the first client port
	requestBytes   = 64
	responseBytes  = 64
)

// connects measures TCP connections a second, each with a request, a response
// and a close. The server closes first, so that the client's port is free again
// at once. The same few thousand ports are used over and over: a NAT keeps
// nothing more than these for old connections, and can't run out.
func (b *Bench) connects(_ context.Context, p path) ([]float64, error) {
	listener, err := listenIn(p)
	if err != nil {
		return nil, err
	}
	defer unix.Close(listener)
	var rate float64
	servers := []func() error{func() (err error) {
		defer unix.Shutdown(listener, unix.SHUT_RD) // ends the waiting servers
		rate, err = rateOf(p, func(stopped *atomic.Bool, done *atomic.Uint64, firstPort int) error {
			return makeRequests(p, firstPort, stopped, done)
		})
		return err
	}}
	for range connectClients {
		servers = append(servers, func() error {
			return inside(p.server, anyCPU, func() error { return serveRequests(listener) })
		})
	}
	if err := together(servers...); err != nil {
		return nil, err
	}
	return []float64{rate}, nil
}

// rateOf runs clients for a while. Each counts what it has done, and has ports
// of its own.
func rateOf(p path, client func(stopped *atomic.Bool, done *atomic.Uint64, firstPort int) error) (rate float64, err error) {
	var done atomic.Uint64
	var stopped atomic.Bool
	clients := []func() error{func() error {
		defer stopped.Store(true)
		time.Sleep(warmUp)
		before, start := done.Load(), time.Now()
		time.Sleep(connectTime)
		rate = float64(done.Load()-before) / time.Since(start).Seconds()
		return nil
	}}
	for i := range connectClients {
		clients = append(clients, func() error {
			return inside(p.client, anyCPU, func() error {
				return client(&stopped, &done, connectFirst+i*connectPorts)
			})
		})
	}
	if err := together(clients...); err != nil {
		return 0, err
	}
	if rate == 0 {
		return 0, errors.New("no connection was made")
	}
	return rate, nil
}

// makeRequests is one client.
func makeRequests(p path, firstPort int, stopped *atomic.Bool, done *atomic.Uint64) error {
	buffer := make([]byte, requestBytes+responseBytes)
	for i := 0; !stopped.Load(); i++ {
		local := netip.AddrPortFrom(p.local, uint16(firstPort+i%connectPorts))
		if err := request(local, p.target, buffer[:requestBytes], buffer); err != nil {
			stopped.Store(true)
			return fmt.Errorf("connection %d of a client: %w", i+1, err)
		}
		done.Add(1)
	}
	return nil
}

// request makes a connection, sends what is asked and reads an answer of
// responseBytes up to its end into the buffer.
func request(local, target netip.AddrPort, asked, buffer []byte) error {
	fd, err := connected(unix.SOCK_STREAM, local, target)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if _, err := write(fd, asked); err != nil {
		return fmt.Errorf("send request: %w", err)
	}
	for got := 0; ; {
		n, err := read(fd, buffer)
		if err != nil {
			return fmt.Errorf("read response: %w", err)
		}
		if got += n; n == 0 && got == responseBytes {
			return nil
		}
		if n == 0 {
			return fmt.Errorf("response of %d bytes", got)
		}
	}
}

// serveRequests is one thread of the server, until the listener is shut down.
func serveRequests(listener int) error {
	buffer := make([]byte, requestBytes+responseBytes)
	for {
		fd, err := accept(listener)
		if errors.Is(err, unix.EINVAL) {
			return nil
		}
		if timedOut(err) {
			continue
		}
		if err != nil {
			return fmt.Errorf("accept: %w", err)
		}
		if _, err = read(fd, buffer); err == nil {
			_, err = write(fd, buffer[:responseBytes])
		}
		unix.Close(fd)
		if err != nil {
			return fmt.Errorf("serve: %w", err)
		}
	}
}
