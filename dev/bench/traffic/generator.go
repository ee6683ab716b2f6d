package traffic

import (
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hostnat/hostnat/dev/lab"
)

// Generator sends frames over and over out of one link, from one thread. A veth
// has no queue of its own: each frame goes its whole way, to the sink in the
// far namespace, before the next begins, and all of it on the sender's CPU. So
// the rate is one CPU's, and nothing on the way can be hidden by another.
type Generator struct {
	fd       int
	Messages []Message
	next     int
}

const SendBatch = 64 // frames a system call

// NewGenerator opens a packet socket on a link, past the queueing discipline.
func NewGenerator(n *lab.Namespace, link string, frames [][]byte) (*Generator, error) {
	attrs, err := n.Link(link)
	if err != nil {
		return nil, err
	}
	g := &Generator{Messages: NewMessages(frames)}
	if err := n.Do(func() error { return g.open(attrs.Index) }); err != nil {
		return nil, fmt.Errorf("packet socket on %s in %s: %w", link, n.Name, err)
	}
	return g, nil
}

// GeneratorOn sends what is given by a socket that is there; Close closes it.
func GeneratorOn(fd int, buffers [][]byte) *Generator {
	return &Generator{fd: fd, Messages: NewMessages(buffers)}
}

func (g *Generator) open(ifindex int) (err error) {
	if g.fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0); err != nil {
		return err
	}
	err = errors.Join(
		unix.SetsockoptInt(g.fd, unix.SOL_PACKET, unix.PACKET_VNET_HDR, 1),
		unix.SetsockoptInt(g.fd, unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, 8<<20),
		unix.Bind(g.fd, &unix.SockaddrLinklayer{Ifindex: ifindex}),
	)
	if err != nil {
		unix.Close(g.fd)
	}
	return err
}

// Close ends it.
func (g *Generator) Close() error { return unix.Close(g.fd) }

// Run sends for a while and returns how many frames the link took, and in what
// time. The calling thread should be bound to a CPU.
func (g *Generator) Run(d time.Duration) (sent int, elapsed time.Duration, err error) {
	start := time.Now()
	for elapsed < d {
		n, err := g.Batch(SendBatch)
		if err != nil {
			return sent, elapsed, err
		}
		sent += n
		elapsed = time.Since(start)
	}
	return sent, elapsed, nil
}

// Batch sends the next frames, at most so many.
func (g *Generator) Batch(most int) (int, error) {
	end := min(g.next+most, len(g.Messages))
	n, err := sendMessages(g.fd, g.Messages[g.next:end])
	if errors.Is(err, unix.ENOBUFS) || errors.Is(err, unix.EAGAIN) { // dropped at once, or its buffer is still in use
		n, err = 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("send frames: %w", err)
	}
	if g.next += n; g.next == len(g.Messages) {
		g.next = 0
	}
	return n, nil
}

// WarmUp sends for a while, and each message at least twice.
func (g *Generator) WarmUp(d time.Duration, messages int) error {
	for sent := 0; sent < 2*messages; {
		n, _, err := g.Run(d)
		if err != nil {
			return err
		}
		if n == 0 {
			return errors.New("the link takes no frames")
		}
		sent += n
	}
	return nil
}
