package datapath

import (
	"net/netip"
	"testing"
	"time"

	"github.com/hostnat/hostnat/internal/model"
)

// tcpFlow is a TCP connection of endpoint 0, spoken by hand on both sides.
type tcpFlow struct {
	*rig
	internal, external, remote netip.AddrPort
	sent                       map[bool]int // so far, by direction (out: true)
}

// openTCP sends the first SYN of a connection from an inside port.
func (r *rig) openTCP(t *testing.T, port uint16, remote netip.AddrPort) *tcpFlow {
	t.Helper()
	f := &tcpFlow{rig: r, internal: inside(0, port), remote: remote, sent: map[bool]int{}}
	r.fromEndpoint(t, 0, segment{protocol: model.TCP, flags: syn, from: f.internal, to: remote})
	f.external = r.external(t, model.TCP, f.internal)
	f.sent[true] = 1
	f.arrived(t)
	return f
}

// play sends segments one by one; each must arrive on the other side.
func (f *tcpFlow) play(t *testing.T, steps ...step) {
	t.Helper()
	for _, s := range steps {
		if s.out {
			f.fromEndpoint(t, 0, segment{protocol: model.TCP, flags: s.flags, from: f.internal, to: f.remote, payload: []byte(s.String())})
		} else {
			f.fromRemote(t, segment{protocol: model.TCP, flags: s.flags, from: f.remote, to: f.external, payload: []byte(s.String())})
		}
		f.sent[s.out]++
		f.arrived(t)
	}
}

// arrived waits until both sides have got all segments.
func (f *tcpFlow) arrived(t *testing.T) {
	t.Helper()
	f.atRemote.await(t, "segments out", f.sent[true], is(model.TCP, f.external, f.remote))
	if f.sent[false] > 0 {
		f.atEndpoint[0].await(t, "segments in", f.sent[false], is(model.TCP, f.remote, f.internal))
	}
}

func (f *tcpFlow) state(t *testing.T, want model.TCPState, atMost time.Duration) {
	t.Helper()
	s, has := f.session(t, model.TCP, f.internal, f.remote)
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
	r := newRig(t, 1)
	r.mute(t, 0)
	for i, steps := range [][]step{
		{in(syn), out(synAck), in(synAck)},
		{in(syn), in(synAck), out(synAck)},
		{in(syn), in(synAck), out(ack)}, // ours got lost behind the NAT
		{in(syn), in(syn), out(synAck), in(synAck)},
	} {
		f := r.openTCP(t, uint16(4000+i), stranger(7, 80))
		f.play(t, steps...)
		f.play(t, out(ack), in(ack))
		f.state(t, model.StateEstablished, established)
	}
	if drops := r.drops(t); len(drops) != 0 {
		t.Errorf("drops %v", drops)
	}
	r.consistent(t)
}

// RFC 5382 REQ-4, decision D4: a SYN that nobody asked for is not answered for 6
// seconds, neither by a RST nor by an error, and not later either. The SYN that
// goes out to the same remote meanwhile is translated, and nothing of the first
// one comes after it.
func TestUnsolicitedSYNIsNotAnswered(t *testing.T) {
	t.Parallel()
	r := newRig(t, 1)
	r.mute(t, 0)
	f := r.openTCP(t, 4000, stranger(7, 80))
	silent, crossed := stranger(8, 80), stranger(9, 80)
	started := time.Now()
	r.fromRemote(t,
		segment{protocol: model.TCP, flags: syn, from: silent, to: f.external},
		segment{protocol: model.TCP, flags: syn, from: crossed, to: f.external})
	r.dropped(t, "filtered-remote", 2)
	g := &tcpFlow{rig: r, internal: f.internal, external: f.external, remote: crossed, sent: map[bool]int{}}
	g.play(t, out(syn), in(synAck), out(ack), in(ack))
	g.state(t, model.StateEstablished, established)
	within(t, 20*time.Second, "7 seconds", func() bool { return time.Since(started) > 7*time.Second })
	if got := r.atRemote.came(func(p packet) bool { return p.to.Addr() == silent.Addr() }); len(got) != 0 {
		t.Errorf("the unsolicited SYN was answered: %v", got)
	}
	if got := r.atRemote.came(func(p packet) bool { return p.protocol == model.ICMP || p.flags&rst != 0 }); len(got) != 0 {
		t.Errorf("answered by %v", got)
	}
	if got := r.atEndpoint[0].came(is(model.TCP, silent, netip.AddrPort{})); len(got) != 0 {
		t.Errorf("came in: %v", got)
	}
}

// RFC 6146 section 3.5.2: a handshake that goes on in one direction only ends:
// what comes from outside does not keep it.
func TestHalfOpenConnectionIsNotKeptFromOutside(t *testing.T) {
	t.Parallel()
	r := newRig(t, 1)
	r.shortLived(t, 1)
	r.mute(t, 0)
	f := r.openTCP(t, 4000, stranger(7, 80))
	eventually(t, "end of the half-open connection", func() bool {
		r.fromRemote(t, segment{protocol: model.TCP, flags: ack, from: f.remote, to: f.external})
		_, has := r.session(t, model.TCP, f.internal, f.remote)
		return !has
	})
	r.consistent(t)
}

// TCP Fast Open (RFC 7413) and other data in a SYN pass.
func TestDataInSYNPasses(t *testing.T) {
	t.Parallel()
	r := newRig(t, 1)
	r.mute(t, 0)
	r.config.Mappings[1] = mapping(model.TCP, "203.0.113.1:8080", inside(0, 80))
	r.apply(t)
	data := []byte("early data")
	r.fromEndpoint(t, 0, segment{protocol: model.TCP, flags: syn, from: inside(0, 4000), to: stranger(7, 80), payload: data})
	r.fromRemote(t, segment{protocol: model.TCP, flags: syn, from: stranger(7, 80), to: published, payload: data})
	has := func(p packet) bool {
		return p.protocol == model.TCP && len(p.data) >= 54+len(data) && string(p.data[54:54+len(data)]) == string(data)
	}
	r.atRemote.await(t, "SYN out", 1, has)
	r.atEndpoint[0].await(t, "SYN in", 1, has)
}

// cilium#3239: a remote that has not answered makes no
// session of two hours, or spoofed SYNs would fill the table.
func TestHandshakeFromOutsideIsNotEstablishedBeforeItsEnd(t *testing.T) {
	t.Parallel()
	r := newMappedRig(t, 1)
	r.mute(t, 0)
	r.fromRemote(t, segment{protocol: model.TCP, flags: syn, from: stranger(7, 80), to: published})
	r.atEndpoint[0].await(t, "SYN", 1, is(model.TCP, stranger(7, 80), inside(0, 80)))
	r.fromEndpoint(t, 0, segment{protocol: model.TCP, flags: synAck, from: inside(0, 80), to: stranger(7, 80)})
	r.atRemote.await(t, "SYN-ACK", 1, is(model.TCP, published, stranger(7, 80)))
	if s, has := r.session(t, model.TCP, inside(0, 80), stranger(7, 80)); !has || s.Left > transitory {
		t.Errorf("after SYN and SYN-ACK: %+v (%v), want at most 4 minutes", s, has)
	}
	r.fromRemote(t, segment{protocol: model.TCP, flags: ack, from: stranger(7, 80), to: published})
	r.atEndpoint[0].await(t, "ACK", 2, is(model.TCP, stranger(7, 80), inside(0, 80)))
	if s, _ := r.session(t, model.TCP, inside(0, 80), stranger(7, 80)); s.State != model.StateEstablished || s.Left < established-clockSlack {
		t.Errorf("after the last ACK: %+v, want an established session", s)
	}
}
