package portproxy

import (
	"bytes"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/hostnat/hostnat/internal/model"
)

// Connections of one proxy come and go, end well and by reset, while another is
// added and deleted without pause: nothing is lost, counted twice or left open.
func TestChurn(t *testing.T) {
	t.Parallel()
	server := serve(t, "127.0.0.1:0", echo)
	p, q := proxy(t, model.V4ToV4, model.TCP, server), proxy(t, model.V4ToV4, model.TCP, server)
	q.Listen.Host = "127.0.0.31"
	e := start(t, nil)
	e.Apply(configuration(p))
	stop, changed := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(changed)
		for id := uint32(2); ; id++ {
			select {
			case <-stop:
				return
			default:
			}
			q.ID = id
			e.Apply(configuration(p, q))
			go hangUp(q.Listen.String())
			e.Apply(configuration(p))
		}
	}()
	var clients sync.WaitGroup
	for i := range 8 {
		clients.Go(func() {
			for round := range 15 {
				roundTrip(t, p.Listen.String(), 1+(i+round)*3001)
				hangUp(p.Listen.String())
			}
		})
	}
	clients.Wait()
	close(stop)
	<-changed
	eventually(t, func() bool { return e.States()[1].Connections == 0 })
	if s := e.States()[1]; s.TotalConnections < 8*15 || s.TotalConnections > 2*8*15 {
		t.Errorf("got %+v", s)
	}
}

// hangUp connects, says something and resets.
func hangUp(address string) {
	c, err := net.DialTimeout("tcp", address, patience)
	if err != nil {
		return
	}
	_, _ = c.Write([]byte("never mind"))
	_ = c.(*net.TCPConn).SetLinger(0)
	c.Close()
}

func roundTrip(t *testing.T, address string, size int) {
	c, err := net.DialTimeout("tcp", address, patience)
	if err != nil {
		t.Error(err)
		return
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(patience))
	data := bytes.Repeat([]byte{byte(size)}, size)
	go func() {
		_, _ = c.Write(data)
		_ = c.(*net.TCPConn).CloseWrite()
	}()
	if got, err := io.ReadAll(c); err != nil || !bytes.Equal(got, data) {
		t.Errorf("%d bytes came back of %d: %v", len(got), size, err)
	}
}
