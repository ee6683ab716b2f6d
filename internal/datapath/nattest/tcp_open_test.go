package nattest

import (
	"net/netip"
	"testing"
	"time"

	"github.com/hostnat/hostnat/internal/datapath/dptest"
	"github.com/hostnat/hostnat/internal/datapath/dptest/wire"
	"github.com/hostnat/hostnat/internal/model"
)

// tcpFlow is a TCP connection of endpoint 0, spoken by hand on both sides.
type tcpFlow struct {
	*dptest.Rig
	internal, external, remote netip.AddrPort
	sent                       map[bool]int // so far, by direction (out: true)
}

// openTCP sends the first SYN of a connection from an inside port.
func openTCP(t *testing.T, r *dptest.Rig, port uint16, remote netip.AddrPort) *tcpFlow {
	t.Helper()
	f := &tcpFlow{Rig: r, internal: wire.Inside(0, port), remote: remote, sent: map[bool]int{}}
	r.FromEndpoint(t, 0, wire.Segment{Protocol: model.TCP, Flags: wire.Syn, From: f.internal, To: remote})
	f.external = r.External(t, model.TCP, f.internal)
	f.sent[true] = 1
	f.arrived(t)
	return f
}

// play sends segments one by one; each must arrive on the other side.
func (f *tcpFlow) play(t *testing.T, steps ...wire.Step) {
	t.Helper()
	for _, s := range steps {
		if s.Out {
			f.FromEndpoint(t, 0, wire.Segment{Protocol: model.TCP, Flags: s.Flags, From: f.internal, To: f.remote, Payload: []byte(s.String())})
		} else {
			f.FromRemote(t, wire.Segment{Protocol: model.TCP, Flags: s.Flags, From: f.remote, To: f.external, Payload: []byte(s.String())})
		}
		f.sent[s.Out]++
		f.arrived(t)
	}
}

// arrived waits until both sides have got all segments.
func (f *tcpFlow) arrived(t *testing.T) {
	t.Helper()
	f.AtRemote.Await(t, "segments out", f.sent[true], wire.Is(model.TCP, f.external, f.remote))
	if f.sent[false] > 0 {
		f.AtEndpoint[0].Await(t, "segments in", f.sent[false], wire.Is(model.TCP, f.remote, f.internal))
	}
}

func (f *tcpFlow) state(t *testing.T, want model.TCPState, atMost time.Duration) {
	t.Helper()
	s, has := f.Session(t, model.TCP, f.internal, f.remote)
	if !has || s.State != want || s.Left > atMost || s.Left < atMost-clockSlack {
		t.Errorf("session %+v (%v), want %v that ends in %v", s, has, want, atMost)
	}
}

const (
	established = 7440 * time.Second // RFC 5382 REQ-5
	transitory  = 240 * time.Second
)

// RFC 5382 REQ-2a: S>, <S, S+A>, <S+A in each order that the network may make of it.
func TestSimultaneousOpen(t *testing.T) {
	t.Parallel()
	r := dptest.NewRig(t, 1)
	r.Mute(t, 0)
	for i, steps := range [][]wire.Step{
		{wire.In(wire.Syn), wire.Out(wire.SynAck), wire.In(wire.SynAck)},
		{wire.In(wire.Syn), wire.In(wire.SynAck), wire.Out(wire.SynAck)},
		{wire.In(wire.Syn), wire.In(wire.SynAck), wire.Out(wire.Ack)}, // ours got lost behind the NAT
		{wire.In(wire.Syn), wire.In(wire.Syn), wire.Out(wire.SynAck), wire.In(wire.SynAck)},
	} {
		f := openTCP(t, r, uint16(4000+i), wire.Unanswered(7, 80))
		f.play(t, steps...)
		f.play(t, wire.Out(wire.Ack), wire.In(wire.Ack))
		f.state(t, model.StateEstablished, established)
	}
	if drops := r.Drops(t); len(drops) != 0 {
		t.Errorf("drops %v", drops)
	}
	r.Consistent(t)
}

// RFC 5382 REQ-4, decision D4: a SYN that nobody asked for is not answered for 6
// seconds, neither by a RST nor by an error, and not later either. The SYN that
// goes out to the same remote meanwhile is translated, and nothing of the first
// one comes after it.
func TestUnsolicitedSYNIsNotAnswered(t *testing.T) {
	t.Parallel()
	r := dptest.NewRig(t, 1)
	r.Mute(t, 0)
	f := openTCP(t, r, 4000, wire.Unanswered(7, 80))
	silent, crossed := wire.Unanswered(8, 80), wire.Unanswered(9, 80)
	started := time.Now()
	r.FromRemote(t,
		wire.Segment{Protocol: model.TCP, Flags: wire.Syn, From: silent, To: f.external},
		wire.Segment{Protocol: model.TCP, Flags: wire.Syn, From: crossed, To: f.external})
	r.Dropped(t, "filtered-remote", 2)
	g := &tcpFlow{Rig: r, internal: f.internal, external: f.external, remote: crossed, sent: map[bool]int{}}
	g.play(t, wire.Out(wire.Syn), wire.In(wire.SynAck), wire.Out(wire.Ack), wire.In(wire.Ack))
	g.state(t, model.StateEstablished, established)
	wire.Within(t, 20*time.Second, "7 seconds", func() bool { return time.Since(started) > 7*time.Second })
	if got := r.AtRemote.Came(func(p wire.Packet) bool { return p.To.Addr() == silent.Addr() }); len(got) != 0 {
		t.Errorf("the unsolicited SYN was answered: %v", got)
	}
	if got := r.AtRemote.Came(func(p wire.Packet) bool { return p.Protocol == model.ICMP || p.Flags&wire.Rst != 0 }); len(got) != 0 {
		t.Errorf("answered by %v", got)
	}
	if got := r.AtEndpoint[0].Came(wire.Is(model.TCP, silent, netip.AddrPort{})); len(got) != 0 {
		t.Errorf("came in: %v", got)
	}
}

// RFC 6146 section 3.5.2: a handshake that goes on in one direction only ends:
// what comes from outside does not keep it.
func TestHalfOpenConnectionIsNotKeptFromOutside(t *testing.T) {
	t.Parallel()
	r := dptest.NewRig(t, 1)
	r.ShortLived(t, 1)
	r.Mute(t, 0)
	f := openTCP(t, r, 4000, wire.Unanswered(7, 80))
	wire.Eventually(t, "end of the half-open connection", func() bool {
		r.FromRemote(t, wire.Segment{Protocol: model.TCP, Flags: wire.Ack, From: f.remote, To: f.external})
		_, has := r.Session(t, model.TCP, f.internal, f.remote)
		return !has
	})
	r.Consistent(t)
}

// TCP Fast Open (RFC 7413) and other data in a SYN pass.
func TestDataInSYNPasses(t *testing.T) {
	t.Parallel()
	r := dptest.NewRig(t, 1)
	r.Mute(t, 0)
	r.Config.Mappings[1] = dptest.Mapping(model.TCP, "203.0.113.1:8080", wire.Inside(0, 80))
	r.Apply(t)
	data := []byte("early data")
	r.FromEndpoint(t, 0, wire.Segment{Protocol: model.TCP, Flags: wire.Syn, From: wire.Inside(0, 4000), To: wire.Unanswered(7, 80), Payload: data})
	r.FromRemote(t, wire.Segment{Protocol: model.TCP, Flags: wire.Syn, From: wire.Unanswered(7, 80), To: wire.Published, Payload: data})
	has := func(p wire.Packet) bool {
		return p.Protocol == model.TCP && len(p.Data) >= 54+len(data) && string(p.Data[54:54+len(data)]) == string(data)
	}
	r.AtRemote.Await(t, "SYN out", 1, has)
	r.AtEndpoint[0].Await(t, "SYN in", 1, has)
}

// cilium#3239: a remote that has not answered makes no
// session of two hours, or spoofed SYNs would fill the table.
func TestHandshakeFromOutsideIsNotEstablishedBeforeItsEnd(t *testing.T) {
	t.Parallel()
	r := dptest.NewMappedRig(t, 1)
	r.Mute(t, 0)
	r.FromRemote(t, wire.Segment{Protocol: model.TCP, Flags: wire.Syn, From: wire.Unanswered(7, 80), To: wire.Published})
	r.AtEndpoint[0].Await(t, "SYN", 1, wire.Is(model.TCP, wire.Unanswered(7, 80), wire.Inside(0, 80)))
	r.FromEndpoint(t, 0, wire.Segment{Protocol: model.TCP, Flags: wire.SynAck, From: wire.Inside(0, 80), To: wire.Unanswered(7, 80)})
	r.AtRemote.Await(t, "SYN-ACK", 1, wire.Is(model.TCP, wire.Published, wire.Unanswered(7, 80)))
	if s, has := r.Session(t, model.TCP, wire.Inside(0, 80), wire.Unanswered(7, 80)); !has || s.Left > transitory {
		t.Errorf("after SYN and SYN-ACK: %+v (%v), want at most 4 minutes", s, has)
	}
	r.FromRemote(t, wire.Segment{Protocol: model.TCP, Flags: wire.Ack, From: wire.Unanswered(7, 80), To: wire.Published})
	r.AtEndpoint[0].Await(t, "ACK", 2, wire.Is(model.TCP, wire.Unanswered(7, 80), wire.Inside(0, 80)))
	if s, _ := r.Session(t, model.TCP, wire.Inside(0, 80), wire.Unanswered(7, 80)); s.State != model.StateEstablished || s.Left < established-clockSlack {
		t.Errorf("after the last ACK: %+v, want an established session", s)
	}
}
