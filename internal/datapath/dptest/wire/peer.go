package wire

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hostnat/hostnat/dev/lab"
)

// Echo sends what was received back to its sender and returns it.
func (p Peer) Echo(t *testing.T, text string) string {
	t.Helper()
	p.Send(t, p.Expect(t, text), text)
	return text
}

// Peer is a UDP socket of a test.
type Peer struct {
	*net.UDPConn
}

func Listen(t *testing.T, n *lab.Namespace, address string) Peer {
	t.Helper()
	network := "udp4"
	if strings.HasPrefix(address, "[") {
		network = "udp6"
	}
	conn, err := n.ListenPacket(network, address)
	Must(t, err)
	t.Cleanup(func() { conn.Close() })
	return Peer{conn.(*net.UDPConn)}
}

// Send sends a datagram; that the other side refused an earlier one is no error.
func (p Peer) Send(t *testing.T, to netip.AddrPort, text string) {
	t.Helper()
	for range 2 {
		_, err := p.WriteToUDPAddrPort([]byte(text), to)
		if err == nil {
			return
		}
		if !errors.Is(err, unix.ECONNREFUSED) {
			t.Fatalf("sending to %v: %v", to, err)
		}
	}
}

// Receive waits for the next datagram.
func (p Peer) Receive(t *testing.T) (string, netip.AddrPort) {
	t.Helper()
	Must(t, p.SetReadDeadline(time.Now().Add(Patience)))
	buf := make([]byte, 65536)
	n, from, err := p.ReadFromUDPAddrPort(buf)
	if err != nil {
		t.Fatalf("nothing received at %v: %v", p.LocalAddr(), err)
	}
	return string(buf[:n]), netip.AddrPortFrom(from.Addr().Unmap(), from.Port())
}

// Expect waits for the next datagram, which must be text, and returns its sender.
func (p Peer) Expect(t *testing.T, text string) netip.AddrPort {
	t.Helper()
	got, from := p.Receive(t)
	if got != text {
		t.Fatalf("received %q from %v, want %q", got, from, text)
	}
	return from
}

// Pending reports whether a datagram is there or comes within the time. With a
// deadline that is over already nothing is read at all.
func (p Peer) Pending(wait time.Duration) bool {
	_ = p.SetReadDeadline(time.Now().Add(max(wait, 10*time.Millisecond)))
	_, _, err := p.ReadFromUDPAddrPort(make([]byte, 2048))
	return err == nil
}

// Reuse dials TCP from a local port that other connections share.
func Reuse(ctx context.Context, n *lab.Namespace, local, remote string) (net.Conn, error) {
	dialer := net.Dialer{
		LocalAddr: net.TCPAddrFromAddrPort(netip.MustParseAddrPort(local)),
		Control: func(_, _ string, raw syscall.RawConn) error {
			var err error
			ctlErr := raw.Control(func(fd uintptr) {
				err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEADDR, 1)
			})
			return errors.Join(err, ctlErr)
		},
	}
	var conn net.Conn
	err := n.Do(func() (err error) {
		conn, err = dialer.DialContext(ctx, "tcp4", remote)
		return err
	})
	return conn, err
}

// Option sets an integer socket option.
func Option(t *testing.T, conn syscall.Conn, level, name, value int) {
	t.Helper()
	raw, err := conn.SyscallConn()
	Must(t, err)
	Must(t, raw.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), level, name, value) }))
	Must(t, err)
}

func Text(a netip.Addr, port string) string { return net.JoinHostPort(a.String(), port) }

func WithTimeout(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), Patience)
	t.Cleanup(cancel)
	return ctx
}
