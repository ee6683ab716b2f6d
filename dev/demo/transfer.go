package demo

import (
	"context"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hostnat/hostnat/dev/lab"
)

const transferAddr = lab.RemoteAddress + ":9000"

// transfer is a download from the server outside to a container, as fast as it
// goes.
type transfer struct {
	local    net.Addr // the container's end
	stopping atomic.Bool
	work     sync.WaitGroup

	sent, received   atomic.Int64 // bytes
	pause            atomic.Int64 // longest time between two reads since the last lap, in ns
	sendErr, recvErr error        // valid after work is done

	lapStart time.Time
	lapBytes int64
}

func (s *stage) startTransfer(ctx context.Context, to *lab.Namespace) (*transfer, error) {
	listener, err := s.net.Remote.Listen("tcp", transferAddr)
	if err != nil {
		return nil, err
	}
	defer listener.Close()
	receiver, err := to.Dial(ctx, "tcp", transferAddr)
	if err != nil {
		return nil, err
	}
	s.closeLater(receiver)
	sender, err := listener.Accept()
	if err != nil {
		return nil, err
	}
	s.closeLater(sender)
	t := &transfer{local: receiver.LocalAddr(), lapStart: time.Now()}
	t.work.Go(func() { t.sendErr = t.send(sender) })
	t.work.Go(func() { t.recvErr = t.receive(receiver) })
	return t, nil
}

const chunk = 256 << 10 // bytes a system call

func (t *transfer) send(conn net.Conn) error {
	defer conn.Close()
	buf := make([]byte, chunk)
	for !t.stopping.Load() {
		n, err := conn.Write(buf)
		t.sent.Add(int64(n))
		if err != nil {
			return err
		}
	}
	return nil
}

func (t *transfer) receive(conn net.Conn) error {
	buf, last := make([]byte, chunk), time.Now()
	for {
		n, err := conn.Read(buf)
		now := time.Now()
		t.received.Add(int64(n))
		t.pause.Store(max(t.pause.Load(), int64(now.Sub(last))))
		last = now
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// lap is what happened since the one before.
type lap struct {
	rate  float64       // MB/s
	pause time.Duration // the longest in which nothing arrived
}

func (t *transfer) lap() lap {
	now, bytes := time.Now(), t.received.Load()
	l := lap{
		rate:  float64(bytes-t.lapBytes) / 1e6 / now.Sub(t.lapStart).Seconds(),
		pause: time.Duration(t.pause.Swap(0)),
	}
	t.lapStart, t.lapBytes = now, bytes
	return l
}

// stop ends the transfer and returns how many bytes arrived: all that were sent.
func (t *transfer) stop() (int64, error) {
	t.stopping.Store(true)
	t.work.Wait()
	if t.sendErr != nil {
		return 0, fmt.Errorf("the transfer broke: %w", t.sendErr)
	}
	if t.recvErr != nil {
		return 0, fmt.Errorf("the transfer broke: %w", t.recvErr)
	}
	if sent, received := t.sent.Load(), t.received.Load(); sent != received {
		return 0, fmt.Errorf("the transfer lost data: %d bytes sent, %d received", sent, received)
	}
	return t.received.Load(), nil
}
