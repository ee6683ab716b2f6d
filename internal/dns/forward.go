package dns

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/miekg/dns"
)

const (
	// patience is how long a resolver may take before another is asked, too.
	patience = 1500 * time.Millisecond
	// askTime is how long all of them may take together: clients ask again
	// after 5 s (resolv.conf(5)).
	askTime = 4500 * time.Millisecond
)

// errNoResolver says that there is nobody to ask.
var errNoResolver = errors.New("the host has no resolver")

// forwarder asks the host's resolvers. One that does not answer is left aside
// until the one that does fails in its turn.
type forwarder struct {
	dial      func(ctx context.Context, network, address string) (net.Conn, error)
	resolvers atomic.Pointer[[]netip.AddrPort]
	good      atomic.Uint32 // index of the one to ask first
}

func newForwarder() *forwarder {
	var d net.Dialer
	f := &forwarder{dial: d.DialContext}
	f.use(nil)
	return f
}

// use has these resolvers asked from now on, the first one first.
func (f *forwarder) use(resolvers []netip.AddrPort) {
	resolvers = slices.Clone(resolvers)
	f.resolvers.Store(&resolvers)
	f.good.Store(0)
}

// ask returns a resolver's answer, with the query's own id. An answer by TCP may
// be longer than one by UDP.
func (f *forwarder) ask(ctx context.Context, q *query, tcp bool) ([]byte, error) {
	resolvers := *f.resolvers.Load()
	if len(resolvers) == 0 {
		return nil, errNoResolver
	}
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	first := int(f.good.Load())
	var refused []byte // an answer that says no more than that there is none
	var failed error
	for i := 0; ctx.Err() == nil; i++ {
		at := (first + i) % len(resolvers)
		if i >= len(resolvers) && refused != nil {
			return refused, nil
		}
		raw, err := f.askOne(ctx, q, resolvers[at], tcp)
		switch {
		case err != nil:
			failed = err
			if i >= len(resolvers) && !isTimeout(err) {
				return nil, err // nobody listens there: asking again helps nobody
			}
		case (rcode(raw) == dns.RcodeServerFailure || rcode(raw) == dns.RcodeRefused) && i < len(resolvers):
			refused = raw
		default:
			if failed != nil {
				f.good.Store(uint32(at))
			}
			return raw, nil
		}
	}
	if refused != nil {
		return refused, nil
	}
	return nil, cmp.Or(failed, ctx.Err())
}

func isTimeout(err error) bool {
	var e net.Error
	return errors.As(err, &e) && e.Timeout()
}

// askOne asks one resolver by UDP and, for a client that came by TCP, by TCP if
// that did not hold all.
func (f *forwarder) askOne(ctx context.Context, q *query, resolver netip.AddrPort, tcp bool) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	raw, err := f.exchange(ctx, "udp", q, resolver)
	if err == nil && tcp && truncated(raw) {
		return f.exchange(ctx, "tcp", q, resolver)
	}
	return raw, err
}

// exchange sends the query under an id of its own and from a port of its own
// (RFC 5452 section 9.2), and waits for what answers it. Other messages are
// passed over.
func (f *forwarder) exchange(ctx context.Context, network string, q *query, resolver netip.AddrPort) ([]byte, error) {
	conn, err := f.dial(ctx, network, resolver.String())
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	if deadline, ok := ctx.Deadline(); ok {
		if err := conn.SetDeadline(deadline); err != nil {
			return nil, err
		}
	}
	defer context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })()
	send, receive := sendDatagram, receiveDatagram
	if network == "tcp" {
		send, receive = sendStream, receiveStream
		resetAtEnd(conn)
	}
	sent, id := outgoing(q)
	if err := send(conn, sent); err != nil {
		return nil, err
	}
	for {
		raw, err := receive(conn)
		if err != nil {
			return nil, err
		}
		if answers(raw, q, id) {
			setID(raw, q.header.Id)
			return raw, nil
		}
	}
}

// resetAtEnd has a connection end by a reset: there is nothing more to say once the answer is
// here, and a port that waits (TIME-WAIT) for each question would leave the host none for
// that resolver, if an endpoint asks without pause.
func resetAtEnd(conn net.Conn) {
	if c, is := conn.(*net.TCPConn); is {
		_ = c.SetLinger(0) // else it ends as others do
	}
}

// outgoing is the query as it goes to a resolver: with a random id, and with no
// larger answer asked for than goes by UDP without fragments.
func outgoing(q *query) (raw []byte, id uint16) {
	var random [2]byte
	_, _ = rand.Read(random[:]) // never fails
	id = binary.BigEndian.Uint16(random[:])
	raw = slices.Clone(q.raw)
	setID(raw, id)
	if q.sizeAt != 0 && q.opt.UDPSize() > largeSize {
		binary.BigEndian.PutUint16(raw[q.sizeAt:], largeSize)
	}
	return raw, id
}

func sendDatagram(conn net.Conn, raw []byte) error {
	_, err := conn.Write(raw)
	return err
}

var buffers = sync.Pool{New: func() any { return new([maxMessage]byte) }}

func receiveDatagram(conn net.Conn) ([]byte, error) {
	buffer := buffers.Get().(*[maxMessage]byte)
	defer buffers.Put(buffer)
	n, err := conn.Read(buffer[:])
	return slices.Clone(buffer[:n]), err
}

// sendStream sends a message with its length before it, in one segment (RFC
// 7766 section 8).
func sendStream(conn net.Conn, raw []byte) error {
	if len(raw) > maxMessage {
		return errors.New("message is too long")
	}
	framed := binary.BigEndian.AppendUint16(make([]byte, 0, 2+len(raw)), uint16(len(raw)))
	_, err := conn.Write(append(framed, raw...))
	return err
}

func receiveStream(conn net.Conn) ([]byte, error) {
	var length [2]byte
	if _, err := io.ReadFull(conn, length[:]); err != nil {
		return nil, err
	}
	raw := make([]byte, binary.BigEndian.Uint16(length[:]))
	_, err := io.ReadFull(conn, raw)
	return raw, err
}
