package test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hostnat/hostnat/dev/lab"
)

const (
	pace     = 200 * time.Millisecond // between two exchanges of a connection
	patience = 10 * time.Second       // what an exchange may take at most
)

// talkers are open TCP connections to Echo servers over which data moves to and
// fro, without pause until they are closed.
type talkers struct {
	conns     []net.Conn
	seen      []netip.AddrPort // what the server said the peer was, a connection each
	exchanges atomic.Int64
	slowest   atomic.Int64 // nanoseconds
	failed    sync.Map     // index → error
	quit      chan struct{}
	running   sync.WaitGroup
}

func newTalkers(t *testing.T) *talkers {
	k := &talkers{quit: make(chan struct{})}
	t.Cleanup(func() {
		for _, c := range k.conns {
			c.Close()
		}
	})
	return k
}

// open adds so many connections from n to an Echo server.
func (k *talkers) open(ctx context.Context, n *lab.Namespace, addr string, count int) error {
	for range count {
		conn, err := n.Dial(ctx, "tcp", addr)
		if err != nil {
			return err
		}
		k.conns = append(k.conns, conn)
		seen, err := lab.AskConn(ctx, conn)
		if err != nil {
			return fmt.Errorf("connection %d to %s: %w", len(k.conns), addr, err)
		}
		k.seen = append(k.seen, seen)
	}
	return nil
}

// talk starts the exchanges, spread over one pace.
func (k *talkers) talk() {
	for i, conn := range k.conns {
		delay := pace * time.Duration(i) / time.Duration(len(k.conns))
		k.running.Go(func() {
			if err := k.talkOver(conn, delay); err != nil {
				k.failed.Store(i, err)
			}
		})
	}
}

func (k *talkers) talkOver(conn net.Conn, delay time.Duration) error {
	message, answer := make([]byte, 256), make([]byte, 256)
	for round := uint64(1); ; round++ {
		select {
		case <-k.quit:
			return nil
		case <-time.After(delay):
		}
		delay = pace
		binary.BigEndian.PutUint64(message, round)
		start := time.Now()
		if err := conn.SetDeadline(start.Add(patience)); err != nil {
			return err
		}
		if _, err := conn.Write(message); err != nil {
			return err
		}
		if _, err := io.ReadFull(conn, answer); err != nil {
			return err
		}
		if !bytes.Equal(message, answer) {
			return errors.New("other data came back")
		}
		k.exchanges.Add(1)
		k.note(int64(time.Since(start)))
	}
}

func (k *talkers) note(took int64) {
	for {
		has := k.slowest.Load()
		if took <= has || k.slowest.CompareAndSwap(has, took) {
			return
		}
	}
}

// waitRound waits until every connection has had one more exchange on average.
func (k *talkers) waitRound(h *host) {
	h.t.Helper()
	goal := k.exchanges.Load() + int64(len(k.conns))
	h.waitFor(patience, "data to move", func() bool { return k.exchanges.Load() >= goal })
}

// hangUp ends the exchanges, closes the connections and reports those that
// broke.
func (k *talkers) hangUp(t *testing.T) {
	t.Helper()
	close(k.quit)
	k.running.Wait()
	broken := 0
	k.failed.Range(func(i, err any) bool {
		if broken++; broken <= 5 {
			t.Errorf("connection %v broke: %v", i, err)
		}
		return true
	})
	if broken > 0 {
		t.Errorf("%d of %d connections broke", broken, len(k.conns))
	}
	for _, c := range k.conns {
		c.Close()
	}
}
