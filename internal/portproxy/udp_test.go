package portproxy

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hostnat/hostnat/internal/model"
)

func echoUDP(t *testing.T, listen string) string {
	t.Helper()
	c, err := net.ListenPacket("udp", listen)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	go func() {
		buf := make([]byte, 65536)
		for {
			n, from, err := c.ReadFrom(buf)
			if err != nil {
				return
			}
			_, _ = c.WriteTo(buf[:n], from)
		}
	}()
	return c.LocalAddr().String()
}

func dialUDP(t *testing.T, to string) net.Conn {
	t.Helper()
	c, err := net.Dial("udp", to)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	_ = c.SetDeadline(time.Now().Add(patience))
	return c
}

func TestUDPKinds(t *testing.T) {
	t.Parallel()
	for _, kind := range []model.ProxyKind{model.V4ToV4, model.V4ToV6, model.V6ToV4, model.V6ToV6} {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			p := proxy(t, kind, model.UDP, echoUDP(t, loopback(strings.HasSuffix(string(kind), "v6"))))
			e := start(t, nil)
			e.Apply(configuration(p))
			for range 3 {
				c := dialUDP(t, p.Listen.String())
				for _, size := range []int{1, 0, 1400, 65000} {
					data := make([]byte, size)
					_, _ = rand.Read(data)
					if _, err := c.Write(data); err != nil {
						t.Fatal(err)
					}
					got := make([]byte, 65536)
					n, err := c.Read(got)
					if err != nil || !bytes.Equal(got[:n], data) {
						t.Fatalf("%d bytes: got %d, %v", size, n, err)
					}
				}
			}
			eventually(t, func() bool { return e.States()[1].BytesOut >= 3*66401 }) // counted after it is sent
			if s := e.States()[1]; s.Connections != 3 || s.TotalConnections != 3 || s.BytesIn != 3*66401 || s.BytesOut != s.BytesIn {
				t.Errorf("got %+v", s)
			}
		})
	}
}

// On all addresses, the answer comes from the one that was asked.
func TestUDPAnswersFromTheAddressAsked(t *testing.T) {
	t.Parallel()
	p := proxy(t, model.V4ToV4, model.UDP, echoUDP(t, loopback(false)))
	p.Listen.Host = model.AnyHost
	e := start(t, nil)
	e.Apply(configuration(p))
	for _, a := range []string{"127.0.0.1", "127.0.0.77"} {
		to := p.Listen
		to.Host = a
		c := dialUDP(t, to.String()) // connected: takes answers from there alone
		_, _ = c.Write([]byte("x"))
		if _, err := c.Read(make([]byte, 1)); err != nil {
			t.Errorf("%s: %v", a, err)
		}
	}
}

// A server that comes later is reached, and ICMP errors are told.
func TestUDPServerComesLater(t *testing.T) {
	t.Parallel()
	at := freePort(t, model.UDP, loopback(false))
	p := proxy(t, model.V4ToV4, model.UDP, at)
	e := start(t, nil)
	e.Apply(configuration(p))
	c := dialUDP(t, p.Listen.String())
	eventually(t, func() bool {
		_, _ = c.Write([]byte("x"))
		return strings.Contains(e.States()[1].LastError, "connection refused")
	})
	echoUDP(t, at)
	eventually(t, func() bool {
		_, _ = c.Write([]byte("x"))
		_ = c.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
		_, err := c.Read(make([]byte, 1))
		return err == nil
	})
}

// As many clients as a port takes are served at once; one more is refused, and
// takes nothing from the others.
func TestUDPManyClients(t *testing.T) {
	t.Parallel()
	enoughDescriptors(t, 2*maxSessions+1000)
	p := proxy(t, model.V4ToV4, model.UDP, echoUDP(t, loopback(false)))
	e := start(t, nil)
	e.Apply(configuration(p))
	clients := make([]net.Conn, maxSessions)
	for i := range clients {
		clients[i] = mouth(t, fmt.Sprintf("127.0.1.%d:0", 1+i%64), p.Listen.String())
		askUDP(t, clients[i], i, patience) // it is there,
		askUDP(t, clients[i], i, patience) // and has seen the answer
	}
	if s := e.States()[1]; s.Connections != maxSessions {
		t.Fatalf("%d clients are served, want %d", s.Connections, maxSessions)
	}
	if one := dialUDP(t, p.Listen.String()); answers(one, "x", 100*time.Millisecond) {
		t.Error("one client more is answered")
	}
	eventually(t, func() bool { return strings.Contains(e.States()[1].LastError, "there are 4096 clients already") })
	for i, c := range clients { // all at once
		_ = c.SetDeadline(time.Now().Add(patience))
		_, _ = fmt.Fprint(c, i)
	}
	for i, c := range clients {
		askUDP(t, c, i, patience)
	}
	if s := e.States()[1]; s.TotalConnections != maxSessions {
		t.Errorf("%d sessions were made for %d clients", s.TotalConnections, maxSessions)
	}
}

// askUDP says a number until it comes back: datagrams may be lost.
func askUDP(t *testing.T, c net.Conn, number int, limit time.Duration) {
	t.Helper()
	for deadline := time.Now().Add(limit); !answers(c, strconv.Itoa(number), 200*time.Millisecond); {
		if time.Now().After(deadline) {
			t.Fatalf("client %d is not answered", number)
		}
	}
}

// answers says something once and reports whether it comes back in time. What
// else comes is somebody else's.
func answers(c net.Conn, said string, limit time.Duration) bool {
	_ = c.SetDeadline(time.Now().Add(limit))
	_, _ = io.WriteString(c, said)
	got := make([]byte, 64)
	n, err := c.Read(got)
	return err == nil && string(got[:n]) == said
}

// enoughDescriptors skips a test where the process may not have as many files.
func enoughDescriptors(t *testing.T, count uint64) {
	t.Helper()
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	if limit.Cur >= count {
		return
	}
	err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: count, Max: max(count, limit.Max)})
	switch {
	case err != nil && os.Geteuid() == 0:
		t.Fatalf("a limit of %d files: %v", count, err)
	case err != nil:
		t.Skipf("it needs %d files, and the limit is %d: %v", count, limit.Max, err)
	}
}
