package bench

import (
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hostnat/hostnat/dev/lab"
)

// generator sends frames over and over out of one link, from one thread. A veth
// has no queue of its own: each frame goes its whole way, to the sink in the
// far namespace, before the next begins, and all of it on the sender's CPU. So
// the rate is one CPU's, and nothing on the way can be hidden by another.
type generator struct {
	fd       int
	messages []message
	next     int
}

const sendBatch = 64 // frames a system call

// newGenerator opens a packet socket on a link, past the queueing discipline.
func newGenerator(n *lab.Namespace, link string, frames [][]byte) (*generator, error) {
	attrs, err := n.Link(link)
	if err != nil {
		return nil, err
	}
	g := &generator{messages: newMessages(frames)}
	if err := n.Do(func() error { return g.open(attrs.Index) }); err != nil {
		return nil, fmt.Errorf("packet socket on %s in %s: %w", link, n.Name, err)
	}
	return g, nil
}

func (g *generator) open(ifindex int) (err error) {
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

func (g *generator) close() error { return unix.Close(g.fd) }

// run sends for a while and returns how many frames the link took, and in what
// time. The calling thread should be bound to a CPU.
func (g *generator) run(d time.Duration) (sent int, elapsed time.Duration, err error) {
	start := time.Now()
	for elapsed < d {
		n, err := g.batch(sendBatch)
		if err != nil {
			return sent, elapsed, err
		}
		sent += n
		elapsed = time.Since(start)
	}
	return sent, elapsed, nil
}

// batch sends the next frames, at most so many.
func (g *generator) batch(most int) (int, error) {
	end := min(g.next+most, len(g.messages))
	n, err := sendMessages(g.fd, g.messages[g.next:end])
	if errors.Is(err, unix.ENOBUFS) || errors.Is(err, unix.EAGAIN) { // dropped at once, or its buffer is still in use
		n, err = 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("send frames: %w", err)
	}
	if g.next += n; g.next == len(g.messages) {
		g.next = 0
	}
	return n, nil
}
