package dhcp

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync/atomic"
	"time"

	"github.com/hostnat/hostnat/internal/nat"
)

// Server serves one network.
type Server struct {
	book   *Book
	link   *link
	scope  atomic.Pointer[Scope]
	portOf PortOf
	log    *slog.Logger
}

// PortOf returns the index of the bridge's port behind which a MAC is; 0: not known.
type PortOf func(bridge int, mac net.HardwareAddr) int

// How much is taken in one go: then one write to the disk is for all of them.
const (
	maxBatch  = 128
	maxFrame  = 2048 // bytes; a longer message than Ethernet carries is nobody's
	queueSize = 128
)

// Open listens on a network's bridge. The server runs until Run's context ends.
func Open(s *Scope, bridge *net.Interface, book *Book, portOf PortOf, log *slog.Logger) (*Server, error) {
	l, err := openLink(bridge, s.Gateway)
	if err != nil {
		return nil, err
	}
	v := &Server{book: book, link: l, portOf: portOf, log: log.With("network", s.Network)}
	v.scope.Store(s)
	return v, nil
}

// Update makes the server serve by another scope of the same bridge from the
// next request on.
func (v *Server) Update(s *Scope) { v.scope.Store(s) }

// Run answers until ctx ends, and closes the socket.
func (v *Server) Run(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() { v.link.close() })
	defer func() {
		if stop() {
			v.link.close()
		}
	}()
	queue := make(chan []byte, queueSize)
	failed := make(chan error, 1)
	go func() {
		defer close(queue)
		failed <- v.read(queue)
	}()
	for frame := range queue {
		v.handle(more(queue, frame))
	}
	if err := <-failed; ctx.Err() == nil {
		return fmt.Errorf("DHCP on bridge %s: %w", v.scope.Load().Bridge, err)
	}
	return ctx.Err()
}

// read puts frames into the queue; what finds it full is lost, and sent again
// by the client.
func (v *Server) read(queue chan<- []byte) error {
	b := make([]byte, maxFrame)
	for {
		n, err := v.link.receive(b)
		if errors.Is(err, net.ErrClosed) {
			return err
		}
		if err != nil { // the bridge is down, or gone: then somebody closes us
			if !isTransient(err) {
				return err
			}
			time.Sleep(100 * time.Millisecond)
			continue
		}
		select {
		case queue <- append([]byte(nil), b[:n]...):
		default:
		}
	}
}

// more takes what else waits in the queue.
func more(queue <-chan []byte, first []byte) [][]byte {
	batch := [][]byte{first}
	for len(batch) < maxBatch {
		select {
		case frame, open := <-queue:
			if !open {
				return batch
			}
			batch = append(batch, frame)
		default:
			return batch
		}
	}
	return batch
}

func (v *Server) handle(frames [][]byte) {
	s := v.scope.Load()
	var batch []arrival
	for _, b := range frames {
		f, err := parseFrame(b)
		if err != nil {
			v.log.Debug("DHCP message ignored", "reason", err)
			continue
		}
		batch = append(batch, arrival{f.payload, Sender{Port: v.portOf(v.link.index, f.source), MAC: nat.MAC(f.source.String())}})
	}
	outcomes, err := v.book.answer(s, batch, time.Now())
	if err != nil {
		// Nobody gets an address that might be given out twice after a crash.
		v.log.Error("leases cannot be stored, DHCP requests stay unanswered", "error", err)
		return
	}
	for _, out := range outcomes {
		v.send(s, out)
	}
}

func (v *Server) send(s *Scope, out Outcome) {
	if out.Why != "" {
		v.log.Debug("DHCP", "reason", out.Why)
	}
	if out.Reply == nil {
		return
	}
	to := out.Reply.ClientHWAddr
	if out.To == broadcast {
		to = net.HardwareAddr{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}
	}
	frame := buildFrame(to, v.link.mac, out.To, s.Gateway, out.Reply.ToBytes())
	if err := v.link.send(frame); err != nil {
		v.log.Debug("DHCP reply not sent", "to", out.To, "error", err)
	}
}
