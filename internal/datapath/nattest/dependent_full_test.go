package nattest

import (
	"net/netip"
	"testing"
	"time"

	"github.com/hostnat/hostnat/internal/datapath"
	"github.com/hostnat/hostnat/internal/datapath/dptest/wire"
	"github.com/hostnat/hostnat/internal/model"
)

// Who sends to one remote from ever new ports, when all ports for that remote are taken, costs
// no more than who opens flows: the ports are not searched for each packet. A port that is left
// is given again at once, and so is that of a connection that closes.
func TestRemoteWithoutPortsIsRemembered(t *testing.T) {
	t.Parallel()
	const ports, flood = 8192, 2000
	for _, p := range []model.Protocol{model.UDP, model.TCP} {
		t.Run(p.String(), func(t *testing.T) {
			t.Parallel()
			r := newTinyRig(t, ports)
			r.Mute(t, 0)
			setNAT(t, r, func(n *model.NAT) { n.EndpointDependent = true })
			remote := wire.Unanswered(7, 80)
			send := func(from, to int) time.Duration {
				begin := time.Now()
				for port := from; port < to; port++ {
					r.FromEndpoint(t, 0, wire.Segment{Protocol: p, Flags: wire.Syn, From: wire.Inside(0, uint16(port)), To: remote})
				}
				return time.Since(begin)
			}
			opened := send(1000, 1000+ports) // each of which has a port
			send(1000+ports, 1000+2*ports)   // none of these, or the last of those before
			count := func() (n int) {
				for _, s := range r.Sessions(t) {
					if s.Remote == remote {
						n++
					}
				}
				return n
			}
			if n := count(); n < ports*15/16 || n > ports {
				t.Fatalf("%d sessions with %d ports", n, ports)
			}
			refused := send(30000, 30000+flood)
			t.Logf("a flow that is opened takes %v, one that is refused %v", opened/ports, refused/flood)
			if refused/flood > 5*(opened/ports) {
				t.Errorf("to refuse a flow takes %v, to open one %v", refused/flood, opened/ports)
			}
			before := count()
			bound := make(map[netip.AddrPort]bool)
			for _, b := range r.Bindings(t) {
				bound[b.External] = true
			}
			var given datapath.Session
			for _, s := range r.Sessions(t) {
				if s.Remote == remote && !bound[s.External] {
					given = s
				}
			}
			if p == model.TCP { // it is closed, and so its port may be had back
				r.FromRemote(t, wire.Segment{Protocol: p, Flags: wire.SynAck, From: remote, To: given.External})
				r.FromEndpoint(t, 0, wire.Segment{Protocol: p, Flags: wire.Ack, From: given.Internal, To: remote})
				r.FromRemote(t, wire.Segment{Protocol: p, Flags: wire.FinAck, From: remote, To: given.External})
				r.FromEndpoint(t, 0, wire.Segment{Protocol: p, Flags: wire.FinAck, From: given.Internal, To: remote})
			} else {
				wire.Must(t, r.Datapath.EndSessions(func(s datapath.Session) bool { return s.Internal == given.Internal && s.Remote == remote }))
			}
			r.FromEndpoint(t, 0, wire.Segment{Protocol: p, Flags: wire.Syn, From: wire.Inside(0, 40000), To: remote})
			wire.Eventually(t, "the next flow to have the port", func() bool {
				s, has := r.Session(t, p, wire.Inside(0, 40000), remote)
				return has && s.External == given.External
			})
			if n := count(); n != before {
				t.Errorf("%d sessions, before %d", n, before)
			}
		})
	}
}
