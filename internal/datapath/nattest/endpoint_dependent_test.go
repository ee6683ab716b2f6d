package nattest

import (
	"net/netip"
	"testing"

	"github.com/hostnat/hostnat/internal/datapath"
	"github.com/hostnat/hostnat/internal/datapath/dptest"
	"github.com/hostnat/hostnat/internal/datapath/dptest/wire"
	"github.com/hostnat/hostnat/internal/event"
	"github.com/hostnat/hostnat/internal/model"
)

// setNAT changes the rig's NAT.
func setNAT(t *testing.T, r *dptest.Rig, change func(*model.NAT)) {
	t.Helper()
	n := r.Config.NATs[wire.RigNAT]
	change(&n)
	r.Config.NATs[wire.RigNAT] = n
	r.Apply(t)
}

// RFC 7857 section 3, by choice: used-up ports serve one session for each
// remote. Endpoint-independent bindings stay as they are.
func TestEndpointDependentMappingGoesOn(t *testing.T) {
	t.Parallel()
	for _, p := range []model.Protocol{model.UDP, model.TCP} {
		t.Run(p.String(), func(t *testing.T) {
			t.Parallel()
			r := newTinyRig(t, 4) // one of them is kept for endpoint-dependent mapping
			r.Mute(t, 0)
			setNAT(t, r, func(n *model.NAT) { n.EndpointDependent = true })
			w := watchEvents(t, r)
			const flows = 20
			for i := range flows {
				r.FromEndpoint(t, 0, wire.Segment{Protocol: p, Flags: wire.Syn, From: wire.Inside(0, uint16(4000+i)), To: wire.Unanswered(byte(i), 80)})
			}
			wire.Eventually(t, "sessions", func() bool { return len(r.Sessions(t)) == flows })
			shared := map[uint16]int{}
			for _, s := range r.Sessions(t) {
				shared[s.External.Port()]++
			}
			if shared[5003] != flows-3 || len(shared) != 4 {
				t.Errorf("sessions by external port: %v, want %d on 5003", shared, flows-3)
			}
			begun := w.until(t, event.EndpointDependentBegin, 1)
			if e := begun[len(begun)-1]; e.NAT != wire.RigNAT {
				t.Errorf("event %+v", e)
			}
			answersOf(t, r, p, flows)
			// Nobody else reaches such a port, whatever the filtering.
			r.FromRemote(t, wire.Segment{Protocol: p, Flags: wire.Syn, From: wire.Unanswered(200, 80), To: netip.AddrPortFrom(wire.HostAddress, 5003)})
			// The same remote again finds no port: each is taken for it.
			if got := flow(t, r, p, 4100); got != 0 {
				// stranger(7, 80) has a session on 5003 or one of the others: one may be left
				t.Logf("a second flow to the remote got port %d", got)
			}
			wire.Must(t, r.Datapath.EndSessions(func(datapath.Session) bool { return true }))
			w.until(t, event.EndpointDependentEnd, 1)
			if n := dptest.Size(t, r.Datapath.Objects().DependentPorts); n != 0 {
				t.Errorf("%d reservations without sessions", n)
			}
			if !r.Empty(t) {
				t.Error("the tables are not empty")
			}
		})
	}
}

// answersOf lets each remote answer, and checks that it reaches its own endpoint's port.
func answersOf(t *testing.T, r *dptest.Rig, p model.Protocol, flows int) {
	t.Helper()
	for i := range flows {
		s, has := r.Session(t, p, wire.Inside(0, uint16(4000+i)), wire.Unanswered(byte(i), 80))
		if !has {
			t.Fatalf("no session %d", i)
		}
		r.FromRemote(t, wire.Segment{Protocol: p, Flags: wire.Syn | wire.Ack, From: wire.Unanswered(byte(i), 80), To: s.External})
		r.AtEndpoint[0].Await(t, "answer", 1, wire.Is(p, wire.Unanswered(byte(i), 80), wire.Inside(0, uint16(4000+i))))
	}
}

// A mapping need not wait for a port in hold-down, and gives it back.
func TestMappingTakesPortThatRests(t *testing.T) {
	t.Parallel()
	r := newTinyRig(t, 1)
	r.Mute(t, 0)
	setNAT(t, r, func(n *model.NAT) { n.HoldDown = 1 })
	flow(t, r, model.UDP, 4000)
	wire.Must(t, r.Datapath.EndSessions(func(datapath.Session) bool { return true }))
	r.Config.Mappings[1] = dptest.Mapping(model.UDP, "0.0.0.0:5000", wire.Inside(0, 80))
	r.Apply(t)
	r.FromRemote(t, wire.Segment{Protocol: model.UDP, From: wire.Unanswered(7, 1), To: netip.AddrPortFrom(wire.HostAddress, 5000)})
	r.AtEndpoint[0].Await(t, "packet to the mapping", 1, wire.Is(model.UDP, wire.Unanswered(7, 1), wire.Inside(0, 80)))
	delete(r.Config.Mappings, 1)
	r.Apply(t)
	wire.Eventually(t, "the port is free again", func() bool { return flow(t, r, model.UDP, 4001) == 5000 })
}
