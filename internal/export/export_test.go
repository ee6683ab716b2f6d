package export

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hostnat/hostnat/dev/lab"
	"github.com/hostnat/hostnat/internal/event"
	"github.com/hostnat/hostnat/internal/ipfix/ipfixtest"
	"github.com/hostnat/hostnat/internal/model"
)

const patience = 60 * time.Second

// eventually waits for a condition.
func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := lab.WaitFor(ctx, is); err != nil {
		t.Fatalf("%s: %v", what, err)
	}
}

// started is an exporter that runs until the test ends.
func started(t *testing.T, o Options) (*Exporter, context.CancelFunc) {
	t.Helper()
	o.Log = slog.New(slog.DiscardHandler)
	x, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); _ = x.Run(ctx) }()
	stop := func() { cancel(); <-ended }
	t.Cleanup(stop)
	return x, stop
}

var remote = netip.MustParseAddrPort("192.0.2.7:80")

// session is the event of the nth session.
func session(id event.ID, n int) event.Event {
	e := event.New(id, time.Unix(1_800_000_000, 0).Add(time.Duration(n)*time.Millisecond))
	e.Protocol, e.NAT, e.NATID, e.Network, e.Compartment, e.Endpoint = model.TCP, "default", 1, "web", "default", "c1"
	e.Internal = netip.AddrPortFrom(netip.MustParseAddr("172.16.1.2"), uint16(n))
	e.External = netip.MustParseAddrPort("203.0.113.5:1227")
	e.InternalDestination, e.ExternalDestination, e.RemoteName = remote, remote, "www.example.com"
	return e
}

// udpCollector is a socket that IPFIX or syslog is sent to.
func udpCollector(t *testing.T, at string) *net.UDPConn {
	t.Helper()
	a, err := net.ResolveUDPAddr("udp", at)
	if err != nil {
		t.Fatal(err)
	}
	c, err := net.ListenUDP("udp", a)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	_ = c.SetReadDeadline(time.Now().Add(patience))
	return c
}

// freePort is the address of a UDP port that nobody has.
func freePort(t *testing.T) string {
	t.Helper()
	c := udpCollector(t, "127.0.0.1:0")
	defer c.Close()
	return c.LocalAddr().String()
}

// read reads IPFIX messages until so many records have come, or a loss.
func read(t *testing.T, next func() []byte, enough func(ipfixtest.Record) bool) (list []ipfixtest.Record, sequence uint32) {
	t.Helper()
	var c ipfixtest.Collector
	for {
		expected := c.Next
		m, err := c.Read(next())
		if err != nil {
			t.Fatal(err)
		}
		if m.Sequence != expected || m.Domain != 1 || time.Since(m.Exported).Abs() > patience {
			t.Errorf("%+v, where the sequence number should be %d", m, expected)
		}
		for _, r := range m.Records {
			if list = append(list, r); enough(r) {
				return list, c.Next
			}
		}
	}
}

func datagrams(t *testing.T, c net.Conn) func() []byte {
	return func() []byte {
		t.Helper()
		b := make([]byte, 65536)
		n, err := c.Read(b)
		if err != nil {
			t.Fatal(err)
		}
		return b[:n]
	}
}

// TestIPFIX: templates come first, then each event once, without the remote unless that was asked for.
func TestIPFIX(t *testing.T) {
	t.Parallel()
	for _, remotes := range []bool{false, true} {
		t.Run(fmt.Sprintf("remotes=%t", remotes), func(t *testing.T) {
			t.Parallel()
			c := udpCollector(t, "[::1]:0")
			x, _ := started(t, Options{IPFIX: []string{"udp:" + c.LocalAddr().String()}, Remotes: remotes})
			wanted := []event.ID{event.BindingCreate, event.SessionCreate, event.SessionTCPStateUpdate, event.BindingSessionCount, event.SessionTimeout, event.SessionDelete, event.BindingDelete, event.DroppedPacket}
			for i, id := range wanted {
				x.Take(session(id, i))
			}
			list, _ := read(t, datagrams(t, c), func(r ipfixtest.Record) bool { return r.Number(230) == 9 })
			var got []uint64
			for _, r := range list {
				got = append(got, r.Number(230))
				if r.At(8, 7).Addr() != netip.MustParseAddr("172.16.1.2") || r.At(225, 227) != netip.MustParseAddrPort("203.0.113.5:1227") || string(r.Values[464]) != "default" {
					t.Errorf("%+v", r)
				}
				of := r.Number(230) <= 5
				if r.Has(12) != (remotes && of) || r.Has(12) && (r.At(12, 11) != remote || r.At(226, 228) != remote) {
					t.Errorf("remotes %t: %+v", remotes, r)
				}
			}
			if fmt.Sprint(got) != "[8 4 5 9]" {
				t.Errorf("events %v", got)
			}
		})
	}
}

// TestRefusalsAreToldNowAndThen: one of each kind is told, with what was allowed.
func TestRefusalsAreToldNowAndThen(t *testing.T) {
	t.Parallel()
	c := udpCollector(t, "127.0.0.1:0")
	x, _ := started(t, Options{IPFIX: []string{"udp:" + c.LocalAddr().String()}})
	for range 1000 {
		x.Take(session(event.OutOfPorts, 1))
		full, limited := session(event.MemoryAllocationFailure, 1), session(event.EndpointLimited, 1)
		full.Limit, limited.Limit = 1000, 10
		x.Take(full)
		x.Take(limited)
	}
	x.Take(session(event.SessionDelete, 1))
	list, _ := read(t, datagrams(t, c), func(r ipfixtest.Record) bool { return r.Number(230) == 5 })
	var got []string
	for _, r := range list {
		got = append(got, fmt.Sprint(r.Number(230), r.Number(466), r.Number(471), r.Number(473)))
	}
	if want := "12 0 0 0,13 1 1000 0,13 3 0 10,5 0 0 0"; strings.Join(got, ",") != want {
		t.Errorf("%v, want %s", got, want)
	}
}

// TestCollectorThatIsDown: nobody waits for it; what is lost is counted, and told when it is back.
func TestCollectorThatIsDown(t *testing.T) {
	t.Parallel()
	at := freePort(t)
	x, _ := started(t, Options{IPFIX: []string{"udp:" + at}})
	eventually(t, "a problem", func() bool { return len(x.Problems()) == 1 })
	if p := x.Problems()[0]; !strings.Contains(p, "events do not reach ipfix udp:"+at+": ") || !strings.Contains(p, "connection refused; 0 are lost so far") {
		t.Error(p)
	}
	const taken = 200_000 // more than the queue takes
	for n := range taken {
		x.Take(session(event.SessionCreate, n))
	}
	kernel := event.New(event.EventsLost, time.Now())
	kernel.Lost = 5
	x.Take(kernel)
	lost := x.Counts()[0].Lost
	if lost < 1000 {
		t.Fatalf("%d of %d lost", lost, taken)
	}
	c := udpCollector(t, at)
	_ = c.SetReadBuffer(16 << 20)
	list, _ := read(t, datagrams(t, c), func(r ipfixtest.Record) bool { return r.Number(167) > 0 })
	if r := list[0]; len(list) != 1 || r.Number(144) != 1 || r.Number(167) != lost {
		t.Errorf("the first records are %+v, and %d are lost", list, lost)
	}
	eventually(t, "the problem's end", func() bool { return len(x.Problems()) == 0 })
	x.Take(session(event.SessionDelete, 1))
	eventually(t, "the rest", func() bool { n := x.Counts()[0]; return n.Sent+n.Lost == taken+1+5 })
}

// TestCollectorThatTakesNothing holds nobody up.
func TestCollectorThatTakesNothing(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0") // it never accepts
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	x, stop := started(t, Options{IPFIX: []string{"tcp:" + l.Addr().String()}, Syslog: []string{"tcp:" + l.Addr().String()}})
	taken := uint64(0)
	eventually(t, "losses", func() bool {
		for range 10_000 {
			x.Take(session(event.SessionCreate, 1))
			taken++
		}
		n := x.Counts()
		return n[0].Lost > 0 && n[1].Lost > 0
	})
	stop()
	for _, n := range x.Counts() {
		if n.Sent+n.Lost > taken {
			t.Errorf("%+v of %d", n, taken)
		}
	}
}

// TestCollectorThatReadsNothing: it accepts each connection, and that is a problem as long
// as it lasts, also while the next connection takes what its buffers hold.
func TestCollectorThatReadsNothing(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var accepted atomic.Int32
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			defer c.Close()
			accepted.Add(1)
		}
	}()
	x, err := New(Options{Syslog: []string{"tcp:" + l.Addr().String()}, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	x.streams[0].writeTime = 3 * time.Second
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); _ = x.Run(ctx) }()
	t.Cleanup(func() { cancel(); l.Close(); <-ended })
	take := func() {
		for range 1000 {
			x.Take(session(event.SessionCreate, 1))
		}
	}
	eventually(t, "a problem", func() bool { take(); return len(x.Problems()) == 1 })
	first := accepted.Load()
	eventually(t, "two connections more", func() bool {
		take()
		if p := x.Problems(); len(p) != 1 || !strings.Contains(p[0], "i/o timeout") {
			t.Fatalf("after %d connections more the problems are %v", accepted.Load()-first, p)
		}
		return accepted.Load() >= first+2
	})
	q := &x.streams[0].queue
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.bytes > queueBytes || q.lost.events == 0 {
		t.Errorf("%d bytes wait, %d events are lost", q.bytes, q.lost.events)
	}
}

// TestTemplatesAreSentAgain: by UDP, after a thousand messages.
func TestTemplatesAreSentAgain(t *testing.T) {
	t.Parallel()
	socket := udpCollector(t, "127.0.0.1:0")
	x, _ := started(t, Options{IPFIX: []string{"udp:" + socket.LocalAddr().String()}})
	next := datagrams(t, socket)
	var c ipfixtest.Collector
	var at []int // the messages that have templates
	for n, taken := 0, 0; len(at) < 2; n++ {
		for n > 0 && taken < int(c.Next)+500 { // no more than the socket has room for
			x.Take(session(event.SessionCreate, taken))
			taken++
		}
		m, err := c.Read(next())
		if err != nil {
			t.Fatal(err)
		}
		if m.Templates > 0 {
			at = append(at, n)
		}
	}
	if at[0] != 0 || at[1] != prefacePackets+1 {
		t.Errorf("templates are in the messages %v", at)
	}
}

// TestReconnect: a collector that ends the connection gets templates and a sequence of its own on the next one.
func TestReconnect(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	x, _ := started(t, Options{IPFIX: []string{"tcp:" + l.Addr().String()}})
	for n := range 2 {
		c, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		_ = c.SetReadDeadline(time.Now().Add(patience))
		x.Take(session(event.SessionCreate, n))
		list, next := read(t, messages(t, c), func(ipfixtest.Record) bool { return true })
		if list[0].Number(7) != uint64(n) || next != 1 {
			t.Errorf("%+v, then %d", list, next)
		}
		c.Close()
	}
}

// messages reads IPFIX from a stream.
func messages(t *testing.T, c io.Reader) func() []byte {
	return func() []byte {
		t.Helper()
		b := make([]byte, 65536)
		if _, err := io.ReadFull(c, b[:4]); err != nil {
			t.Fatal(err)
		}
		length := int(b[2])<<8 | int(b[3])
		if _, err := io.ReadFull(c, b[4:length]); err != nil {
			t.Fatal(err)
		}
		return b[:length]
	}
}

const (
	withoutRemote = `SessionCreate [hostnat@32473 id="1001" nat="default" network="web" compartment="default" endpoint="c1" protocol="tcp" internal="172.16.1.2:7" external="203.0.113.5:1227"] ` +
		`session created: tcp c1 172.16.1.2:7, outside 203.0.113.5:1227`
	withRemote = `SessionCreate [hostnat@32473 id="1001" nat="default" network="web" compartment="default" endpoint="c1" protocol="tcp" internal="172.16.1.2:7" external="203.0.113.5:1227" ` +
		`remote="192.0.2.7:80" remoteName="www.example.com"] session created: tcp c1 172.16.1.2:7 → 192.0.2.7:80 (www.example.com), outside 203.0.113.5:1227`
)

// TestSyslog: by each way, one message an event.
func TestSyslog(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "log")
	local, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer local.Close()
	_ = local.SetReadDeadline(time.Now().Add(patience))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	udp := udpCollector(t, "127.0.0.1:0")
	tests := []struct {
		to   string
		next func(t *testing.T) string
	}{
		{"unix:" + path, func(t *testing.T) string { return string(datagrams(t, local)()) }},
		{"udp:" + udp.LocalAddr().String(), func(t *testing.T) string { return string(datagrams(t, udp)()) }},
		{"tcp:" + l.Addr().String(), func(t *testing.T) string { return framed(t, l) }},
	}
	for i, want := range []string{withoutRemote, withRemote} {
		for _, tt := range tests {
			t.Run(tt.to, func(t *testing.T) {
				x, stop := started(t, Options{Syslog: []string{tt.to}, Remotes: i == 1})
				defer stop()
				x.Take(session(event.SessionCreate, 7))
				got := tt.next(t)
				if !strings.HasPrefix(got, "<30>1 2027-01-15T08:00:00.007000Z ") || !strings.HasSuffix(got, want) {
					t.Errorf("got %s\nwant … %s", got, want)
				}
			})
		}
	}
}

// framed reads one message of RFC 6587 from the next connection.
func framed(t *testing.T, l net.Listener) string {
	t.Helper()
	c, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetReadDeadline(time.Now().Add(patience))
	r := bufio.NewReader(c)
	length, err := r.ReadString(' ')
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.Atoi(strings.TrimSpace(length))
	if err != nil {
		t.Fatal(err)
	}
	b := make([]byte, n)
	if _, err := io.ReadFull(r, b); err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestSyslogTellsLosses: how many were lost is a message.
func TestSyslogTellsLosses(t *testing.T) {
	t.Parallel()
	c := udpCollector(t, "127.0.0.1:0")
	x, _ := started(t, Options{Syslog: []string{"udp:" + c.LocalAddr().String()}})
	lost := event.New(event.EventsLost, time.Now())
	lost.Lost = 7
	x.Take(lost)
	if got := string(datagrams(t, c)()); !strings.Contains(got, ` EventsLost [hostnat@32473 id="2030" lost="7"] 7 events were lost: `) || !strings.HasPrefix(got, "<28>1 ") {
		t.Error(got)
	}
}

// TestLastEventsAreSent: what is there when the daemon ends goes out.
func TestLastEventsAreSent(t *testing.T) {
	t.Parallel()
	c := udpCollector(t, "127.0.0.1:0")
	x, stop := started(t, Options{IPFIX: []string{"udp:" + c.LocalAddr().String()}})
	next := datagrams(t, c)
	first := next() // the templates: it is connected
	x.Take(session(event.SessionCreate, 3))
	stop()
	list, _ := read(t, func() []byte {
		b := first
		first = nil
		if b == nil {
			b = next()
		}
		return b
	}, func(ipfixtest.Record) bool { return true })
	if list[0].Number(7) != 3 {
		t.Errorf("%+v", list)
	}
}
