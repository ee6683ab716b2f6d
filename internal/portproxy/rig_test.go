package portproxy

import (
	"bytes"
	"context"
	"crypto/rand"
	"io"
	"net"
	"net/netip"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/hostnat/hostnat/internal/config"
	"github.com/hostnat/hostnat/internal/model"
)

// patience is how long a condition may take to become true.
const patience = 10 * time.Second

// TestMain fails if a test leaves goroutines or file descriptors behind.
func TestMain(m *testing.M) {
	if limit := os.Getenv(relayOnly); limit != "" {
		println(relayWith(limits[limit], os.Args[1], os.Args[2]).Error())
		os.Exit(1)
	}
	before := descriptors()
	code := m.Run()
	if code == 0 {
		code = leaks(before)
	}
	os.Exit(code)
}

func leaks(before int) int {
	deadline := time.Now().Add(patience)
	for {
		fds, stacks := descriptors(), ourGoroutines()
		if fds <= before+2 && stacks == "" { // Go's own epoll set and event descriptor
			return 0
		}
		if time.Now().After(deadline) {
			println("left behind: file descriptors", fds-before, "goroutines:\n"+stacks)
			return 1
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func descriptors() int {
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		panic(err)
	}
	return len(list) - 1
}

func ourGoroutines() string {
	buf := make([]byte, 1<<20)
	all := strings.Split(string(buf[:runtime.Stack(buf, true)]), "\n\n")
	var out []string
	for _, s := range all[1:] {
		if strings.Contains(s, "internal/portproxy.") {
			out = append(out, s)
		}
	}
	return strings.Join(out, "\n\n")
}

// start runs an engine until the test ends.
func start(t testing.TB, lookup Lookup) *Engine {
	t.Helper()
	return startWith(t, Options{Lookup: lookup, Loops: 2, Descriptors: 40000})
}

func startWith(t testing.TB, o Options) *Engine {
	t.Helper()
	e := New(o)
	run(t, e)
	return e
}

// run runs an engine until the test ends, and returns when it does.
func run(t testing.TB, e *Engine) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- e.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		select {
		case err := <-ended:
			if err != nil && err != context.Canceled {
				t.Errorf("Run: %v", err)
			}
		case <-time.After(patience):
			t.Error("Run does not end")
		}
	})
	eventually(t, func() bool { e.mu.Lock(); defer e.mu.Unlock(); return e.loops != nil })
}

func eventually(t testing.TB, ok func() bool) {
	t.Helper()
	eventuallyWithin(t, patience, ok)
}

func eventuallyWithin(t testing.TB, limit time.Duration, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(limit)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatal("it does not come true")
		}
		time.Sleep(2 * time.Millisecond)
	}
}

// proxy returns a proxy from a free port of the kind's loopback to a target.
func proxy(t testing.TB, kind model.ProxyKind, p model.Protocol, target string) model.Proxy {
	t.Helper()
	listen := "127.0.0.1:0"
	if kind == model.V6ToV4 || kind == model.V6ToV6 {
		listen = "[::1]:0"
	}
	return model.Proxy{ID: 1, Kind: kind, Protocol: p, Listen: hostPorts(t, freePort(t, p, listen)), Connect: hostPorts(t, target)}
}

// freePort returns an address with a port that was free a moment ago.
func freePort(t testing.TB, p model.Protocol, listen string) string {
	t.Helper()
	if p == model.UDP {
		c, err := net.ListenPacket("udp", listen)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		return c.LocalAddr().String()
	}
	l, err := net.Listen("tcp", listen)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func hostPorts(t testing.TB, text string) (h model.HostPorts) {
	t.Helper()
	if err := h.UnmarshalText([]byte(text)); err != nil {
		t.Fatal(err)
	}
	return h
}

func configuration(proxies ...model.Proxy) config.Config {
	c := config.NewConfig()
	c.Proxies = proxies
	return c
}

// serve has handle serve each connection to a fresh listener.
func serve(t testing.TB, listen string, handle func(*net.TCPConn)) string {
	t.Helper()
	l, err := net.Listen("tcp", listen)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				handle(c.(*net.TCPConn))
			}()
		}
	}()
	return l.Addr().String()
}

// echo sends back what comes in until that ends.
func echo(c *net.TCPConn) {
	_, _ = io.Copy(c, c)
	_ = c.CloseWrite()
}

func dial(t testing.TB, address string) *net.TCPConn {
	t.Helper()
	c, err := net.DialTimeout("tcp", address, patience)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return c.(*net.TCPConn)
}

// ask returns all that a server says. A reset may come before dialling is done.
func ask(t testing.TB, address string) (string, error) {
	t.Helper()
	c, err := net.DialTimeout("tcp", address, patience)
	if err != nil {
		return "", err
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(patience))
	b, err := io.ReadAll(c)
	return string(b), err
}

// exchange sends data, ends, and wants it all again.
func exchange(t testing.TB, address string, size int) {
	t.Helper()
	c := dial(t, address)
	defer c.Close()
	data := make([]byte, size)
	_, _ = rand.Read(data)
	go func() {
		_, _ = c.Write(data)
		_ = c.CloseWrite()
	}()
	got, err := io.ReadAll(c)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, data) {
		t.Fatalf("%d bytes came back of %d, or others", len(got), len(data))
	}
}

func address(t testing.TB, text string) netip.Addr {
	t.Helper()
	a, err := netip.ParseAddr(text)
	if err != nil {
		t.Fatal(err)
	}
	return a
}
