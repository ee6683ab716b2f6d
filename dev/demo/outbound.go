package demo

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/hostnat/hostnat/dev/lab"
)

// Where the servers outside listen: they answer with the address that they
// see.
const (
	echoAddr  = lab.RemoteAddress + ":7"
	otherAddr = lab.RemoteAddress + ":8"
)

// goOutside is chapter 2.
func goOutside(ctx context.Context, s *stage) error {
	s.say("c1 talks to the server outside, which answers with the address that it sees: the host's, and a port " +
		"that the NAT chose at random.")
	for _, server := range [][2]string{{"tcp", echoAddr}, {"udp", echoAddr}, {"udp", otherAddr}} {
		if err := s.serve(s.net.Remote, server[0], server[1]); err != nil {
			return err
		}
	}
	t, local, err := s.dial(ctx, s.c1, echoAddr, "c1's connection to the server")
	if err != nil {
		return err
	}
	if err := s.promise(fromHost(t.external) && local.Addr() == s.address[s.c1],
		"TCP:  c1 is %s, the server saw %s", local, t.external); err != nil {
		return err
	}
	if err := s.askByUDP(ctx); err != nil {
		return err
	}
	rtt, err := lab.Ping(ctx, s.c1, lab.RemoteAddress)
	if err != nil {
		return err
	}
	return s.promise(true, "ping: answered after %.3f ms", milliseconds(rtt))
}

// dial opens a talk, and returns the address that the socket itself has too.
func (s *stage) dial(ctx context.Context, from *lab.Namespace, to, what string) (talk, netip.AddrPort, error) {
	conn, err := from.Dial(ctx, "tcp", to)
	if err != nil {
		return talk{}, netip.AddrPort{}, err
	}
	s.closeLater(conn)
	seen, err := lab.AskConn(ctx, conn)
	if err != nil {
		return talk{}, netip.AddrPort{}, err
	}
	t := talk{what: what, conn: conn, external: seen}
	s.talks = append(s.talks, t)
	return t, conn.LocalAddr().(*net.TCPAddr).AddrPort(), nil
}

// askByUDP asks two servers from one socket: the mapping must not depend on
// whom the endpoint talks to (RFC 4787).
func (s *stage) askByUDP(ctx context.Context) error {
	conn, err := s.c1.ListenPacket("udp4", netip.AddrPortFrom(s.address[s.c1], 0).String())
	if err != nil {
		return err
	}
	defer conn.Close()
	seen, err := askPacket(ctx, conn, echoAddr)
	if err != nil {
		return err
	}
	again, err := askPacket(ctx, conn, otherAddr)
	if err != nil {
		return err
	}
	return s.promise(fromHost(seen) && again == seen,
		"UDP:  c1 is %s, one server saw %s, a second one %s: the same", conn.LocalAddr(), seen, again)
}

func askPacket(ctx context.Context, conn net.PacketConn, to string) (netip.AddrPort, error) {
	deadline, buf := time.Now().Add(3*time.Second), make([]byte, 64)
	if err := conn.SetDeadline(deadline); err != nil {
		return netip.AddrPort{}, err
	}
	defer context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })()
	if _, err := conn.WriteTo([]byte("who am I?"), net.UDPAddrFromAddrPort(netip.MustParseAddrPort(to))); err != nil {
		return netip.AddrPort{}, err
	}
	n, _, err := conn.ReadFrom(buf)
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("ask %s by UDP: %w", to, err)
	}
	return netip.ParseAddrPort(string(buf[:n]))
}

func fromHost(a netip.AddrPort) bool { return a.Addr().String() == lab.HostAddress }

func milliseconds(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1e6 }
