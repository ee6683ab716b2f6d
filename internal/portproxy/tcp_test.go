package portproxy

import (
	"errors"
	"io"
	"net"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/pires/go-proxyproto"

	"github.com/hostnat/hostnat/internal/model"
)

func loopback(six bool) string {
	if six {
		return "[::1]:0"
	}
	return "127.0.0.1:0"
}

func TestTCPKinds(t *testing.T) {
	t.Parallel()
	for _, kind := range []model.ProxyKind{model.V4ToV4, model.V4ToV6, model.V6ToV4, model.V6ToV6} {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			server := serve(t, loopback(strings.HasSuffix(string(kind), "v6")), echo)
			p := proxy(t, kind, model.TCP, server)
			e := start(t, nil)
			e.Apply(configuration(p))
			for _, size := range []int{0, 1, 255, 256, 300_000, 5 << 20} {
				exchange(t, p.Listen.String(), size)
			}
			eventually(t, func() bool { return e.States()[1].Connections == 0 })
			s := e.States()[1]
			if want := uint64(1 + 255 + 256 + 300_000 + 5<<20); s.BytesIn != want || s.BytesOut != want || s.TotalConnections != 6 || !s.Listening {
				t.Errorf("got %+v, want %d bytes", s, want)
			}
		})
	}
}

// The server's answer comes after the client's end, and the client's data after
// the server's.
func TestTCPHalfClose(t *testing.T) {
	t.Parallel()
	server := serve(t, loopback(false), func(c *net.TCPConn) {
		all, _ := io.ReadAll(c)
		_, _ = c.Write([]byte("got " + strconv.Itoa(len(all))))
	})
	early := serve(t, loopback(false), func(c *net.TCPConn) {
		_, _ = c.Write([]byte("bye"))
		_ = c.CloseWrite()
		_, _ = io.Copy(io.Discard, c)
	})
	p, q := proxy(t, model.V4ToV4, model.TCP, server), proxy(t, model.V4ToV4, model.TCP, early)
	q.ID = 2
	e := start(t, nil)
	e.Apply(configuration(p, q))

	c := dial(t, p.Listen.String())
	_, _ = c.Write(make([]byte, 1000))
	_ = c.CloseWrite()
	if got, err := io.ReadAll(c); err != nil || string(got) != "got 1000" {
		t.Errorf("got %q, %v", got, err)
	}
	d := dial(t, q.Listen.String())
	if got, err := io.ReadAll(d); err != nil || string(got) != "bye" {
		t.Errorf("got %q, %v", got, err)
	}
	if _, err := d.Write(make([]byte, 70_000)); err != nil {
		t.Error(err)
	}
	_ = d.CloseWrite()
	eventually(t, func() bool { s := e.States()[2]; return s.BytesIn == 70_000 && s.Connections == 0 })
}

func TestTCPReset(t *testing.T) {
	t.Parallel()
	serverSaw := make(chan error, 1)
	server := serve(t, loopback(false), func(c *net.TCPConn) {
		_, err := c.Read(make([]byte, 1))
		serverSaw <- err
	})
	resetting := serve(t, loopback(false), func(c *net.TCPConn) { _ = c.SetLinger(0) })
	p, q := proxy(t, model.V4ToV4, model.TCP, server), proxy(t, model.V4ToV4, model.TCP, resetting)
	q.ID = 2
	e := start(t, nil)
	e.Apply(configuration(p, q))

	c := dial(t, p.Listen.String())
	eventually(t, func() bool { return e.States()[1].Connections == 1 })
	_ = c.SetLinger(0)
	c.Close()
	if err := <-serverSaw; !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the server saw %v", err)
	}
	if _, err := ask(t, q.Listen.String()); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the client saw %v", err)
	}
}

// A receiver that does not read stops the sender, and gets everything later.
func TestTCPBackpressure(t *testing.T) {
	t.Parallel()
	goOn := make(chan struct{})
	total := make(chan int64, 1)
	server := serve(t, loopback(false), func(c *net.TCPConn) {
		<-goOn
		n, _ := io.Copy(io.Discard, c)
		total <- n
	})
	p := proxy(t, model.V4ToV4, model.TCP, server)
	e := start(t, nil)
	e.Apply(configuration(p))
	c := dial(t, p.Listen.String())
	chunk := make([]byte, 1<<20)
	var sent int64
	for {
		_ = c.SetWriteDeadline(time.Now().Add(200 * time.Millisecond))
		n, err := c.Write(chunk)
		sent += int64(n)
		if err != nil {
			break
		}
		if sent > 1<<30 {
			t.Fatal("the sender is never stopped")
		}
	}
	close(goOn)
	_ = c.SetWriteDeadline(time.Now().Add(patience))
	n, err := c.Write(chunk)
	sent += int64(n)
	if err != nil {
		t.Fatal(err)
	}
	_ = c.CloseWrite()
	if got := <-total; got != sent {
		t.Errorf("%d bytes arrived of %d", got, sent)
	}
}

func TestTCPRefused(t *testing.T) {
	t.Parallel()
	nobody := freePort(t, model.TCP, loopback(false))
	p := proxy(t, model.V4ToV4, model.TCP, nobody)
	e := start(t, nil)
	e.Apply(configuration(p))
	if _, err := ask(t, p.Listen.String()); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the client saw %v", err)
	}
	eventually(t, func() bool { return e.States()[1].Connections == 0 })
	if s := e.States()[1]; s.LastError != "connect to "+nobody+": connection refused" || s.LastErrorAt == nil {
		t.Errorf("got %+v", s)
	}
}

func TestProxyProtocol(t *testing.T) {
	t.Parallel()
	for _, kind := range []model.ProxyKind{model.V4ToV4, model.V6ToV4} {
		inner, err := net.Listen("tcp", loopback(false))
		if err != nil {
			t.Fatal(err)
		}
		l := &proxyproto.Listener{Listener: inner, ReadHeaderTimeout: patience}
		t.Cleanup(func() { l.Close() })
		seen := make(chan string, 1)
		go func() {
			c, err := l.Accept()
			if err != nil {
				seen <- err.Error()
				return
			}
			defer c.Close()
			b, _ := io.ReadAll(c)
			seen <- c.RemoteAddr().String() + " to " + c.LocalAddr().String() + " " + string(b)
		}()
		p := proxy(t, kind, model.TCP, inner.Addr().String())
		p.ProxyProtocol = true
		e := start(t, nil)
		e.Apply(configuration(p))
		c := dial(t, p.Listen.String())
		_, _ = c.Write([]byte("hello"))
		_ = c.CloseWrite()
		if got, want := <-seen, c.LocalAddr().String()+" to "+p.Listen.String()+" hello"; got != want {
			t.Errorf("%s: the server saw %q, want %q", kind, got, want)
		}
	}
}

// A change leaves the other proxies' connections alone, and ends those of what
// is gone; the port is free at once.
func TestApplyChanges(t *testing.T) {
	t.Parallel()
	server := serve(t, loopback(false), echo)
	p, q := proxy(t, model.V4ToV4, model.TCP, server), proxy(t, model.V4ToV4, model.TCP, server)
	q.ID = 2
	p.Listen.Host = "127.0.0.30" // no other test gets the port when it is free
	e := start(t, nil)
	e.Apply(configuration(p, q))
	staying, going := dial(t, p.Listen.String()), dial(t, q.Listen.String())
	for _, c := range []*net.TCPConn{staying, going} {
		_, _ = c.Write([]byte("x"))
		if _, err := io.ReadFull(c, make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
	}
	r := q
	r.ID = 3
	e.Apply(configuration(p, r))
	if _, err := going.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the connection of the deleted proxy: %v", err)
	}
	exchange(t, q.Listen.String(), 1000)
	_, _ = staying.Write([]byte("y"))
	if _, err := io.ReadFull(staying, make([]byte, 1)); err != nil {
		t.Errorf("the other's connection: %v", err)
	}
	e.Apply(configuration())
	if c, err := net.Dial("tcp", p.Listen.String()); err == nil {
		c.Close()
		t.Error("it still listens")
	}
	if len(e.States()) != 0 {
		t.Errorf("states %v", e.States())
	}
}

func TestPortRange(t *testing.T) {
	t.Parallel()
	first, second := adjacent(t)
	p := proxy(t, model.V4ToV4, model.TCP, first)
	for low := 20000; ; low += 2 {
		if low > 30000 {
			t.Fatal("no two free ports")
		}
		a, err := net.Listen("tcp", "127.0.0.1:"+strconv.Itoa(low))
		if err != nil {
			continue
		}
		b, err := net.Listen("tcp", "127.0.0.1:"+strconv.Itoa(low+1))
		a.Close()
		if err == nil {
			b.Close()
			p.Listen.Ports = model.PortRange{Low: uint16(low), High: uint16(low + 1)}
			break
		}
	}
	p.Connect.Ports.High++
	e := start(t, nil)
	e.Apply(configuration(p))
	for i, want := range []string{first, second} {
		c := dial(t, "127.0.0.1:"+strconv.Itoa(int(p.Listen.Port(i))))
		if got, err := io.ReadAll(c); err != nil || string(got) != want {
			t.Errorf("port %d: got %q, %v; want %q", i, got, err, want)
		}
	}
}

// adjacent returns two servers on neighbouring ports that say where they are.
func adjacent(t *testing.T) (first, second string) {
	t.Helper()
	tell := func(c *net.TCPConn) { _, _ = io.WriteString(c, c.LocalAddr().String()) }
	for range 100 {
		h := hostPorts(t, freePort(t, model.TCP, loopback(false)))
		h.Ports.Low, h.Ports.High = h.Ports.Low+1, h.Ports.Low+1
		l, err := net.Listen("tcp", h.String())
		if err != nil {
			continue
		}
		l.Close()
		second = serve(t, h.String(), tell)
		h.Ports.Low, h.Ports.High = h.Ports.Low-1, h.Ports.Low-1
		return serve(t, h.String(), tell), second
	}
	t.Fatal("no two free ports")
	return "", ""
}
