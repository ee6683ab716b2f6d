package nattest

import (
	"testing"
	"time"

	"github.com/hostnat/hostnat/internal/datapath"
	"github.com/hostnat/hostnat/internal/datapath/dptest"
	"github.com/hostnat/hostnat/internal/datapath/dptest/wire"
	"github.com/hostnat/hostnat/internal/model"
)

// `nat set` counts for sessions that live (issue: a published port changes live).
func TestSettingsChangeLiveSessions(t *testing.T) {
	t.Parallel()
	r := dptest.NewRig(t, 1)
	r.Mute(t, 0)
	udp := wire.Segment{Protocol: model.UDP, From: wire.Inside(0, 4000), To: wire.Unanswered(7, 80)}
	tcp := wire.Segment{Protocol: model.TCP, Flags: wire.Syn, From: wire.Inside(0, 4001), To: wire.Unanswered(7, 80)}
	r.FromEndpoint(t, 0, udp, tcp)
	left := func(s wire.Segment) time.Duration {
		got, has := r.Session(t, s.Protocol, s.From, s.To)
		if !has {
			t.Fatalf("the %v session is gone", s.Protocol)
		}
		return got.Left
	}
	left(udp)
	left(tcp)
	setNAT(t, r, func(n *model.NAT) { n.Timeouts.UDP, n.Timeouts.TCPTransitory = 1000, 500 })
	for s, want := range map[*wire.Segment]time.Duration{&udp: 1000 * time.Second, &tcp: 500 * time.Second} {
		if got := left(*s); got > want || got < want-clockSlack {
			t.Errorf("%v: ends in %v, want %v", s.Protocol, got, want)
		}
	}
	// A shorter time counts at once, though the timer was set for later.
	setNAT(t, r, func(n *model.NAT) { n.Timeouts.UDP, n.Timeouts.TCPTransitory = 1, 1 })
	wire.Within(t, 4*wire.Patience, "the end of both sessions", func() bool { return len(r.Sessions(t)) == 0 })
	r.Consistent(t)
}

// Inbound refresh and filtering, switched on for a binding that is in use.
func TestFilteringChangesLiveSessions(t *testing.T) {
	t.Parallel()
	r := dptest.NewRig(t, 1)
	r.Mute(t, 0)
	setNAT(t, r, func(n *model.NAT) { n.UDPFiltering = model.EndpointIndependent })
	r.FromEndpoint(t, 0, wire.Segment{Protocol: model.UDP, From: wire.Inside(0, 4000), To: wire.Unanswered(7, 80)})
	external := r.External(t, model.UDP, wire.Inside(0, 4000))
	setNAT(t, r, func(n *model.NAT) { n.UDPFiltering, n.UDPInboundRefresh = model.AddressDependent, true })
	r.FromRemote(t,
		wire.Segment{Protocol: model.UDP, From: wire.Unanswered(7, 81), To: external}, // its remote's other port
		wire.Segment{Protocol: model.UDP, From: wire.Unanswered(8, 80), To: external})
	r.Dropped(t, "filtered-remote", 1)
	r.AtEndpoint[0].Await(t, "packet of the known remote", 1, wire.Is(model.UDP, wire.Unanswered(7, 81), wire.Inside(0, 4000)))
	setNAT(t, r, func(n *model.NAT) { n.Timeouts.UDP = 3 })
	for range 8 { // inbound packets alone keep it
		r.FromRemote(t, wire.Segment{Protocol: model.UDP, From: wire.Unanswered(7, 80), To: external})
		time.Sleep(500 * time.Millisecond) // the time that is to pass is what is tested
	}
	if _, has := r.Session(t, model.UDP, wire.Inside(0, 4000), wire.Unanswered(7, 80)); !has {
		t.Error("the session ended though packets came in")
	}
	wire.Must(t, r.Datapath.EndSessions(func(datapath.Session) bool { return true }))
	if !r.Empty(t) {
		t.Error("the tables are not empty")
	}
}

// A NAT that loses ports ends the sessions on them; the others live on.
func TestRangesChangeLiveSessions(t *testing.T) {
	t.Parallel()
	r := newTinyRig(t, 8) // 5000-5007
	r.Mute(t, 0)
	if got := usable(t, r, model.UDP); len(got) != 8 {
		t.Fatalf("%d ports usable, want 8", len(got))
	}
	r.Config.Pools[0].Addresses[0].Ports = []model.PortRange{{Low: 5004, High: 5011}}
	r.Apply(t)
	for _, s := range r.Sessions(t) {
		if s.External.Port() < 5004 {
			t.Errorf("a session on port %d lives on", s.External.Port())
		}
	}
	if got := len(r.Sessions(t)); got != 4 {
		t.Errorf("%d sessions, want the 4 on ports that are left", got)
	}
}
