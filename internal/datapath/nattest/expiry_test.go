package nattest

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/hostnat/hostnat/dev/lab"
	"github.com/hostnat/hostnat/internal/datapath/dptest"
	"github.com/hostnat/hostnat/internal/datapath/dptest/wire"
	"github.com/hostnat/hostnat/internal/model"
)

func TestEverythingExpires(t *testing.T) {
	t.Parallel()
	r := dptest.NewRig(t, 1)
	r.ShortLived(t, 2)
	r.Fill(t)
	if n := len(r.Sessions(t)); n != 16 {
		t.Errorf("%d sessions, want 16", n)
	}
	wire.Eventually(t, "empty tables", func() bool { return r.Empty(t) })
	// Every TCP session begins with a timer of 6 seconds.
	wire.Within(t, 2*wire.Patience, "no timers", func() bool { return dptest.Size(t, r.Datapath.Objects().Timers) == 0 })
	// And the same again: nothing of the first time stands in the way.
	r.FromEndpoint(t, 0, wire.Segment{Protocol: model.UDP, From: wire.Inside(0, 4000), To: wire.Unanswered(7, 80)})
	wire.Eventually(t, "session after expiry", func() bool { return len(r.Sessions(t)) == 1 })
	r.Consistent(t)
}

// Design, rule 5: nothing of ours runs or has a file open meanwhile. That a
// session has ended shows in that the remote's packets do not come in any more.
func TestExpiryNeedsNoProcess(t *testing.T) {
	t.Parallel()
	r := dptest.NewRig(t, 1)
	r.ShortLived(t, 2)
	client := wire.Listen(t, r.Endpoints[0], wire.Text(wire.EndpointAddress(0), "4000"))
	remote := wire.Listen(t, r.Remote, lab.RemoteAddress+":7000")
	client.Send(t, netip.AddrPortFrom(wire.RemoteAddress, 7000), "ask")
	external := remote.Expect(t, "ask")
	wire.Must(t, r.Datapath.Close())

	started := time.Now()
	for answered := true; answered; {
		if time.Since(started) > wire.Patience {
			t.Fatal("the session does not expire")
		}
		remote.Send(t, external, "answer")
		answered = client.Pending(100 * time.Millisecond)
	}
	if lived := time.Since(started); lived < 1500*time.Millisecond {
		t.Errorf("the session ended after %v, want 2 s", lived)
	}
	r.Open(t)
	if !r.Empty(t) {
		t.Errorf("left: sessions %+v, bindings %+v", r.Sessions(t), r.Bindings(t))
	}
	// The clock goes on with the programs of the new process.
	client.Send(t, netip.AddrPortFrom(wire.RemoteAddress, 7000), "again")
	remote.Expect(t, "again")
	wire.Eventually(t, "empty tables after a restart", func() bool { return r.Empty(t) })
}

func TestManySessionsExpire(t *testing.T) {
	t.Parallel()
	r := dptest.NewRig(t, 1)
	r.ShortLived(t, 2)
	r.Mute(t, 0)
	const ports, remotes = 50, 100
	for p := range uint16(ports) {
		segments := make([]wire.Segment, remotes)
		for i := range segments {
			segments[i] = wire.Segment{Protocol: model.UDP, From: wire.Inside(0, 4000+p), To: wire.Unanswered(byte(i), 80)}
		}
		r.FromEndpoint(t, 0, segments...)
	}
	if r.Empty(t) {
		t.Fatal("nothing was there to expire")
	}
	wire.Eventually(t, "empty tables", func() bool { return r.Empty(t) && dptest.Size(t, r.Datapath.Objects().Timers) == 0 })
	if drops := r.Drops(t); len(drops) != 0 {
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
			r := dptest.NewRig(t, 1)
			n := r.Config.NATs[wire.RigNAT]
			n.UDPInboundRefresh = inboundRefresh
			r.Config.NATs[wire.RigNAT] = n
			r.ShortLived(t, 1)
			r.Mute(t, 0)
			outward := wire.Segment{Protocol: model.UDP, From: wire.Inside(0, 4000), To: wire.Unanswered(7, 80)}
			r.FromEndpoint(t, 0, outward)
			external := r.External(t, model.UDP, wire.Inside(0, 4000))
			first, _ := r.Session(t, model.UDP, wire.Inside(0, 4000), wire.Unanswered(7, 80))
			alive := func(wait time.Duration, send func()) bool {
				until := first.Created.Add(wait)
				wire.Eventually(t, "time to pass", func() bool {
					send()
					return time.Now().After(until)
				})
				_, has := r.Session(t, model.UDP, wire.Inside(0, 4000), wire.Unanswered(7, 80))
				return has
			}
			if !alive(1500*time.Millisecond, func() { r.FromEndpoint(t, 0, outward) }) {
				t.Error("outbound packets do not refresh")
			}
			inward := wire.Segment{Protocol: model.UDP, From: wire.Unanswered(7, 80), To: external}
			if got := alive(2800*time.Millisecond, func() { r.FromRemote(t, inward) }); got != inboundRefresh {
				t.Errorf("alive by inbound packets alone: %v, want %v", got, inboundRefresh)
			}
		})
	}
}

// RFC 4787 REQ-6: what comes from outside alone keeps no mapping, from whatever ports
// it comes, and with whatever filtering.
func TestRemotesAloneKeepNoMapping(t *testing.T) {
	t.Parallel()
	for _, filtering := range []model.Filtering{model.EndpointIndependent, model.AddressDependent} {
		t.Run(string(filtering), func(t *testing.T) {
			t.Parallel()
			r := dptest.NewRig(t, 1)
			n := r.Config.NATs[wire.RigNAT]
			n.UDPFiltering = filtering
			r.Config.NATs[wire.RigNAT] = n
			r.ShortLived(t, 1)
			r.Mute(t, 0)
			r.FromEndpoint(t, 0, wire.Segment{Protocol: model.UDP, From: wire.Inside(0, 4000), To: wire.Unanswered(7, 80)})
			external := r.External(t, model.UDP, wire.Inside(0, 4000))
			port := uint16(1000)
			wire.Eventually(t, "the binding to end, whatever a remote sends", func() bool {
				port++
				r.FromRemote(t, wire.Segment{Protocol: model.UDP, From: wire.Unanswered(7, port), To: external})
				return len(r.Bindings(t)) == 0
			})
			r.AtEndpoint[0].Await(t, "what came while it lived", 1, func(p wire.Packet) bool {
				return p.Protocol == model.UDP && p.From.Addr() == wire.Unanswered(7, 0).Addr()
			})
		})
	}
}

// RFC 6146 section 3.5.2.2: what keeps a connection alive does not keep its end.
func TestClosedConnectionIsNotRefreshed(t *testing.T) {
	t.Parallel()
	r := dptest.NewRig(t, 1)
	r.ShortLived(t, 1)
	r.Mute(t, 0)
	closed, open := wire.Inside(0, 5000), wire.Inside(0, 5001)
	for internal, path := range map[netip.AddrPort][]wire.Step{
		closed: wire.TCPPaths[model.StateBothFIN], open: wire.TCPPaths[model.StateEstablished],
	} {
		r.FromEndpoint(t, 0, wire.Segment{Protocol: model.TCP, Flags: wire.Syn, From: internal, To: wire.Unanswered(7, 80)})
		r.Follow(t, internal, wire.Unanswered(7, 80), path[1:])
	}
	wire.Eventually(t, "end of the closed connection", func() bool {
		for _, internal := range []netip.AddrPort{closed, open} {
			r.FromEndpoint(t, 0, wire.Segment{Protocol: model.TCP, Flags: wire.Ack, From: internal, To: wire.Unanswered(7, 80)})
		}
		_, has := r.Session(t, model.TCP, closed, wire.Unanswered(7, 80))
		return !has
	})
	if s, has := r.Session(t, model.TCP, open, wire.Unanswered(7, 80)); !has || s.State != model.StateEstablished {
		t.Errorf("the open connection: %+v, %v", s, has)
	}
	r.Consistent(t)
}

// RFC 6146 section 4, TCP_INCOMING_SYN, whatever the NAT's own timeouts.
func TestUnansweredIncomingSYNLivesSixSeconds(t *testing.T) {
	t.Parallel()
	r := dptest.NewRig(t, 1)
	r.Mute(t, 0)
	r.Config.Mappings[1] = dptest.Mapping(model.TCP, "0.0.0.0:8080", wire.Inside(0, 80))
	r.Apply(t)
	r.FromRemote(t, wire.Segment{Protocol: model.TCP, Flags: wire.Syn, From: wire.Unanswered(7, 80), To: wire.Published})
	wire.Eventually(t, "session", func() bool { return len(r.Sessions(t)) == 1 })
	s := r.Sessions(t)[0]
	if s.State != model.StateExternalSYN || s.Left > 6*time.Second || s.Left < 6*time.Second-clockSlack {
		t.Errorf("session %+v, want one that ends in 6 s", s)
	}
}
