package dns

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/miekg/dns"
	"golang.org/x/sys/unix"
)

// stub is a resolver for tests. It answers every query with its address, or as
// handle says.
type stub struct {
	address  netip.AddrPort
	udp, tcp atomic.Int64 // queries it got
	mu       sync.Mutex
	last     *dns.Msg // the last of them
}

// listenFunc opens sockets somewhere.
type listenFunc struct {
	packet func(network, addr string) (net.PacketConn, error)
	stream func(network, addr string) (net.Listener, error)
}

func here() listenFunc {
	return listenFunc{
		func(network, addr string) (net.PacketConn, error) {
			return new(net.ListenConfig).ListenPacket(context.Background(), network, addr)
		},
		func(network, addr string) (net.Listener, error) {
			return new(net.ListenConfig).Listen(context.Background(), network, addr)
		},
	}
}

// both listens on one port by UDP and TCP. If the port that chance gives for one is
// somebody's for the other, it is another one's turn.
func (l listenFunc) both(t testing.TB, addr string) (net.PacketConn, net.Listener) {
	t.Helper()
	const tries = 20
	for try := 1; ; try++ {
		udp, err := l.packet("udp", addr)
		if err != nil {
			t.Fatal(err)
		}
		tcp, err := l.stream("tcp", udp.LocalAddr().String())
		if err == nil {
			return udp, tcp
		}
		udp.Close()
		if try == tries || !errors.Is(err, unix.EADDRINUSE) {
			t.Fatal(err)
		}
	}
}

// startStub starts a resolver that answers with handle. A nil message is no
// answer. By UDP an answer is cut to what the query takes.
func startStub(t testing.TB, listen listenFunc, addr string, handle func(q *dns.Msg, tcp bool) *dns.Msg) *stub {
	t.Helper()
	udp, tcp := listen.both(t, addr)
	s := &stub{address: udp.LocalAddr().(*net.UDPAddr).AddrPort()}
	serve := func(w dns.ResponseWriter, q *dns.Msg, tcp bool) {
		s.mu.Lock()
		s.last = q.Copy()
		s.mu.Unlock()
		m := handle(q, tcp)
		if m == nil {
			return
		}
		if !tcp {
			size := plainSize
			if o := q.IsEdns0(); o != nil {
				size = int(o.UDPSize())
			}
			m.Truncate(size)
		}
		_ = w.WriteMsg(m)
	}
	servers := []*dns.Server{
		{PacketConn: udp, UDPSize: maxMessage, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) { s.udp.Add(1); serve(w, q, false) })},
		{Listener: tcp, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) { s.tcp.Add(1); serve(w, q, true) })},
	}
	for _, server := range servers {
		ready := make(chan struct{})
		server.NotifyStartedFunc = func() { close(ready) }
		go func() { _ = server.ActivateAndServe() }()
		<-ready
		t.Cleanup(func() { _ = server.Shutdown() })
	}
	return s
}

func (s *stub) lastQuery() *dns.Msg {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.last
}

// says answers every query for an address with so many addresses, the first of
// which is a.
func says(a string, count int) func(*dns.Msg, bool) *dns.Msg {
	return func(q *dns.Msg, _ bool) *dns.Msg {
		m := new(dns.Msg).SetReply(q)
		for next := address(a); len(m.Answer) < count; next = next.Next() {
			m.Answer = append(m.Answer, &dns.A{Hdr: header(q.Question[0].Name, dns.TypeA), A: next.AsSlice()})
		}
		return m
	}
}

func fails(code int) func(*dns.Msg, bool) *dns.Msg {
	return func(q *dns.Msg, _ bool) *dns.Msg { return new(dns.Msg).SetRcode(q, code) }
}

func silent(*dns.Msg, bool) *dns.Msg { return nil }
