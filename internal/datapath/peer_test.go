package datapath

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hostnat/hostnat/dev/lab"
)

// peer is a UDP socket of a test.
type peer struct {
	*net.UDPConn
}

func listen(t *testing.T, n *lab.Namespace, address string) peer {
	t.Helper()
	conn, err := n.ListenPacket("udp4", address)
	must(t, err)
	t.Cleanup(func() { conn.Close() })
	return peer{conn.(*net.UDPConn)}
}

// send sends a datagram; that the other side refused an earlier one is no error.
func (p peer) send(t *testing.T, to netip.AddrPort, text string) {
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

// receive waits for the next datagram.
func (p peer) receive(t *testing.T) (string, netip.AddrPort) {
	t.Helper()
	must(t, p.SetReadDeadline(time.Now().Add(patience)))
	buf := make([]byte, 65536)
	n, from, err := p.ReadFromUDPAddrPort(buf)
	if err != nil {
		t.Fatalf("nothing received at %v: %v", p.LocalAddr(), err)
	}
	return string(buf[:n]), netip.AddrPortFrom(from.Addr().Unmap(), from.Port())
}

// expect waits for the next datagram, which must be text, and returns its sender.
func (p peer) expect(t *testing.T, text string) netip.AddrPort {
	t.Helper()
	got, from := p.receive(t)
	if got != text {
		t.Fatalf("received %q from %v, want %q", got, from, text)
	}
	return from
}

// pending reports whether a datagram is there or comes within the time. With a
// deadline that is over already nothing is read at all.
func (p peer) pending(wait time.Duration) bool {
	_ = p.SetReadDeadline(time.Now().Add(max(wait, 10*time.Millisecond)))
	_, _, err := p.ReadFromUDPAddrPort(make([]byte, 2048))
	return err == nil
}

// reuse dials TCP from a local port that other connections share.
func reuse(ctx context.Context, n *lab.Namespace, local, remote string) (net.Conn, error) {
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

// option sets an integer socket option.
func option(t *testing.T, conn syscall.Conn, level, name, value int) {
	t.Helper()
	raw, err := conn.SyscallConn()
	must(t, err)
	must(t, raw.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), level, name, value) }))
	must(t, err)
}

func text(a netip.Addr, port string) string { return net.JoinHostPort(a.String(), port) }

func withTimeout(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}
