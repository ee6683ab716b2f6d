package portproxy

import (
	"bytes"
	"crypto/rand"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/hostnat/hostnat/internal/nat"
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
	for _, kind := range []nat.ProxyKind{nat.V4ToV4, nat.V4ToV6, nat.V6ToV4, nat.V6ToV6} {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			p := proxy(t, kind, nat.UDP, echoUDP(t, loopback(strings.HasSuffix(string(kind), "v6"))))
			e := start(t, nil)
			e.Apply(config(p))
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
	p := proxy(t, nat.V4ToV4, nat.UDP, echoUDP(t, loopback(false)))
	p.Listen.Host = nat.AnyHost
	e := start(t, nil)
	e.Apply(config(p))
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
	at := freePort(t, nat.UDP, loopback(false))
	p := proxy(t, nat.V4ToV4, nat.UDP, at)
	e := start(t, nil)
	e.Apply(config(p))
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
