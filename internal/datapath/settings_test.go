package datapath

import (
	"testing"
	"time"

	"github.com/hostnat/hostnat/internal/model"
)

// `nat set` counts for sessions that live (issue: a published port changes live).
func TestSettingsChangeLiveSessions(t *testing.T) {
	t.Parallel()
	r := newRig(t, 1)
	r.mute(t, 0)
	udp := segment{protocol: model.UDP, from: inside(0, 4000), to: stranger(7, 80)}
	tcp := segment{protocol: model.TCP, flags: syn, from: inside(0, 4001), to: stranger(7, 80)}
	r.fromEndpoint(t, 0, udp, tcp)
	left := func(s segment) time.Duration {
		got, has := r.session(t, s.protocol, s.from, s.to)
		if !has {
			t.Fatalf("the %v session is gone", s.protocol)
		}
		return got.Left
	}
	left(udp)
	left(tcp)
	r.setNAT(t, func(n *model.NAT) { n.Timeouts.UDP, n.Timeouts.TCPTransitory = 1000, 500 })
	for s, want := range map[*segment]time.Duration{&udp: 1000 * time.Second, &tcp: 500 * time.Second} {
		if got := left(*s); got > want || got < want-clockSlack {
			t.Errorf("%v: ends in %v, want %v", s.protocol, got, want)
		}
	}
	// A shorter time counts at once, though the alarm stood for later.
	r.setNAT(t, func(n *model.NAT) { n.Timeouts.UDP, n.Timeouts.TCPTransitory = 1, 1 })
	within(t, 4*patience, "the end of both sessions", func() bool { return len(r.sessions(t)) == 0 })
	r.consistent(t)
}

// Inbound refresh and filtering, switched on for a binding that is in use.
func TestFilteringChangesLiveSessions(t *testing.T) {
	t.Parallel()
	r := newRig(t, 1)
	r.mute(t, 0)
	r.setNAT(t, func(n *model.NAT) { n.UDPFiltering = model.EndpointIndependent })
	r.fromEndpoint(t, 0, segment{protocol: model.UDP, from: inside(0, 4000), to: stranger(7, 80)})
	external := r.external(t, model.UDP, inside(0, 4000))
	r.setNAT(t, func(n *model.NAT) { n.UDPFiltering, n.UDPInboundRefresh = model.AddressDependent, true })
	r.fromRemote(t,
		segment{protocol: model.UDP, from: stranger(7, 81), to: external}, // its remote's other port
		segment{protocol: model.UDP, from: stranger(8, 80), to: external})
	r.dropped(t, "filtered-remote", 1)
	r.atEndpoint[0].await(t, "packet of the known remote", 1, is(model.UDP, stranger(7, 81), inside(0, 4000)))
	r.setNAT(t, func(n *model.NAT) { n.Timeouts.UDP = 3 })
	for range 8 { // inbound packets alone keep it
		r.fromRemote(t, segment{protocol: model.UDP, from: stranger(7, 80), to: external})
		time.Sleep(500 * time.Millisecond) // the time that is to pass is what is tested
	}
	if _, has := r.session(t, model.UDP, inside(0, 4000), stranger(7, 80)); !has {
		t.Error("the session ended though packets came in")
	}
	must(t, r.dp.EndSessions(func(Session) bool { return true }))
	if !r.empty(t) {
		t.Error("the tables are not empty")
	}
}

// A NAT that loses ports ends the sessions on them; the others live on.
func TestRangesChangeLiveSessions(t *testing.T) {
	t.Parallel()
	r := newTinyRig(t, 8) // 5000-5007
	r.mute(t, 0)
	if got := r.usable(t, model.UDP); len(got) != 8 {
		t.Fatalf("%d ports usable, want 8", len(got))
	}
	r.config.Pools[0].Addresses[0].Ports = []model.PortRange{{Low: 5004, High: 5011}}
	r.apply(t)
	for _, s := range r.sessions(t) {
		if s.External.Port() < 5004 {
			t.Errorf("a session on port %d lives on", s.External.Port())
		}
	}
	if got := len(r.sessions(t)); got != 4 {
		t.Errorf("%d sessions, want the 4 on ports that are left", got)
	}
}
