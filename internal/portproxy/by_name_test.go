package portproxy

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/hostnat/hostnat/internal/model"
)

// byNameRule is a proxy on a free port of loopback with routes "PATTERN=TARGET".
func byNameRule(t testing.TB, routes ...string) model.Proxy {
	t.Helper()
	p := model.Proxy{ID: 1, Kind: model.ByName, Protocol: model.TCP, Listen: hostPorts(t, freePort(t, model.TCP, "127.0.0.1:0"))}
	for _, r := range routes {
		pattern, target, _ := strings.Cut(r, "=")
		p.Routes = append(p.Routes, model.ProxyRoute{Pattern: pattern, Connect: hostPorts(t, target)})
	}
	return p
}

// echoAs answers everything it is sent, once it has ended, behind its own name.
func echoAs(t testing.TB, name string) (address string) {
	return serve(t, "127.0.0.1:0", func(c *net.TCPConn) {
		all, _ := io.ReadAll(c)
		fmt.Fprintf(c, "%s:%s", name, all)
		c.Close()
	})
}

// say sends pieces, ends, and returns the answer.
func say(t testing.TB, p model.Proxy, pause time.Duration, pieces ...[]byte) string {
	t.Helper()
	conn, err := net.Dial("tcp", p.Listen.String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(2 * patience))
	for _, piece := range pieces {
		time.Sleep(pause) // so that it is a segment of its own
		if _, err := conn.Write(piece); err != nil {
			t.Fatal(err)
		}
	}
	_ = conn.(*net.TCPConn).CloseWrite()
	answer, err := io.ReadAll(conn)
	if err != nil {
		t.Errorf("after %q: %v", answer, err)
	}
	return string(answer)
}

func TestByNameReachesTheServer(t *testing.T) {
	t.Parallel()
	p := byNameRule(t, "www.a.example="+echoAs(t, "a"), "*.b.example="+echoAs(t, "b"), "*="+echoAs(t, "rest"))
	e := start(t, nil)
	e.Apply(configuration(p))
	long := "GET / HTTP/1.1\r\nX: " + strings.Repeat("x", 12<<10) + "\r\nHost: www.a.example\r\n\r\n"
	tests := []struct {
		name, to string
		pieces   [][]byte
	}{
		{"TLS", "a", [][]byte{helloFor("www.a.example")}},
		{"TLS in two segments", "b", [][]byte{helloFor("x.b.example")[:3], helloFor("x.b.example")[3:]}},
		{"TLS and more behind it", "a", [][]byte{helloFor("www.a.example"), []byte("more"), []byte(strings.Repeat("y", 1<<20))}},
		{"HTTP", "b", [][]byte{requestFor("X.B.example:80")}},
		{"HTTP in pieces", "b", [][]byte{[]byte("G"), []byte("ET / HTTP/1.1\r\nHo"), []byte("st: x.b.example\r\n"), []byte("\r\nbody")}},
		{"HTTP with a long head", "a", [][]byte{[]byte(long)}},
		{"default", "rest", [][]byte{helloFor("c.example")}},
		{"something else", "rest", [][]byte{[]byte("hello\n")}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			sent := ""
			for _, piece := range test.pieces {
				sent += string(piece)
			}
			if got := say(t, p, 20*time.Millisecond, test.pieces...); got != test.to+":"+sent {
				t.Errorf("%d bytes of answer begin with %.60q, want %s and the %d that were sent", len(got), got, test.to, len(sent))
			}
		})
	}
}

// TestByNameWithProxyProtocol shows that the header comes before what the client
// said.
func TestByNameWithProxyProtocol(t *testing.T) {
	t.Parallel()
	p := byNameRule(t, "a.example="+echoAs(t, "a"))
	p.ProxyProtocol = true
	e := start(t, nil)
	e.Apply(configuration(p))
	got := say(t, p, 0, helloFor("a.example"))
	const signature = "a:\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c\x7f\x00\x00\x01\x7f\x00\x00\x01" // version 2, TCP over IPv4, 12 bytes
	if !strings.HasPrefix(got, signature) || !strings.HasSuffix(got, string(helloFor("a.example"))) {
		t.Errorf("the server gets %q", got)
	}
}

// TestByNameTellsWhy shows each refusal as a client sees it, and that it is the
// rule's last error.
func TestByNameTellsWhy(t *testing.T) {
	t.Parallel()
	gone := freePort(t, model.TCP, "127.0.0.1:0")
	tests := []struct {
		name, alert string
		said        []byte
		status      int
		lastError   string
	}{
		{"TLS, no route", "\x15\x03\x03\x00\x02\x02\x70", helloFor("c.example"), 0, `a client asked for "c.example"`},
		{"TLS, server gone", "\x15\x03\x03\x00\x02\x02\x50", helloFor("a.example"), 0, "connect to " + gone + ": connection refused"},
		{"HTTP, no route", "", requestFor("c.example"), 421, `a client asked for "c.example"`},
		{"HTTP, server gone", "", requestFor("a.example"), 502, "connect to " + gone + ": connection refused"},
		{"HTTP, two hosts", "", requestFor("a.example\r\nHost: c.example"), 400, "more than one Host"},
		{"HTTP, endless", "", []byte("GET / HTTP/1.1\r\nX: " + strings.Repeat("x", 64<<10)), 431, "longer than"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			p := byNameRule(t, "a.example="+gone)
			e := start(t, nil)
			e.Apply(configuration(p))
			answer := say(t, p, 0, test.said)
			if test.alert != "" && answer != test.alert {
				t.Errorf("the client is told %q, want %q", answer, test.alert)
			}
			if test.status != 0 {
				wantStatus(t, answer, test.status)
			}
			eventually(t, func() bool {
				s := e.States()[p.ID]
				return strings.Contains(s.LastError, test.lastError) && s.Connections == 0
			})
		})
	}
}

func wantStatus(t *testing.T, answer string, status int) {
	t.Helper()
	response, err := http.ReadResponse(bufio.NewReader(strings.NewReader(answer)), nil)
	if err != nil {
		t.Fatalf("the client is told %q: %v", answer, err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != status || strings.Count(string(body), "\n") != 1 {
		t.Errorf("status %d, body %q, %v; want %d and one line", response.StatusCode, body, err, status)
	}
}

// TestByNameSlowClient opens connections that say nothing, or never come to an
// end: they are closed, and told why where that is possible.
func TestByNameSlowClient(t *testing.T) {
	t.Parallel()
	p := byNameRule(t, "a.example="+echoAs(t, "a"))
	e := start(t, nil)
	e.Apply(configuration(p))
	clients := map[string]net.Conn{"": nil, "\x16\x03\x01\x02": nil, "GET / HTTP/1.1\r\nHost: a.ex": nil}
	for said := range clients { // all at once: each takes its time
		conn, err := net.Dial("tcp", p.Listen.String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		_ = conn.SetDeadline(time.Now().Add(setupTime + patience))
		if _, err := io.WriteString(conn, said); err != nil {
			t.Fatal(err)
		}
		clients[said] = conn
	}
	for said, conn := range clients {
		answer, err := io.ReadAll(conn)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("a client that said %q is still connected", said)
		}
		if strings.HasPrefix(said, "GET") {
			wantStatus(t, string(answer), http.StatusRequestTimeout)
		}
	}
	eventually(t, func() bool { return strings.Contains(e.States()[p.ID].LastError, "did not say which server it wants") })
}
