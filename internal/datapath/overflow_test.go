package datapath

import (
	"net/netip"
	"testing"

	"github.com/hostnat/hostnat/internal/event"
	"github.com/hostnat/hostnat/internal/model"
)

// setNAT changes the rig's NAT.
func (r *rig) setNAT(t *testing.T, change func(*model.NAT)) {
	t.Helper()
	n := r.config.NATs[rigNAT]
	change(&n)
	r.config.NATs[rigNAT] = n
	r.apply(t)
}

// RFC 7857 section 3, by choice: used-up ports serve one session for each
// remote. Endpoint-independent bindings stay as they are.
func TestOverflowGoesOnWithEndpointDependentMapping(t *testing.T) {
	t.Parallel()
	for _, p := range []model.Protocol{model.UDP, model.TCP} {
		t.Run(p.String(), func(t *testing.T) {
			t.Parallel()
			r := newTinyRig(t, 4) // one of them is kept for overflow
			r.mute(t, 0)
			r.setNAT(t, func(n *model.NAT) { n.Overflow = true })
			w := r.watchEvents(t)
			const flows = 20
			for i := range flows {
				r.fromEndpoint(t, 0, segment{protocol: p, flags: syn, from: inside(0, uint16(4000+i)), to: stranger(byte(i), 80)})
			}
			eventually(t, "sessions", func() bool { return len(r.sessions(t)) == flows })
			shared := map[uint16]int{}
			for _, s := range r.sessions(t) {
				shared[s.External.Port()]++
			}
			if shared[5003] != flows-3 || len(shared) != 4 {
				t.Errorf("sessions by external port: %v, want %d on 5003", shared, flows-3)
			}
			begun := w.until(t, event.OverflowBegin, 1)
			if e := begun[len(begun)-1]; e.NAT != rigNAT {
				t.Errorf("event %+v", e)
			}
			r.answersOf(t, p, flows)
			// Nobody else reaches such a port, whatever the filtering.
			r.fromRemote(t, segment{protocol: p, flags: syn, from: stranger(200, 80), to: netip.AddrPortFrom(hostAddress, 5003)})
			// The same remote again finds no port: each is taken for it.
			if got := r.flow(t, p, 4100); got != 0 {
				// stranger(7, 80) has a session on 5003 or one of the others: one may be left
				t.Logf("a second flow to the remote got port %d", got)
			}
			must(t, r.dp.EndSessions(func(Session) bool { return true }))
			w.until(t, event.OverflowEnd, 1)
			if n := size(t, r.dp.objects.DependentPorts); n != 0 {
				t.Errorf("%d reservations without sessions", n)
			}
			if !r.empty(t) {
				t.Error("the tables are not empty")
			}
		})
	}
}

// answersOf lets each remote answer, and checks that it reaches its own endpoint's port.
func (r *rig) answersOf(t *testing.T, p model.Protocol, flows int) {
	t.Helper()
	for i := range flows {
		s, has := r.session(t, p, inside(0, uint16(4000+i)), stranger(byte(i), 80))
		if !has {
			t.Fatalf("no session %d", i)
		}
		r.fromRemote(t, segment{protocol: p, flags: syn | ack, from: stranger(byte(i), 80), to: s.External})
		r.atEndpoint[0].await(t, "answer", 1, is(p, stranger(byte(i), 80), inside(0, uint16(4000+i))))
	}
}

// A mapping need not wait for a port that rests, and gives it back.
func TestMappingTakesPortThatRests(t *testing.T) {
	t.Parallel()
	r := newTinyRig(t, 1)
	r.mute(t, 0)
	r.setNAT(t, func(n *model.NAT) { n.HoldDown = 1 })
	r.flow(t, model.UDP, 4000)
	must(t, r.dp.EndSessions(func(Session) bool { return true }))
	r.config.Mappings[1] = mapping(model.UDP, "0.0.0.0:5000", inside(0, 80))
	r.apply(t)
	r.fromRemote(t, segment{protocol: model.UDP, from: stranger(7, 1), to: netip.AddrPortFrom(hostAddress, 5000)})
	r.atEndpoint[0].await(t, "packet to the mapping", 1, is(model.UDP, stranger(7, 1), inside(0, 80)))
	delete(r.config.Mappings, 1)
	r.apply(t)
	eventually(t, "the port is free again", func() bool { return r.flow(t, model.UDP, 4001) == 5000 })
}
