package portproxy

import (
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/hostnat/hostnat/internal/model"
)

// dialFrom connects from an address of loopback; nil: it is refused or reset.
func dialFrom(t *testing.T, from, to string) *net.TCPConn {
	t.Helper()
	d := net.Dialer{Timeout: patience, LocalAddr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(from), 0))}
	c, err := d.Dial("tcp", to)
	if err != nil {
		return nil
	}
	t.Cleanup(func() { c.Close() })
	_ = c.SetDeadline(time.Now().Add(patience))
	return c.(*net.TCPConn)
}

// echoes reports whether a connection is relayed.
func echoes(c *net.TCPConn) bool {
	if c == nil {
		return false
	}
	if _, err := c.Write([]byte("x")); err != nil {
		return false
	}
	_, err := io.ReadFull(c, make([]byte, 1))
	return err == nil
}

// Two addresses open as many connections as they can and leave them idle. Another
// client is served, theirs are counted, and what they have stays within their share.
func TestGreedyClients(t *testing.T) {
	t.Parallel()
	p, q := proxy(t, model.V4ToV4, model.TCP, serve(t, "127.0.0.1:0", echo)), proxy(t, model.V4ToV4, model.TCP, serve(t, "127.0.0.1:0", echo))
	q.ID, q.Listen.Host = 2, "127.0.0.31"
	e := startWith(t, Options{Loops: 2, Descriptors: 640}) // 240: 120 for a proxy, 30 for a client
	e.Apply(configuration(p, q))
	to := p.Listen.String()
	patient := dialFrom(t, "127.0.0.71", to)
	if !echoes(patient) {
		t.Fatal("nothing is relayed")
	}
	for range 200 {
		dialFrom(t, "127.0.0.72", to)
		dialFrom(t, "127.0.0.73", to)
	}
	eventually(t, func() bool { return e.States()[1].Refused >= 300 })
	if s := e.States()[1]; s.Connections > 61 {
		t.Errorf("%d connections stand", s.Connections)
	}
	if !echoes(dialFrom(t, "127.0.0.74", to)) || !echoes(dialFrom(t, "127.0.0.75", q.Listen.String())) {
		t.Error("others are not served")
	}
	if !echoes(patient) {
		t.Error("who was there before is not served any more")
	}
	if list := e.Problems(); len(list) != 1 || !strings.Contains(list[0], "port proxy 1 has refused") {
		t.Errorf("problems: %v", list)
	}
}

// When a proxy is full of clients that leave their connections idle, the longest
// silent of the greediest gives way to each that comes.
func TestIdleGivesWay(t *testing.T) {
	t.Parallel()
	p := proxy(t, model.V4ToV4, model.TCP, serve(t, "127.0.0.1:0", echo))
	e := New(Options{Loops: 2, Descriptors: 320}) // 120, 60 for the proxy, 15 for a client
	e.places.silent = 0
	run(t, e)
	e.Apply(configuration(p))
	to := p.Listen.String()
	for _, a := range []string{"127.0.0.2", "127.0.0.3", "127.0.0.4", "127.0.0.5"} {
		for range 15 {
			if !echoes(dialFrom(t, a, to)) {
				t.Fatalf("%s has not got its share", a)
			}
		}
	}
	for i := range 20 {
		if !echoes(dialFrom(t, netip.AddrFrom4([4]byte{127, 0, 9, byte(i)}).String(), to)) {
			t.Fatalf("client %d is not served", i)
		}
	}
	// Who gives way is counted by the loop that has it, which may have something else to do first.
	eventually(t, func() bool { s := e.States()[1]; return s.GaveWay >= 20 && s.Connections <= 60 })
	if s := e.States()[1]; s.Refused != 0 {
		t.Errorf("%+v", s)
	}
}

// Receivers that take nothing do not keep the pipes from others.
func TestReceiversThatStall(t *testing.T) {
	t.Parallel()
	const large = 64 << 20
	pour := serve(t, "127.0.0.1:0", func(c *net.TCPConn) { _, _ = io.CopyN(c, zeros{}, large) })
	p := proxy(t, model.V4ToV4, model.TCP, pour)
	e := New(Options{Loops: 1, Descriptors: 320}) // 40 pipes
	e.places.silent = time.Second
	run(t, e)
	e.Apply(configuration(p))
	for i := range 60 {
		dialFrom(t, netip.AddrFrom4([4]byte{127, 0, 8, byte(i)}).String(), p.Listen.String())
	}
	// Who comes while the first are not silent for long enough is refused.
	var c *net.TCPConn
	eventually(t, func() bool {
		c = dialFrom(t, "127.0.0.6", p.Listen.String())
		if c == nil {
			return false
		}
		_, err := io.ReadFull(c, make([]byte, 1))
		return err == nil
	})
	_ = c.SetDeadline(time.Now().Add(3 * patience))
	if n, err := io.Copy(io.Discard, c); n != large-1 {
		t.Errorf("a client that takes what comes has got %d of %d bytes: %v", n+1, large, err)
	}
}

// zeros is a file without an end.
type zeros struct{}

func (zeros) Read(b []byte) (int, error) { clear(b); return len(b), nil }
