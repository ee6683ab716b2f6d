package bench

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/hostnat/hostnat/dev/bench/traffic"
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

// conversation is what connections carry: a request, which the server has to
// have read to its end, and an answer of responseBytes.
type conversation struct {
	requests [][]byte // in turns
	receive  func(fd int, buffer []byte) error
}

// small is a request that comes in one piece.
var small = conversation{requests: [][]byte{make([]byte, requestBytes)}, receive: func(fd int, buffer []byte) error {
	_, err := traffic.Read(fd, buffer)
	return err
}}

// connects measures TCP connections a second, each with a small request, a
// response and a close.
func (b *Bench) connects(_ context.Context, p path) ([]float64, error) {
	return conversations(p, small)
}

// conversations measures how many there are a second. The server closes first,
// so that the client's port is free again at once. The same few thousand ports
// are used over and over: a NAT keeps nothing more than these for old
// connections, and can't run out.
func conversations(p path, c conversation) ([]float64, error) {
	listener, err := listenIn(p)
	if err != nil {
		return nil, err
	}
	defer unix.Close(listener)
	var figures []float64
	all := []func() error{func() (err error) {
		defer unix.Shutdown(listener, unix.SHUT_RD) // ends the waiting servers
		figures, err = rateOf(p, func(stopped *atomic.Bool, done *atomic.Uint64, firstPort int) error {
			return c.ask(p, firstPort, stopped, done)
		})
		return err
	}}
	for range connectClients {
		all = append(all, func() error {
			return inside(p.server, anyCPU, func() error { return c.answer(listener) })
		})
	}
	if err := together(all...); err != nil {
		return nil, err
	}
	return figures, nil
}

// rateOf runs clients for a while: how much they do a second, and CPU seconds for a
// thousand. Each counts what it has done, and has ports of its own.
func rateOf(p path, client func(stopped *atomic.Bool, done *atomic.Uint64, firstPort int) error) (figures []float64, err error) {
	var done atomic.Uint64
	var stopped atomic.Bool
	clients := []func() error{func() error {
		defer stopped.Store(true)
		time.Sleep(warmUp)
		m, err := startMeter()
		if err != nil {
			return err
		}
		before := done.Load()
		time.Sleep(connectTime)
		count := done.Load() - before
		if count == 0 {
			return errors.New("no connection was made")
		}
		figures, err = m.read(float64(count))
		return err
	}}
	for i := range connectClients {
		clients = append(clients, func() error {
			return inside(p.client, anyCPU, func() error {
				return client(&stopped, &done, cmp.Or(p.firstPort, connectFirst)+i*connectPorts)
			})
		})
	}
	if err := together(clients...); err != nil {
		return nil, err
	}
	return []float64{figures[0], figures[1] * 1e3}, nil
}

// ask is one client.
func (c conversation) ask(p path, firstPort int, stopped *atomic.Bool, done *atomic.Uint64) error {
	buffer := make([]byte, responseBytes+1)
	for i := 0; !stopped.Load(); i++ {
		local := netip.AddrPortFrom(p.local, uint16(firstPort+i%connectPorts))
		if err := request(local, p.target, c.requests[i%len(c.requests)], buffer); err != nil {
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
	fd, err := traffic.Connected(unix.SOCK_STREAM, local, target)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if _, err := traffic.Write(fd, asked); err != nil {
		return fmt.Errorf("send request: %w", err)
	}
	for got := 0; ; {
		n, err := traffic.Read(fd, buffer)
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

// answer is one thread of the server, until the listener is shut down.
func (c conversation) answer(listener int) error {
	buffer := make([]byte, 16<<10)
	for {
		fd, err := traffic.Accept(listener)
		if errors.Is(err, unix.EINVAL) {
			return nil
		}
		if traffic.TimedOut(err) {
			continue
		}
		if err != nil {
			return fmt.Errorf("accept: %w", err)
		}
		if err = c.receive(fd, buffer); err == nil {
			_, err = traffic.Write(fd, buffer[:responseBytes])
		}
		unix.Close(fd)
		if err != nil {
			return fmt.Errorf("serve: %w", err)
		}
	}
}
