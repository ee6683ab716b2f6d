package portproxy

import (
	"context"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"

	"github.com/hostnat/hostnat/internal/model"
)

// book is a stub resolver.
type book struct {
	mu    sync.Mutex
	known map[string][]netip.Addr
}

func (b *book) set(name string, addresses ...netip.Addr) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.known == nil {
		b.known = make(map[string][]netip.Addr)
	}
	b.known[name] = addresses
}

func (b *book) lookup(_ context.Context, name string) ([]netip.Addr, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if a := b.known[name]; len(a) > 0 {
		return a, nil
	}
	return nil, &net.DNSError{Err: "no such host", Name: name, IsNotFound: true}
}

func TestNameMoves(t *testing.T) {
	t.Parallel()
	where := func(c *net.TCPConn) { _, _ = io.WriteString(c, c.LocalAddr().(*net.TCPAddr).IP.String()) }
	first := serve(t, "127.0.0.1:0", where)
	_, port, _ := net.SplitHostPort(first)
	second := "127.0.0.2:" + port
	var dns book
	p := proxy(t, model.V4ToV4, model.TCP, "web.example:"+port)
	e := start(t, dns.lookup)
	e.Apply(configuration(p))
	ask := func() string {
		got, _ := ask(t, p.Listen.String())
		return got
	}
	eventually(t, func() bool {
		return strings.Contains(e.States()[1].Problem, "web.example: there is no such endpoint or name")
	})
	if got := ask(); got != "" {
		t.Errorf("answer of a name that does not resolve: %q", got)
	}
	dns.set("web.example", address(t, "2001:db8::1"), address(t, "127.0.0.1"))
	e.names.mu.Lock() // the test does not wait for its time to come
	e.names.known["web.example"].due = e.names.known["web.example"].asked
	e.names.mu.Unlock()
	e.names.poke()
	eventually(t, func() bool { return e.States()[1].Problem == "" })
	if got := ask(); got != "127.0.0.1" {
		t.Errorf("got %q", got)
	}

	// The server moves: the first failure has the name looked up again.
	serve(t, second, where)
	dns.set("web.example", address(t, "127.0.0.3"), address(t, "127.0.0.2"))
	e.names.learn("web.example", []netip.Addr{address(t, "127.0.0.9")}, nil) // stale: nobody there
	e.names.mu.Lock()
	e.names.known["web.example"].asked = e.names.known["web.example"].asked.Add(-2 * doubtAfter)
	e.names.mu.Unlock()
	if got := ask(); got != "" {
		t.Errorf("got %q from nobody", got)
	}
	eventually(t, func() bool { return ask() == "127.0.0.2" })
}

// A name that comes to lead to the proxy itself is noticed; connections are
// refused, not multiplied.
func TestNameLeadsToItself(t *testing.T) {
	t.Parallel()
	var dns book
	dns.set("me.example", address(t, "127.0.0.1"))
	p := proxy(t, model.V4ToV4, model.TCP, "me.example:1")
	p.Connect.Ports = p.Listen.Ports
	e := start(t, dns.lookup)
	e.Apply(configuration(p))
	eventually(t, func() bool { return strings.Contains(e.States()[1].Problem, "would connect to itself") })
	if b, err := ask(t, p.Listen.String()); err == nil {
		t.Errorf("got %q", b)
	}
	if s := e.States()[1]; s.TotalConnections != 1 || !strings.Contains(s.LastError, "itself") {
		t.Errorf("got %+v", s)
	}
}

func TestEndpointName(t *testing.T) {
	t.Parallel()
	server := serve(t, "127.0.0.1:0", func(c *net.TCPConn) { _, _ = io.WriteString(c, "c1") })
	_, port, _ := net.SplitHostPort(server)
	var dns book
	p := proxy(t, model.V4ToV4, model.TCP, "c1:"+port)
	c := configuration(p)
	e := start(t, dns.lookup)
	e.Apply(c)
	if b, err := ask(t, p.Listen.String()); err == nil {
		t.Errorf("before it is attached: got %q", b)
	}
	c.Endpoints = []model.Endpoint{{Name: "c1", Network: "web", Addresses: []netip.Addr{address(t, "127.0.0.1")}}}
	c.Networks = []model.Network{{Name: "web", Bridge: "lo"}}
	e.Apply(c)
	if b, err := ask(t, p.Listen.String()); b != "c1" {
		t.Errorf("got %q, %v", b, err)
	}
}

// A listen address that the host does not have is shown; a port that is in use
// becomes ours when it is free.
func TestListenTrouble(t *testing.T) {
	t.Parallel()
	server := serve(t, "127.0.0.1:0", echo)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p, q := proxy(t, model.V4ToV4, model.TCP, server), proxy(t, model.V4ToV4, model.TCP, server)
	p.Listen, q.ID, q.Listen.Host = hostPorts(t, l.Addr().String()), 2, "192.0.2.1"
	e := start(t, nil)
	e.Apply(configuration(p, q))
	states := e.States()
	if got := states[1].Problem; !strings.Contains(got, "another program has the port") || states[1].Listening {
		t.Errorf("in use: %+v", states[1])
	}
	if got := states[2].Problem; !strings.Contains(got, "the host does not have the address now") {
		t.Errorf("no such address: %+v", states[2])
	}
	l.Close()
	eventually(t, func() bool { return e.States()[1].Listening })
	exchange(t, p.Listen.String(), 10)
}
