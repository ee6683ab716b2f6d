package dns

import (
	"errors"
	"net"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/miekg/dns"
)

func parsed(t testing.TB, name string, qtype uint16, change ...func(*dns.Msg)) *query {
	t.Helper()
	q, _, ok := parse(wire(t, name, qtype, change...))
	if !ok {
		t.Fatal("no query")
	}
	return &q
}

// askStubs asks resolvers and returns the answer in words, or the error.
func askStubs(t *testing.T, f *forwarder, q *query, tcp bool) (string, *dns.Msg) {
	t.Helper()
	raw, err := f.ask(t.Context(), q, tcp)
	if err != nil {
		return err.Error(), nil
	}
	var m dns.Msg
	if err := m.Unpack(raw); err != nil {
		t.Fatal(err)
	}
	if m.Id != q.header.Id {
		t.Errorf("the answer has id %d", m.Id)
	}
	return text(&m), &m
}

func forwardTo(stubs ...*stub) *forwarder {
	f := newForwarder()
	var list []netip.AddrPort
	for _, s := range stubs {
		list = append(list, s.address)
	}
	f.use(list)
	return f
}

const local = "127.0.0.1:0"

func TestForward(t *testing.T) {
	t.Parallel()
	s := startStub(t, here(), local, says("192.0.2.1", 1))
	got, _ := askStubs(t, forwardTo(s), parsed(t, "Example.COM.", dns.TypeA, func(m *dns.Msg) {
		m.SetEdns0(4096, true)
		m.CheckingDisabled = true
		m.IsEdns0().Option = []dns.EDNS0{&dns.EDNS0_SUBNET{Code: dns.EDNS0SUBNET, Family: 1, SourceNetmask: 24, Address: []byte{192, 0, 2, 0}}}
	}), false)
	if got != "NOERROR A 192.0.2.1" {
		t.Errorf("got %s", got)
	}
	q := s.lastQuery()
	o := q.IsEdns0()
	if q.Id == 0x1234 || q.Question[0].Name != "Example.COM." || !q.CheckingDisabled || !o.Do() || o.UDPSize() != largeSize || len(o.Option) != 1 {
		t.Errorf("the resolver was asked %v", q)
	}
}

func TestForwardNegativeAnswer(t *testing.T) {
	t.Parallel()
	s := startStub(t, here(), local, func(q *dns.Msg, _ bool) *dns.Msg {
		m := new(dns.Msg).SetRcode(q, dns.RcodeNameError)
		m.Ns = []dns.RR{soa("example.com.")}
		return m
	})
	if got, _ := askStubs(t, forwardTo(s), parsed(t, "nope.example.com.", dns.TypeA), false); got != "NXDOMAIN SOA example.com." {
		t.Errorf("got %s", got)
	}
}

// Who came by UDP is told that there is more; who came by TCP gets it.
func TestForwardTruncated(t *testing.T) {
	t.Parallel()
	s := startStub(t, here(), local, says("192.0.2.1", 100))
	f := forwardTo(s)
	_, udp := askStubs(t, f, parsed(t, "example.com.", dns.TypeA), false)
	if !udp.Truncated || s.tcp.Load() != 0 {
		t.Errorf("by UDP: %v, asked by TCP %d times", udp.MsgHdr, s.tcp.Load())
	}
	_, tcp := askStubs(t, f, parsed(t, "example.com.", dns.TypeA), true)
	if tcp.Truncated || len(tcp.Answer) != 100 || s.tcp.Load() != 1 {
		t.Errorf("by TCP: %v with %d answers", tcp.MsgHdr, len(tcp.Answer))
	}
}

func TestForwardToAnother(t *testing.T) {
	t.Parallel()
	good := says("192.0.2.2", 1)
	tests := []struct {
		name        string
		first       func(*dns.Msg, bool) *dns.Msg
		second      func(*dns.Msg, bool) *dns.Msg
		want        string
		firstAgain  int64 // how often the first is asked by two queries
		secondAgain int64
	}{
		{"the first answers", says("192.0.2.1", 1), good, "NOERROR A 192.0.2.1", 2, 0},
		{"no such name is an answer", fails(dns.RcodeNameError), good, "NXDOMAIN", 2, 0},
		{"SERVFAIL", fails(dns.RcodeServerFailure), good, "NOERROR A 192.0.2.2", 2, 2},
		{"REFUSED", fails(dns.RcodeRefused), good, "NOERROR A 192.0.2.2", 2, 2},
		{"SERVFAIL from both", fails(dns.RcodeServerFailure), fails(dns.RcodeServerFailure), "SERVFAIL", 2, 2},
		{"silence, remembered", silent, good, "NOERROR A 192.0.2.2", 1, 2},
		{"SERVFAIL and silence", fails(dns.RcodeServerFailure), silent, "SERVFAIL", 2, 2},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			first := startStub(t, here(), local, test.first)
			second := startStub(t, here(), local, test.second)
			f := forwardTo(first, second)
			for range 2 {
				if got, _ := askStubs(t, f, parsed(t, "example.com.", dns.TypeA), false); got != test.want {
					t.Errorf("got %s, want %s", got, test.want)
				}
			}
			if first.udp.Load() != test.firstAgain || second.udp.Load() != test.secondAgain {
				t.Errorf("asked %d and %d times, want %d and %d", first.udp.Load(), second.udp.Load(), test.firstAgain, test.secondAgain)
			}
		})
	}
}

// Where nobody listens the answer is there at once.
func TestForwardToNobody(t *testing.T) {
	t.Parallel()
	f := newForwarder()
	if _, err := f.ask(t.Context(), parsed(t, "example.com.", dns.TypeA), false); !errors.Is(err, errNoResolver) {
		t.Errorf("without resolvers: %v", err)
	}
	closed, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(netip.MustParseAddrPort(local)))
	if err != nil {
		t.Fatal(err)
	}
	f.use([]netip.AddrPort{closed.LocalAddr().(*net.UDPAddr).AddrPort()})
	closed.Close()
	start := time.Now()
	if _, err := f.ask(t.Context(), parsed(t, "example.com.", dns.TypeA), false); err == nil || time.Since(start) > patience {
		t.Errorf("%v after %v", err, time.Since(start))
	}
}

// One lost query is asked again.
func TestForwardLost(t *testing.T) {
	t.Parallel()
	lost := false
	s := startStub(t, here(), local, func(q *dns.Msg, tcp bool) *dns.Msg {
		if !lost {
			lost = true
			return nil
		}
		return says("192.0.2.1", 1)(q, tcp)
	})
	if got, _ := askStubs(t, forwardTo(s), parsed(t, "example.com.", dns.TypeA), false); got != "NOERROR A 192.0.2.1" {
		t.Errorf("got %s", got)
	}
}

// Messages that answer something else are passed over: wrong id, wrong name,
// wrong type, a query.
func TestForwardForged(t *testing.T) {
	t.Parallel()
	conn, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(netip.MustParseAddrPort(local)))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	go func() {
		buffer := make([]byte, maxMessage)
		n, client, err := conn.ReadFromUDPAddrPort(buffer)
		var q dns.Msg
		if err != nil || q.Unpack(buffer[:n]) != nil {
			return
		}
		for _, forge := range []func(*dns.Msg){
			func(m *dns.Msg) { m.Id++ },
			func(m *dns.Msg) { m.Question[0].Name = "evil.example." },
			func(m *dns.Msg) { m.Question[0].Qtype = dns.TypeAAAA },
			func(m *dns.Msg) { m.Response = false },
			func(m *dns.Msg) { m.Opcode = dns.OpcodeNotify },
			func(m *dns.Msg) { m.Question = nil },
			func(m *dns.Msg) { m.Answer[0].(*dns.A).A = []byte{192, 0, 2, 1} }, // the one that counts
		} {
			m := says("192.0.2.66", 1)(q.Copy(), false)
			forge(m)
			raw, _ := m.Pack()
			_, _ = conn.WriteToUDPAddrPort(raw, client)
		}
	}()
	f := newForwarder()
	f.use([]netip.AddrPort{conn.LocalAddr().(*net.UDPAddr).AddrPort()})
	if got, _ := askStubs(t, f, parsed(t, "example.com.", dns.TypeA), false); got != "NOERROR A 192.0.2.1" {
		t.Errorf("got %s", got)
	}
}

func TestLimiter(t *testing.T) {
	t.Parallel()
	l := newLimiter[netip.Addr](2, 3)
	a, b := address("172.16.1.2"), address("172.16.1.3")
	var gaveUp []int
	var places []*place[netip.Addr]
	enter := func(client netip.Addr) bool {
		i := len(places)
		p := l.enter(client, func() { gaveUp = append(gaveUp, i) })
		places = append(places, p)
		return p != nil
	}
	for i, step := range []struct {
		client netip.Addr
		want   bool
	}{{a, true}, {a, true}, {a, false}, {b, true}, {b, false}, {address("172.16.1.4"), true}} {
		if enter(step.client) != step.want {
			t.Errorf("step %d: not %v", i, step.want)
		}
	}
	if !slices.Equal(gaveUp, []int{0}) {
		t.Errorf("%v gave up; the client with most had 0 and 1", gaveUp)
	}
	l.leave(places[0]) // once more
	l.leave(places[1])
	if !enter(b) {
		t.Error("a place that was left is not given again")
	}
	l.ownYields = true
	l.used(places[3])
	if !enter(b) || !slices.Equal(gaveUp, []int{0, 6}) {
		t.Errorf("%v gave up; of b's own 6 was used longest ago", gaveUp)
	}
	for _, p := range places {
		if p != nil {
			l.leave(p)
		}
	}
	if len(l.of) != 0 || l.total != 0 {
		t.Errorf("left: %v, %d", l.of, l.total)
	}
}
