package sockets

import (
	"errors"
	"net"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hostnat/hostnat/dev/lab"
)

// TestResetUnaccepted: a connection that nobody accepts ends; one that was accepted
// and one to another port go on.
func TestResetUnaccepted(t *testing.T) {
	lab.RequireRoot(t)
	open := func() (*net.TCPListener, net.Conn) {
		l, err := net.ListenTCP("tcp4", net.TCPAddrFromAddrPort(netip.MustParseAddrPort("127.0.0.1:0")))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { l.Close() })
		c, err := net.Dial("tcp4", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return l, c
	}
	l, accepted := open()
	server, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	_, other := open()
	waiting, err := net.Dial("tcp4", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer waiting.Close()

	port := uint16(l.Addr().(*net.TCPAddr).Port)
	if err := ResetUnaccepted(t.Context(), port, port); err != nil {
		t.Fatal(err)
	}
	read := func(c net.Conn, limit time.Duration) error {
		if err := c.SetReadDeadline(time.Now().Add(limit)); err != nil {
			t.Fatal(err)
		}
		_, err := c.Read(make([]byte, 1))
		return err
	}
	if err := read(waiting, 5*time.Second); !errors.Is(err, unix.ECONNRESET) {
		t.Errorf("the connection that waited: %v", err)
	}
	for what, c := range map[string]net.Conn{"accepted": accepted, "to another port": other} {
		var timeout net.Error
		if err := read(c, 50*time.Millisecond); !errors.As(err, &timeout) || !timeout.Timeout() {
			t.Errorf("the connection %s: %v", what, err)
		}
	}
}
