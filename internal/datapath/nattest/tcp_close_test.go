package nattest

import (
	"bytes"
	"io"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/hostnat/hostnat/dev/lab"
	"github.com/hostnat/hostnat/internal/datapath/dptest"
	"github.com/hostnat/hostnat/internal/datapath/dptest/wire"
	"github.com/hostnat/hostnat/internal/model"
)

// RFC 5382 REQ-2: every order of the end passes, with what is repeated or comes late.
func TestFINInEachOrder(t *testing.T) {
	t.Parallel()
	r := dptest.NewRig(t, 1)
	r.Mute(t, 0)
	for i, steps := range [][]wire.Step{
		{wire.Out(wire.FinAck), wire.In(wire.Ack), wire.In(wire.FinAck), wire.Out(wire.Ack)},
		{wire.In(wire.FinAck), wire.Out(wire.Ack), wire.Out(wire.FinAck), wire.In(wire.Ack)},
		{wire.Out(wire.FinAck), wire.In(wire.FinAck), wire.Out(wire.Ack), wire.In(wire.Ack)},                                                                                                        // both at once
		{wire.Out(wire.FinAck), wire.In(wire.FinAck), wire.In(wire.Ack), wire.Out(wire.Ack)},                                                                                                        // and crossed
		{wire.Out(wire.FinAck), wire.Out(wire.FinAck), wire.In(wire.Ack), wire.In(wire.Ack), wire.In(wire.Ack), wire.In(wire.FinAck), wire.In(wire.FinAck), wire.Out(wire.Ack), wire.Out(wire.Ack)}, // repeated; data in a half-closed connection
		{wire.In(wire.FinAck), wire.In(wire.FinAck), wire.Out(wire.Ack), wire.Out(wire.Ack), wire.Out(wire.Ack), wire.Out(wire.FinAck), wire.Out(wire.FinAck), wire.In(wire.Ack), wire.In(wire.Ack)},
	} {
		f := openTCP(t, r, uint16(4000+i), wire.Unanswered(7, 80))
		f.play(t, wire.In(wire.SynAck), wire.Out(wire.Ack))
		f.play(t, steps...)
		f.state(t, model.StateBothFIN, transitory)
		f.play(t, wire.In(wire.FinAck), wire.Out(wire.Ack), wire.In(wire.Ack), wire.Out(wire.Rst), wire.In(wire.Rst)) // late ones, and the answer to them
		f.state(t, model.StateBothFIN, transitory)
	}
	if drops := r.Drops(t); len(drops) != 0 {
		t.Errorf("drops %v", drops)
	}
	r.Consistent(t)
}

// A connection that one side has closed may go on in the other direction for
// as long as it likes.
func TestHalfClosedConnectionGoesOn(t *testing.T) {
	t.Parallel()
	r := dptest.NewRig(t, 1)
	ctx := wire.WithTimeout(t)
	listener, err := r.Remote.Listen("tcp4", lab.RemoteAddress+":7000")
	wire.Must(t, err)
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
	wire.Must(t, err)
	defer conn.Close()
	wire.Must(t, conn.(*net.TCPConn).CloseWrite())
	wire.Must(t, conn.SetReadDeadline(time.Now().Add(wire.Patience)))
	got, err := io.ReadAll(conn)
	if err != nil || !bytes.Equal(got, data) {
		t.Errorf("%d bytes after the client's FIN, %v; want %d; drops %v", len(got), err, len(data), r.Drops(t))
	}
}

// RFC 7857 section 2.3: a RST is passed on, whatever its numbers are, and keeps
// the session for 4 minutes: the endpoint alone can tell whether it is a blind
// one of somebody else's. What goes on lives on.
func TestBlindRSTDoesNotCutConnection(t *testing.T) {
	t.Parallel()
	r := dptest.NewRig(t, 1)
	ctx := wire.WithTimeout(t)
	server, err := lab.EchoServer(r.Remote, "tcp", lab.RemoteAddress+":7000")
	wire.Must(t, err)
	defer server.Close()
	conn, err := wire.Reuse(ctx, r.Endpoints[0], wire.Text(wire.EndpointAddress(0), "4000"), lab.RemoteAddress+":7000")
	wire.Must(t, err)
	defer conn.Close()
	external, err := lab.AskConn(ctx, conn)
	wire.Must(t, err)
	remote := netip.AddrPortFrom(wire.RemoteAddress, 7000)
	// Sequence number 0 is outside the window, but once in 2^16 runs.
	r.FromRemote(t, wire.Segment{Protocol: model.TCP, Flags: wire.Rst, From: remote, To: external})
	r.AtEndpoint[0].Await(t, "the RST", 1, func(p wire.Packet) bool { return p.Protocol == model.TCP && p.Flags == wire.Rst && p.From == remote })
	s, has := r.Session(t, model.TCP, wire.Inside(0, 4000), remote)
	if !has || s.State != model.StateTimeWait || s.Left > transitory || s.Left < transitory-clockSlack {
		t.Errorf("after a RST: %+v (%v), want one that ends in 4 minutes", s, has)
	}
	wire.Must(t, conn.SetDeadline(time.Now().Add(wire.Patience)))
	echoed := make([]byte, len("still there"))
	if _, err = io.WriteString(conn, "still there"); err == nil {
		_, err = io.ReadFull(conn, echoed)
	}
	if err != nil || string(echoed) != "still there" {
		t.Errorf("after a blind RST the connection says %q, %v; drops %v", echoed, err, r.Drops(t))
	}
	if s, _ = r.Session(t, model.TCP, wire.Inside(0, 4000), remote); s.State != model.StateEstablished || s.Left < established-clockSlack {
		t.Errorf("after data: %+v, want an established session", s)
	}
}

// The same from inside, and a RST that is meant: it arrives, and the binding
// stays for a connection on the same ports (RFC 5382 REQ-1, decision D5).
func TestRSTKeepsBinding(t *testing.T) {
	t.Parallel()
	r := dptest.NewRig(t, 1)
	r.Mute(t, 0)
	for i, steps := range [][]wire.Step{{wire.In(wire.Rst)}, {wire.Out(wire.Rst)}, {wire.In(wire.Rst | wire.Ack)}, {wire.Out(wire.Rst | wire.Ack)}, {wire.In(wire.Rst), wire.Out(wire.Rst)}} {
		f := openTCP(t, r, uint16(4000+i), wire.Unanswered(7, 80))
		f.play(t, wire.In(wire.SynAck), wire.Out(wire.Ack))
		f.play(t, steps...)
		f.state(t, model.StateTimeWait, transitory)
		f.play(t, wire.Out(wire.Syn), wire.In(wire.SynAck), wire.Out(wire.Ack))
		f.state(t, model.StateEstablished, established)
		if again := r.External(t, model.TCP, f.internal); again != f.external {
			t.Errorf("%v: external %v, before the RST %v", steps, again, f.external)
		}
	}
	r.Consistent(t)
}

// Decision D5: VPP drops the SYN of a new connection on ports whose old one is
// closing; here it passes from either side.
func TestSYNOnClosingSession(t *testing.T) {
	t.Parallel()
	r := dptest.NewRig(t, 1)
	r.Mute(t, 0)
	port := uint16(4000)
	for _, end := range [][]wire.Step{
		{wire.Out(wire.FinAck)}, {wire.In(wire.FinAck)}, {wire.Out(wire.FinAck), wire.In(wire.FinAck)}, {wire.In(wire.FinAck), wire.Out(wire.FinAck)}, {wire.In(wire.Rst)}, {wire.Out(wire.Rst)}, nil,
	} {
		for _, begin := range [][]wire.Step{{wire.Out(wire.Syn), wire.In(wire.SynAck), wire.Out(wire.Ack)}, {wire.In(wire.Syn), wire.Out(wire.SynAck), wire.In(wire.Ack)}} {
			f := openTCP(t, r, port, wire.Unanswered(7, 80))
			f.play(t, wire.In(wire.SynAck), wire.Out(wire.Ack))
			f.play(t, end...)
			f.play(t, begin...)
			f.play(t, wire.In(wire.Ack), wire.Out(wire.Ack))
			if again := r.External(t, model.TCP, f.internal); again != f.external {
				t.Errorf("%v, then %v: external %v, before %v", end, begin, again, f.external)
			}
			if s, has := r.Session(t, model.TCP, f.internal, f.remote); !has || len(end) > 1 && s.State != model.StateEstablished {
				t.Errorf("%v, then %v: session %+v (%v)", end, begin, s, has)
			}
			port++
		}
	}
	if drops := r.Drops(t); len(drops) != 0 {
		t.Errorf("drops %v", drops)
	}
	r.Consistent(t)
}

// RFC 7857 section 2.3: who knows addresses and ports,
// but no sequence number, cannot cut a connection by more packets than one either.
func TestBlindRSTAndSYNDoNotCutConnection(t *testing.T) {
	t.Parallel()
	r := dptest.NewRig(t, 1)
	r.Mute(t, 0)
	for i, blind := range [][]wire.Step{
		{wire.In(wire.Rst), wire.In(wire.Syn)}, {wire.In(wire.Syn), wire.In(wire.Rst)}, {wire.In(wire.Rst), wire.In(wire.Syn), wire.In(wire.Rst)}, {wire.In(wire.Rst), wire.In(wire.Rst), wire.In(wire.Syn), wire.In(wire.Syn)}, {wire.In(wire.FinAck), wire.In(wire.Rst), wire.In(wire.Syn)}, {wire.In(wire.FinAck), wire.In(wire.Syn)},
	} {
		f := openTCP(t, r, uint16(4000+i), wire.Unanswered(7, 80))
		f.play(t, wire.In(wire.SynAck), wire.Out(wire.Ack))
		f.play(t, blind...)
		f.play(t, wire.Out(wire.Ack), wire.In(wire.Ack)) // the true ones go on
		if s, has := r.Session(t, model.TCP, f.internal, f.remote); !has || s.Left < transitory-clockSlack {
			t.Errorf("after %v and data: %+v (%v)", blind, s, has)
		}
	}
}
