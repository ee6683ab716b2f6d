package lab

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"
)

// Echo is a server that tells each client its address as the server sees it:
// what a NAT made of it.
//
// TCP: the address and a newline on connect, then every byte sent back. UDP:
// the address in answer to each datagram.
type Echo struct {
	addr   netip.AddrPort
	closer io.Closer
	conns  sync.WaitGroup

	mu     sync.Mutex
	closed bool
	open   map[net.Conn]struct{}
}

// EchoServer starts one inside n. network is "tcp" or "udp", addr as for
// Listen.
func EchoServer(n *Namespace, network, addr string) (*Echo, error) {
	e := &Echo{open: map[net.Conn]struct{}{}}
	if strings.HasPrefix(network, "udp") {
		conn, err := n.ListenPacket(network, addr)
		if err != nil {
			return nil, err
		}
		e.addr, e.closer = addrPort(conn.LocalAddr()), conn
		e.conns.Go(func() { servePackets(conn) })
		return e, nil
	}
	ln, err := n.Listen(network, addr)
	if err != nil {
		return nil, err
	}
	e.addr, e.closer = addrPort(ln.Addr()), ln
	e.conns.Go(func() { e.serve(ln) })
	return e, nil
}

// Addr is where it listens.
func (e *Echo) Addr() netip.AddrPort { return e.addr }

// Close stops the server and closes its connections.
func (e *Echo) Close() error {
	err := e.closer.Close()
	e.mu.Lock()
	e.closed = true
	for conn := range e.open {
		conn.Close()
	}
	e.mu.Unlock()
	e.conns.Wait()
	return err
}

// Ask connects from n to an Echo and returns the address that it saw.
func Ask(ctx context.Context, n *Namespace, network, addr string) (netip.AddrPort, error) {
	conn, err := n.Dial(ctx, network, addr)
	if err != nil {
		return netip.AddrPort{}, err
	}
	defer conn.Close()
	seen, err := AskConn(ctx, conn)
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("ask %s %s from %s: %w", network, addr, n.Name, err)
	}
	return seen, nil
}

// AskConn reads an Echo's answer on an open connection: for TCP once, right
// after connecting; for UDP whenever wanted. A deadline on conn is replaced.
func AskConn(ctx context.Context, conn net.Conn) (netip.AddrPort, error) {
	stop := closeOnDone(ctx, conn)
	defer stop()
	buf := make([]byte, 64)
	var n int
	var err error
	if conn.LocalAddr().Network() == "udp" {
		if _, err = conn.Write([]byte("who am I?")); err == nil {
			n, err = conn.Read(buf)
		}
	} else {
		n, err = readLine(conn, buf)
	}
	if err != nil {
		return netip.AddrPort{}, errors.Join(err, context.Cause(ctx))
	}
	return netip.ParseAddrPort(strings.TrimSpace(string(buf[:n])))
}

// readLine reads to the newline and not a byte further.
func readLine(r io.Reader, buf []byte) (int, error) {
	for i := range buf {
		if _, err := io.ReadFull(r, buf[i:i+1]); err != nil {
			return i, err
		}
		if buf[i] == '\n' {
			return i + 1, nil
		}
	}
	return len(buf), bufio.ErrTooLong
}

func servePackets(conn net.PacketConn) {
	buf := make([]byte, 65536)
	for {
		_, peer, err := conn.ReadFrom(buf)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil { // an ICMP error for an earlier answer
			continue
		}
		_, _ = conn.WriteTo([]byte(addrPort(peer).String()), peer)
	}
}

func (e *Echo) serve(ln net.Listener) {
	for {
		conn, err := ln.Accept()
		if err != nil {
			return
		}
		if !e.track(conn) {
			conn.Close()
			return
		}
		e.conns.Go(func() {
			defer e.untrack(conn)
			if _, err := fmt.Fprintln(conn, addrPort(conn.RemoteAddr())); err == nil {
				_, _ = io.Copy(conn, conn)
			}
		})
	}
}

func (e *Echo) track(conn net.Conn) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return false
	}
	e.open[conn] = struct{}{}
	return true
}

func (e *Echo) untrack(conn net.Conn) {
	e.mu.Lock()
	defer e.mu.Unlock()
	conn.Close()
	delete(e.open, conn)
}

// addrPort unmaps an IPv4 peer of a dual-stack socket.
func addrPort(a net.Addr) netip.AddrPort {
	var ap netip.AddrPort
	switch a := a.(type) {
	case *net.TCPAddr:
		ap = a.AddrPort()
	case *net.UDPAddr:
		ap = a.AddrPort()
	}
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
}
