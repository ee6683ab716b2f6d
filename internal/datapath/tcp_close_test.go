package datapath

import (
	"bytes"
	"io"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/hostnat/hostnat/dev/lab"
	"github.com/hostnat/hostnat/internal/model"
)

// RFC 5382 REQ-2: every order of the end passes, with what is repeated or comes late.
func TestFINInEachOrder(t *testing.T) {
	t.Parallel()
	r := newRig(t, 1)
	r.mute(t, 0)
	for i, steps := range [][]step{
		{out(finAck), in(ack), in(finAck), out(ack)},
		{in(finAck), out(ack), out(finAck), in(ack)},
		{out(finAck), in(finAck), out(ack), in(ack)},                                                      // both at once
		{out(finAck), in(finAck), in(ack), out(ack)},                                                      // and crossed
		{out(finAck), out(finAck), in(ack), in(ack), in(ack), in(finAck), in(finAck), out(ack), out(ack)}, // repeated; data in a half-closed connection
		{in(finAck), in(finAck), out(ack), out(ack), out(ack), out(finAck), out(finAck), in(ack), in(ack)},
	} {
		f := r.openTCP(t, uint16(4000+i), stranger(7, 80))
		f.play(t, in(synAck), out(ack))
		f.play(t, steps...)
		f.state(t, model.StateBothFIN, transitory)
		f.play(t, in(finAck), out(ack), in(ack), out(rst), in(rst)) // late ones, and the answer to them
		f.state(t, model.StateBothFIN, transitory)
	}
	if drops := r.drops(t); len(drops) != 0 {
		t.Errorf("drops %v", drops)
	}
	r.consistent(t)
}

// A connection that one side has closed may go on in the other direction for
// as long as it likes.
func TestHalfClosedConnectionGoesOn(t *testing.T) {
	t.Parallel()
	r := newRig(t, 1)
	ctx := withTimeout(t)
	listener, err := r.Remote.Listen("tcp4", lab.RemoteAddress+":7000")
	must(t, err)
	defer listener.Close()
	data := bytes.Repeat([]byte("0123456789abcdef"), 1<<14)
	go func() {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		_, _ = io.Copy(io.Discard, conn) // until the client's FIN
		_, _ = conn.Write(data)
	}()
	conn, err := r.Endpoints[0].Dial(ctx, "tcp4", lab.RemoteAddress+":7000")
	must(t, err)
	defer conn.Close()
	must(t, conn.(*net.TCPConn).CloseWrite())
	must(t, conn.SetReadDeadline(time.Now().Add(patience)))
	got, err := io.ReadAll(conn)
	if err != nil || !bytes.Equal(got, data) {
		t.Errorf("%d bytes after the client's FIN, %v; want %d; drops %v", len(got), err, len(data), r.drops(t))
	}
}

// RFC 7857 section 2.3: a RST is passed on, whatever its numbers are, and keeps
// the session for 4 minutes: the endpoint alone can tell whether it is a blind
// one of somebody else's. What goes on lives on.
func TestBlindRSTDoesNotCutConnection(t *testing.T) {
	t.Parallel()
	r := newRig(t, 1)
	ctx := withTimeout(t)
	server, err := lab.EchoServer(r.Remote, "tcp", lab.RemoteAddress+":7000")
	must(t, err)
	defer server.Close()
	conn, err := reuse(ctx, r.Endpoints[0], text(endpointAddress(0), "4000"), lab.RemoteAddress+":7000")
	must(t, err)
	defer conn.Close()
	external, err := lab.AskConn(ctx, conn)
	must(t, err)
	remote := netip.AddrPortFrom(remoteAddress, 7000)
	// Sequence number 0 is outside the window, but once in 2^16 runs.
	r.fromRemote(t, segment{protocol: model.TCP, flags: rst, from: remote, to: external})
	r.atEndpoint[0].await(t, "the RST", 1, func(p packet) bool { return p.protocol == model.TCP && p.flags == rst && p.from == remote })
	s, has := r.session(t, model.TCP, inside(0, 4000), remote)
	if !has || s.State != model.StateTimeWait || s.Left > transitory || s.Left < transitory-clockSlack {
		t.Errorf("after a RST: %+v (%v), want one that ends in 4 minutes", s, has)
	}
	must(t, conn.SetDeadline(time.Now().Add(patience)))
	echoed := make([]byte, len("still there"))
	if _, err = io.WriteString(conn, "still there"); err == nil {
		_, err = io.ReadFull(conn, echoed)
	}
	if err != nil || string(echoed) != "still there" {
		t.Errorf("after a blind RST the connection says %q, %v; drops %v", echoed, err, r.drops(t))
	}
	if s, _ = r.session(t, model.TCP, inside(0, 4000), remote); s.State != model.StateEstablished || s.Left < established-clockSlack {
		t.Errorf("after data: %+v, want an established session", s)
	}
}

// The same from inside, and a RST that is meant: it arrives, and the binding
// stays for a connection on the same ports (RFC 5382 REQ-1, decision D5).
func TestRSTKeepsBinding(t *testing.T) {
	t.Parallel()
	r := newRig(t, 1)
	r.mute(t, 0)
	for i, steps := range [][]step{{in(rst)}, {out(rst)}, {in(rst | ack)}, {out(rst | ack)}, {in(rst), out(rst)}} {
		f := r.openTCP(t, uint16(4000+i), stranger(7, 80))
		f.play(t, in(synAck), out(ack))
		f.play(t, steps...)
		f.state(t, model.StateTimeWait, transitory)
		f.play(t, out(syn), in(synAck), out(ack))
		f.state(t, model.StateEstablished, established)
		if again := r.external(t, model.TCP, f.internal); again != f.external {
			t.Errorf("%v: external %v, before the RST %v", steps, again, f.external)
		}
	}
	r.consistent(t)
}

// Decision D5: VPP drops the SYN of a new connection on ports whose old one is
// closing; here it passes from either side.
func TestSYNOnClosingSession(t *testing.T) {
	t.Parallel()
	r := newRig(t, 1)
	r.mute(t, 0)
	port := uint16(4000)
	for _, end := range [][]step{
		{out(finAck)}, {in(finAck)}, {out(finAck), in(finAck)}, {in(finAck), out(finAck)}, {in(rst)}, {out(rst)}, nil,
	} {
		for _, begin := range [][]step{{out(syn), in(synAck), out(ack)}, {in(syn), out(synAck), in(ack)}} {
			f := r.openTCP(t, port, stranger(7, 80))
			f.play(t, in(synAck), out(ack))
			f.play(t, end...)
			f.play(t, begin...)
			f.play(t, in(ack), out(ack))
			if again := r.external(t, model.TCP, f.internal); again != f.external {
				t.Errorf("%v, then %v: external %v, before %v", end, begin, again, f.external)
			}
			if s, has := r.session(t, model.TCP, f.internal, f.remote); !has || len(end) > 1 && s.State != model.StateEstablished {
				t.Errorf("%v, then %v: session %+v (%v)", end, begin, s, has)
			}
			port++
		}
	}
	if drops := r.drops(t); len(drops) != 0 {
		t.Errorf("drops %v", drops)
	}
	r.consistent(t)
}

// RFC 7857 section 2.3: who knows addresses and ports,
// but no sequence number, cannot cut a connection by more packets than one either.
func TestBlindRSTAndSYNDoNotCutConnection(t *testing.T) {
	t.Parallel()
	r := newRig(t, 1)
	r.mute(t, 0)
	for i, blind := range [][]step{
		{in(rst), in(syn)}, {in(syn), in(rst)}, {in(rst), in(syn), in(rst)}, {in(rst), in(rst), in(syn), in(syn)}, {in(finAck), in(rst), in(syn)}, {in(finAck), in(syn)},
	} {
		f := r.openTCP(t, uint16(4000+i), stranger(7, 80))
		f.play(t, in(synAck), out(ack))
		f.play(t, blind...)
		f.play(t, out(ack), in(ack)) // the true ones go on
		if s, has := r.session(t, model.TCP, f.internal, f.remote); !has || s.Left < transitory-clockSlack {
			t.Errorf("after %v and data: %+v (%v)", blind, s, has)
		}
	}
}
