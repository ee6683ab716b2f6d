package datapath

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/hostnat/hostnat/dev/lab"
	"github.com/hostnat/hostnat/internal/model"
)

// shortLived makes every session of the rig end after so many seconds.
func (r *rig) shortLived(t *testing.T, seconds model.Seconds) {
	t.Helper()
	n := r.config.NATs[rigNAT]
	n.Timeouts = model.Timeouts{UDP: seconds, ICMP: seconds, TCPEstablished: seconds, TCPTransitory: seconds}
	r.config.NATs[rigNAT] = n
	r.apply(t)
}

// fill opens a session of each protocol to two remotes, and one in each TCP state
// but the incoming SYN, which lasts 6 seconds.
func (r *rig) fill(t *testing.T) {
	t.Helper()
	r.mute(t, 0)
	for _, remote := range []netip.AddrPort{stranger(7, 80), stranger(8, 80)} {
		r.fromEndpoint(t, 0,
			segment{protocol: model.UDP, from: inside(0, 4000), to: remote},
			segment{protocol: model.ICMP, from: inside(0, 77), to: remote})
		for state, path := range tcpPaths {
			if state != model.StateExternalSYN {
				r.fromEndpoint(t, 0, segment{protocol: model.TCP, flags: syn, from: inside(0, 5000+uint16(state)), to: remote})
				r.follow(t, inside(0, 5000+uint16(state)), remote, path[1:])
			}
		}
	}
}

// follow sends the rest of a TCP path of a session.
func (r *rig) follow(t *testing.T, internal, remote netip.AddrPort, path []step) {
	t.Helper()
	external := r.external(t, model.TCP, internal)
	for _, s := range path {
		if s.out {
			r.fromEndpoint(t, 0, segment{protocol: model.TCP, flags: s.flags, from: internal, to: remote})
		} else {
			r.fromRemote(t, segment{protocol: model.TCP, flags: s.flags, from: remote, to: external})
		}
	}
}

func TestEverythingExpires(t *testing.T) {
	t.Parallel()
	r := newRig(t, 1)
	r.shortLived(t, 2)
	r.fill(t)
	if n := len(r.sessions(t)); n != 16 {
		t.Errorf("%d sessions, want 16", n)
	}
	eventually(t, "empty tables", func() bool { return r.empty(t) })
	// Every TCP session begins with an alarm after 6 seconds.
	within(t, 2*patience, "no alarms", func() bool { return size(t, r.dp.objects.Timers) == 0 })
	// And the same again: nothing of the first time stands in the way.
	r.fromEndpoint(t, 0, segment{protocol: model.UDP, from: inside(0, 4000), to: stranger(7, 80)})
	eventually(t, "session after expiry", func() bool { return len(r.sessions(t)) == 1 })
	r.consistent(t)
}

// Design, rule 5: nothing of ours runs or has a file open meanwhile. That a
// session has ended shows in that the remote's packets do not come in any more.
func TestExpiryNeedsNoProcess(t *testing.T) {
	t.Parallel()
	r := newRig(t, 1)
	r.shortLived(t, 2)
	client := listen(t, r.Endpoints[0], text(endpointAddress(0), "4000"))
	remote := listen(t, r.Remote, lab.RemoteAddress+":7000")
	client.send(t, netip.AddrPortFrom(remoteAddress, 7000), "ask")
	external := remote.expect(t, "ask")
	must(t, r.dp.Close())

	started := time.Now()
	for answered := true; answered; {
		if time.Since(started) > patience {
			t.Fatal("the session does not expire")
		}
		remote.send(t, external, "answer")
		answered = client.pending(100 * time.Millisecond)
	}
	if lived := time.Since(started); lived < 1500*time.Millisecond {
		t.Errorf("the session ended after %v, want 2 s", lived)
	}
	r.open(t)
	if !r.empty(t) {
		t.Errorf("left: sessions %+v, bindings %+v", r.sessions(t), r.bindings(t))
	}
	// The clock goes on with the programs of the new process.
	client.send(t, netip.AddrPortFrom(remoteAddress, 7000), "again")
	remote.expect(t, "again")
	eventually(t, "empty tables after a restart", func() bool { return r.empty(t) })
}

func TestManySessionsExpire(t *testing.T) {
	t.Parallel()
	r := newRig(t, 1)
	r.shortLived(t, 2)
	r.mute(t, 0)
	const ports, remotes = 50, 100
	for p := range uint16(ports) {
		segments := make([]segment, remotes)
		for i := range segments {
			segments[i] = segment{protocol: model.UDP, from: inside(0, 4000+p), to: stranger(byte(i), 80)}
		}
		r.fromEndpoint(t, 0, segments...)
	}
	if r.empty(t) {
		t.Fatal("nothing was there to expire")
	}
	eventually(t, "empty tables", func() bool { return r.empty(t) && size(t, r.dp.objects.Timers) == 0 })
	if drops := r.drops(t); len(drops) != 0 {
		t.Errorf("drops %v", drops)
	}
}

// RFC 4787 REQ-6: an outbound packet refreshes; an inbound one only if the NAT
// says so.
func TestUDPRefresh(t *testing.T) {
	t.Parallel()
	for _, inboundRefresh := range []bool{false, true} {
		t.Run(fmt.Sprintf("inbound=%v", inboundRefresh), func(t *testing.T) {
			t.Parallel()
			r := newRig(t, 1)
			n := r.config.NATs[rigNAT]
			n.UDPInboundRefresh = inboundRefresh
			r.config.NATs[rigNAT] = n
			r.shortLived(t, 1)
			r.mute(t, 0)
			outward := segment{protocol: model.UDP, from: inside(0, 4000), to: stranger(7, 80)}
			r.fromEndpoint(t, 0, outward)
			external := r.external(t, model.UDP, inside(0, 4000))
			first, _ := r.session(t, model.UDP, inside(0, 4000), stranger(7, 80))
			alive := func(wait time.Duration, send func()) bool {
				until := first.Created.Add(wait)
				eventually(t, "time to pass", func() bool {
					send()
					return time.Now().After(until)
				})
				_, has := r.session(t, model.UDP, inside(0, 4000), stranger(7, 80))
				return has
			}
			if !alive(1500*time.Millisecond, func() { r.fromEndpoint(t, 0, outward) }) {
				t.Error("outbound packets do not refresh")
			}
			inward := segment{protocol: model.UDP, from: stranger(7, 80), to: external}
			if got := alive(2800*time.Millisecond, func() { r.fromRemote(t, inward) }); got != inboundRefresh {
				t.Errorf("alive by inbound packets alone: %v, want %v", got, inboundRefresh)
			}
		})
	}
}

// RFC 6146 section 3.5.2.2: what keeps a connection alive does not keep its end.
func TestClosedConnectionIsNotRefreshed(t *testing.T) {
	t.Parallel()
	r := newRig(t, 1)
	r.shortLived(t, 1)
	r.mute(t, 0)
	closed, open := inside(0, 5000), inside(0, 5001)
	for internal, path := range map[netip.AddrPort][]step{
		closed: tcpPaths[model.StateBothFIN], open: tcpPaths[model.StateEstablished],
	} {
		r.fromEndpoint(t, 0, segment{protocol: model.TCP, flags: syn, from: internal, to: stranger(7, 80)})
		r.follow(t, internal, stranger(7, 80), path[1:])
	}
	eventually(t, "end of the closed connection", func() bool {
		for _, internal := range []netip.AddrPort{closed, open} {
			r.fromEndpoint(t, 0, segment{protocol: model.TCP, flags: ack, from: internal, to: stranger(7, 80)})
		}
		_, has := r.session(t, model.TCP, closed, stranger(7, 80))
		return !has
	})
	if s, has := r.session(t, model.TCP, open, stranger(7, 80)); !has || s.State != model.StateEstablished {
		t.Errorf("the open connection: %+v, %v", s, has)
	}
	r.consistent(t)
}

// RFC 6146 section 4, TCP_INCOMING_SYN, whatever the NAT's own timeouts.
func TestUnansweredIncomingSYNLivesSixSeconds(t *testing.T) {
	t.Parallel()
	r := newRig(t, 1)
	r.mute(t, 0)
	r.config.Mappings[1] = mapping(model.TCP, "0.0.0.0:8080", inside(0, 80))
	r.apply(t)
	r.fromRemote(t, segment{protocol: model.TCP, flags: syn, from: stranger(7, 80), to: published})
	eventually(t, "session", func() bool { return len(r.sessions(t)) == 1 })
	s := r.sessions(t)[0]
	if s.State != model.StateExternalSYN || s.Left > 6*time.Second || s.Left < 6*time.Second-clockSlack {
		t.Errorf("session %+v, want one that ends in 6 s", s)
	}
}
