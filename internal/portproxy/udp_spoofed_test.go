package portproxy

import (
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/hostnat/hostnat/internal/model"
)

// mouth is a client with an address of its own.
func mouth(t *testing.T, from, to string) *net.UDPConn {
	t.Helper()
	c, err := net.DialUDP("udp4", net.UDPAddrFromAddrPort(netip.MustParseAddrPort(from)), net.UDPAddrFromAddrPort(netip.MustParseAddrPort(to)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// spoof sends one datagram each from so many addresses, as fast as they are taken.
func spoof(t *testing.T, e *Engine, count int, to string) {
	t.Helper()
	before := e.States()[1].TotalConnections
	for i := range count {
		from := netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 66, byte(i >> 8), byte(i)}), 0)
		c, err := net.DialUDP("udp4", net.UDPAddrFromAddrPort(from), net.UDPAddrFromAddrPort(netip.MustParseAddrPort(to)))
		if err != nil {
			t.Fatal(err)
		}
		_, _ = c.Write([]byte("x"))
		c.Close()
		if i%100 == 99 {
			eventually(t, func() bool { return e.States()[1].TotalConnections >= before+uint64(i)+1 })
		}
	}
}

// portsSeen answers with the port that the server sees, unless a datagram is "x" and
// it does not answer those.
func portsSeen(t *testing.T, answersAll bool) string {
	t.Helper()
	c, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(netip.MustParseAddrPort("127.0.0.1:0")))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	go func() {
		b := make([]byte, 64)
		for {
			n, from, err := c.ReadFromUDPAddrPort(b)
			if err != nil {
				return
			}
			if answersAll || string(b[:n]) != "x" {
				_, _ = c.WriteToUDPAddrPort([]byte(from.String()), from)
			}
		}
	}()
	return c.LocalAddr().String()
}

// seen asks until the server says whom it sees.
func seen(t *testing.T, c *net.UDPConn) string {
	t.Helper()
	b := make([]byte, 64)
	for deadline := time.Now().Add(patience); ; {
		_, _ = c.Write([]byte("who am I"))
		_ = c.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
		n, err := c.Read(b)
		if err == nil {
			return string(b[:n])
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s is not answered: %v", c.LocalAddr(), err)
		}
	}
}

// 6,000 datagrams from made-up addresses, answered or not: who has had an answer
// keeps its session, and new clients are served.
func TestSpoofedDatagrams(t *testing.T) {
	t.Parallel()
	enoughDescriptors(t, 4*maxSessions)
	for name, answersAll := range map[string]bool{"unanswered": false, "answered": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := proxy(t, model.V4ToV4, model.UDP, portsSeen(t, answersAll))
			e := start(t, nil)
			e.Apply(configuration(p))
			to := p.Listen.String()
			once, talks := mouth(t, "127.0.0.81:0", to), mouth(t, "127.0.0.82:0", to)
			onceAs, talksAs := seen(t, once), seen(t, talks)
			seen(t, talks)
			spoof(t, e, 6000, to)
			seen(t, mouth(t, "127.0.0.83:0", to))
			if got := seen(t, talks); got != talksAs {
				t.Errorf("who has talked is %s to the server, and was %s", got, talksAs)
			}
			if got := seen(t, once); got != onceAs {
				t.Errorf("who was answered is %s to the server, and was %s", got, onceAs)
			}
			if s := e.States()[1]; s.GaveWay == 0 {
				t.Errorf("nobody gave way: %+v", s)
			}
		})
	}
}

// One address has a part of the clients, the oldest unanswered of its own gives way.
func TestClientsOfOneAddress(t *testing.T) {
	t.Parallel()
	p := proxy(t, model.V4ToV4, model.UDP, portsSeen(t, false))
	e := start(t, nil)
	e.Apply(configuration(p))
	to := p.Listen.String()
	for range 2 * maxOfClient {
		_, _ = mouth(t, "127.0.0.84:0", to).Write([]byte("x"))
	}
	eventually(t, func() bool { return e.States()[1].GaveWay > 0 })
	seen(t, mouth(t, "127.0.0.84:0", to))
	if s := e.States()[1]; s.Connections > maxOfClient {
		t.Errorf("it has %d sessions", s.Connections)
	}
}
