package nattest

import (
	"testing"
	"time"

	"github.com/hostnat/hostnat/dev/lab"
	"github.com/hostnat/hostnat/internal/datapath"
	"github.com/hostnat/hostnat/internal/datapath/dptest"
	"github.com/hostnat/hostnat/internal/datapath/dptest/wire"
	"github.com/hostnat/hostnat/internal/event"
	"github.com/hostnat/hostnat/internal/model"
)

// slow is how long the slow side waits: far longer than a packet through a busy machine.
const slow = 500 * time.Millisecond

// handshakeOf is what is known of a flow's.
func handshakeOf(t *testing.T, f *tcpFlow) model.Handshake {
	t.Helper()
	s, has := f.Session(t, model.TCP, f.internal, f.remote)
	if !has {
		t.Fatal("there is no session")
	}
	return s.Handshake
}

// took reports whether a side took that long, as far as both ends of the wire can tell.
func took(microseconds uint32, least, most time.Duration) bool {
	d := time.Duration(microseconds) * time.Microsecond
	return d >= least-time.Microsecond && d <= most
}

// publishedTCP sends the first SYN of a connection from outside to endpoint 0's port 80.
func publishedTCP(t *testing.T, r *dptest.Rig, port uint16) *tcpFlow {
	t.Helper()
	f := &tcpFlow{Rig: r, internal: wire.Inside(0, 80), external: wire.Published, remote: wire.Unanswered(7, port), sent: map[bool]int{}}
	f.FromRemote(t, wire.Segment{Protocol: model.TCP, Flags: wire.Syn, From: f.remote, To: f.external})
	f.sent[false] = 1
	f.AtEndpoint[0].Await(t, "SYN in", 1, wire.Is(model.TCP, f.remote, f.internal))
	return f
}

// The side that is slow is the one whose time is long, whoever opened the connection.
func TestSlowSideIsBlamed(t *testing.T) {
	t.Parallel()
	r := dptest.NewMappedRig(t, 1)
	r.Mute(t, 0)
	for i, tt := range []struct {
		name         string
		fromOutside  bool
		slowEndpoint bool
		answer, ack  wire.Step
	}{
		{"opened inside, slow outside", false, false, wire.In(wire.SynAck), wire.Out(wire.Ack)},
		{"opened inside, slow endpoint", false, true, wire.In(wire.SynAck), wire.Out(wire.Ack)},
		{"opened outside, slow outside", true, false, wire.Out(wire.SynAck), wire.In(wire.Ack)},
		{"opened outside, slow endpoint", true, true, wire.Out(wire.SynAck), wire.In(wire.Ack)},
	} {
		began := time.Now()
		var f *tcpFlow
		if tt.fromOutside {
			f = publishedTCP(t, r, uint16(5000+i))
		} else {
			f = openTCP(t, r, uint16(4000+i), wire.Unanswered(7, 80))
		}
		asked := model.OutsideSide
		if tt.fromOutside {
			asked = model.EndpointSide
		}
		if got, want := handshakeOf(t, f), (model.Handshake{Awaits: asked}); got != want {
			t.Errorf("%s: after the SYN %+v, want %+v", tt.name, got, want)
		}
		wait := func(side model.Side) {
			if (side == model.EndpointSide) == tt.slowEndpoint {
				time.Sleep(slow)
			}
		}
		wait(asked)
		f.play(t, tt.answer)
		if got := handshakeOf(t, f); got.Awaits == model.NoSide || got.Awaits == asked {
			t.Errorf("%s: after the SYN-ACK %+v", tt.name, got)
		}
		wait(model.EndpointSide + model.OutsideSide - asked)
		f.play(t, tt.ack)
		h, total := handshakeOf(t, f), time.Since(began)
		blamed, other := h.OutsideMicroseconds, h.EndpointMicroseconds
		if tt.slowEndpoint {
			blamed, other = other, blamed
		}
		if !took(blamed, slow, total) || other < 2 || !took(other, 0, total-slow) || other >= blamed || h.Awaits != model.NoSide || h.RepeatedSYNs != 0 {
			t.Errorf("%s: %+v in %v", tt.name, h, total)
		}
		f.play(t, wire.Out(wire.Ack), wire.In(wire.Ack)) // changes nothing
		if got := handshakeOf(t, f); got != h {
			t.Errorf("%s: %+v became %+v", tt.name, h, got)
		}
	}
	r.Consistent(t)
}

// Repeated SYNs are counted wherever the packet before was lost, and what a lost packet
// costs is the time of the side where it got lost.
func TestRepeatedSYNs(t *testing.T) {
	t.Parallel()
	r := dptest.NewMappedRig(t, 1)
	r.Mute(t, 0)
	out, in, answer := wire.Out(wire.Syn), wire.In(wire.Syn), wire.In(wire.SynAck)
	for i, tt := range []struct {
		name        string
		fromOutside bool
		steps       []wire.Step
		want        uint8
		awaits      model.Side
	}{
		{"lost outside", false, []wire.Step{out, out, answer, wire.Out(wire.Ack), wire.In(wire.Ack)}, 2, model.NoSide},
		{"the answer lost inside", false, []wire.Step{answer, out, answer, wire.Out(wire.Ack)}, 1, model.NoSide},
		{"never answered", false, []wire.Step{out, out, out}, 3, model.OutsideSide},
		{"refused", false, []wire.Step{out, wire.In(wire.Rst | wire.Ack)}, 1, model.NoSide},
		{"the endpoint never says that it knows", false, []wire.Step{answer, answer, answer}, 0, model.EndpointSide},
		{"closed in the first answer", false, []wire.Step{answer, wire.Out(wire.Fin | wire.Ack)}, 0, model.NoSide},
		{"lost inside", true, []wire.Step{in, wire.Out(wire.SynAck), wire.In(wire.Ack)}, 1, model.NoSide},
		{"the answer lost outside", true, []wire.Step{wire.Out(wire.SynAck), in, in, wire.Out(wire.SynAck), wire.In(wire.Ack)}, 2, model.NoSide},
		{"the endpoint does not answer", true, []wire.Step{in, in}, 2, model.EndpointSide},
		{"the remote may be forged", true, []wire.Step{wire.Out(wire.SynAck)}, 0, model.OutsideSide},
	} {
		var f *tcpFlow
		if tt.fromOutside {
			f = publishedTCP(t, r, uint16(5000+i))
		} else {
			f = openTCP(t, r, uint16(4000+i), wire.Unanswered(7, 80))
		}
		f.play(t, tt.steps...)
		if h := handshakeOf(t, f); h.RepeatedSYNs != tt.want || h.Awaits != tt.awaits {
			t.Errorf("%s: %+v, want %d repeated, awaits %q", tt.name, h, tt.want, tt.awaits)
		}
	}
	f := openTCP(t, r, 4500, wire.Unanswered(7, 80))
	for range 300 {
		f.FromEndpoint(t, 0, wire.Segment{Protocol: model.TCP, Flags: wire.Syn, From: f.internal, To: f.remote})
	}
	f.sent[true] += 300
	f.arrived(t)
	if h := handshakeOf(t, f); h.RepeatedSYNs != 255 {
		t.Errorf("after 300: %+v", h)
	}
	r.Consistent(t)
}

// A connection on old ports is measured anew.
func TestHandshakeOfNewConnectionOnOldPorts(t *testing.T) {
	t.Parallel()
	r := dptest.NewMappedRig(t, 1)
	r.Mute(t, 0)
	f := openTCP(t, r, 4000, wire.Unanswered(7, 80))
	f.play(t, wire.Out(wire.Syn), wire.In(wire.SynAck), wire.Out(wire.Ack), wire.Out(wire.Fin|wire.Ack), wire.In(wire.Fin|wire.Ack), wire.Out(wire.Syn))
	if got, want := handshakeOf(t, f), (model.Handshake{Awaits: model.OutsideSide}); got != want {
		t.Errorf("a SYN on old ports: %+v, want %+v", got, want)
	}
	g := publishedTCP(t, r, 5000)
	g.play(t, wire.In(wire.Syn), wire.Out(wire.SynAck), wire.In(wire.Ack), wire.Out(wire.Fin|wire.Ack), wire.In(wire.Fin|wire.Ack), wire.In(wire.Syn), wire.Out(wire.SynAck))
	if got, want := handshakeOf(t, g), (model.Handshake{Awaits: model.OutsideSide}); got != want {
		t.Errorf("a SYN-ACK on old ports: %+v, want %+v", got, want)
	}
}

// Connections of real TCP through a hairpin, and from the host's own programs, have both
// times; so have the event and the record of their end.
func TestHandshakesOfHairpinAndDialler(t *testing.T) {
	t.Parallel()
	r := newDialRig(t)
	w := watchEvents(t, r)
	conn, err := r.Host.Dial(wire.WithTimeout(t), "tcp", "127.0.0.1:8080")
	wire.Must(t, err)
	defer conn.Close()
	_, err = lab.AskConn(wire.WithTimeout(t), conn)
	wire.Must(t, err)
	hairpin, err := r.Endpoints[0].Dial(wire.WithTimeout(t), "tcp", lab.HostAddress+":8080")
	wire.Must(t, err)
	defer hairpin.Close()
	_, err = lab.AskConn(wire.WithTimeout(t), hairpin)
	wire.Must(t, err)
	list := r.Sessions(t)
	if len(list) != 3 { // the hairpin has one on each side
		t.Fatalf("%d sessions: %+v", len(list), list)
	}
	whole := func(h model.Handshake) bool {
		return h.EndpointMicroseconds > 0 && h.OutsideMicroseconds > 0 && h.Awaits == model.NoSide
	}
	for _, s := range list {
		if !whole(s.Handshake) {
			t.Errorf("%+v", s)
		}
	}
	wire.Must(t, r.Datapath.EndSessions(func(datapath.Session) bool { return true }))
	for _, e := range w.until(t, event.SessionDelete, 3) {
		if e.ID == event.SessionDelete && !whole(e.Handshake) {
			t.Errorf("event %+v", e)
		}
	}
	ends := recordedEnds(t, r)
	if len(ends) != 3 {
		t.Fatalf("%d ends", len(ends))
	}
	for _, e := range ends {
		if !whole(e.Handshake) {
			t.Errorf("record %+v", e)
		}
	}
}
