package datapath

import (
	"net/netip"
	"testing"
	"time"

	"github.com/hostnat/hostnat/internal/model"
)

// limited sets the NAT's limits for an endpoint.
func (r *rig) limited(t *testing.T, limits model.Limits) {
	t.Helper()
	n := r.config.NATs[rigNAT]
	n.Limits = limits
	r.config.NATs[rigNAT] = n
	r.apply(t)
}

// count waits until an endpoint has so many sessions and refusals.
func (r *rig) count(t *testing.T, i, sessions int, refused uint64) {
	t.Helper()
	r.dropped(t, "endpoint-limit", refused)
	eventually(t, "sessions", func() bool {
		found := 0
		for _, s := range r.sessions(t) {
			if s.Internal.Addr() == endpointAddress(i) {
				found++
			}
		}
		return found == sessions
	})
}

// RFC 6888 REQ-5: an endpoint has so many sessions and no more; its neighbours
// and its old sessions do not notice, and one that ends makes room.
func TestSessionsOfEndpointAreLimited(t *testing.T) {
	t.Parallel()
	r := newRig(t, 2)
	r.mute(t, 0)
	r.mute(t, 1)
	r.limited(t, model.Limits{Sessions: 4})
	open := func(i int, remote byte) {
		r.fromEndpoint(t, i, segment{protocol: model.UDP, from: inside(i, 4000), to: stranger(remote, 80)})
	}
	for remote := range byte(6) {
		open(0, remote)
	}
	r.count(t, 0, 4, 2)
	open(1, 0)
	r.count(t, 1, 1, 2)
	open(0, 0) // an old one goes on
	r.atRemote.await(t, "old session's packet", 2, func(p packet) bool {
		return p.from == r.external(t, model.UDP, inside(0, 4000)) && p.to == stranger(0, 80)
	})
	must(t, r.dp.EndSessions(func(s Session) bool { return s.Internal == inside(0, 4000) && s.Remote == stranger(1, 80) }))
	open(0, 9)
	r.count(t, 0, 4, 2)
	must(t, r.dp.EndSessions(func(Session) bool { return true }))
	open(0, 10)
	r.count(t, 0, 1, 2)
}

// RFC 6888 REQ-4: likewise external ports, however many sessions each has. The
// refusal is answered (RFC 5508 REQ-8).
func TestPortsOfEndpointAreLimited(t *testing.T) {
	t.Parallel()
	r := newRig(t, 2)
	r.mute(t, 0)
	r.mute(t, 1)
	r.limited(t, model.Limits{Ports: 3})
	for port := range uint16(5) {
		r.fromEndpoint(t, 0, segment{protocol: model.UDP, from: inside(0, 4000+port), to: stranger(7, 80)})
	}
	r.count(t, 0, 3, 2)
	r.atEndpoint[0].await(t, "ICMP 3/13", 2, func(p packet) bool { return p.protocol == model.ICMP && p.data[34] == 3 && p.data[35] == 13 })
	for remote := range byte(5) { // more sessions of a port that it has
		r.fromEndpoint(t, 0, segment{protocol: model.UDP, from: inside(0, 4000), to: stranger(20+remote, 80)})
	}
	r.count(t, 0, 8, 2)
	r.fromEndpoint(t, 1, segment{protocol: model.UDP, from: inside(1, 4004), to: stranger(7, 80)})
	r.count(t, 1, 1, 2)
	must(t, r.dp.EndSessions(func(s Session) bool { return s.Internal == inside(0, 4001) }))
	r.fromEndpoint(t, 0, segment{protocol: model.UDP, from: inside(0, 4004), to: stranger(7, 80)})
	r.count(t, 0, 8, 2)
}

// RFC 6888 REQ-4C, cilium#3232: an endpoint that opens sessions as fast as it
// can gets so many a second; its neighbour gets all of its own.
func TestNewSessionsOfEndpointAreLimited(t *testing.T) {
	t.Parallel()
	r := newRig(t, 2)
	r.mute(t, 0)
	r.mute(t, 1)
	r.limited(t, model.Limits{Rate: 10})
	flood := make([]segment, 500)
	for i := range flood {
		flood[i] = segment{protocol: model.TCP, flags: syn, from: inside(0, uint16(4000+i)), to: stranger(7, 80)}
	}
	began := time.Now()
	r.fromEndpoint(t, 0, flood...)
	for port := range uint16(5) {
		r.fromEndpoint(t, 1, segment{protocol: model.TCP, flags: syn, from: inside(1, 4000+port), to: stranger(7, 80)})
		r.external(t, model.TCP, inside(1, 4000+port))
	}
	eventually(t, "every packet's fate", func() bool {
		return len(r.sessions(t))-5+int(r.drops(t)["endpoint-limit"]) == len(flood)
	})
	seconds := int(time.Since(began)/time.Second) + 2
	if got := len(r.sessions(t)) - 5; got < 10 || got > 10*seconds {
		t.Errorf("%d sessions in less than %d s, want 10 a second", got, seconds)
	}
}

// RFC 6888 REQ-8, decision D8: a freed port rests before somebody else gets it;
// its own inside port may have it back. TCP's states have rested already.
func TestFreedPortRests(t *testing.T) {
	t.Parallel()
	r := newTinyRig(t, 1)
	r.mute(t, 0)
	n := r.config.NATs[rigNAT]
	n.HoldDown = 3
	r.config.NATs[rigNAT] = n
	r.apply(t)
	end := func() { must(t, r.dp.EndSessions(func(Session) bool { return true })) }
	for _, p := range []model.Protocol{model.UDP, model.ICMP} {
		first := r.flow(t, p, 4000)
		end()
		if got := r.flow(t, p, 4001); got != 0 {
			t.Errorf("%v: port %d was given to another at once", p, got)
		}
		if got := r.flow(t, p, 4000); got != first { // the same inside port takes its binding up again
			t.Errorf("%v: its own inside port got %d, want %d", p, got, first)
		}
		r.atRemote.await(t, "its packet", 2, is(p, netip.AddrPortFrom(hostAddress, first), netip.AddrPort{}))
		end()
		freed := time.Now()
		within(t, 4*patience, "the port", func() bool { return r.flow(t, p, 4001) == first })
		if rested := time.Since(freed); rested < 2*time.Second {
			t.Errorf("%v: the port rested %v, want 3 s", p, rested)
		}
		end()
	}
	first := r.flow(t, model.TCP, 4000)
	end()
	if got := r.flow(t, model.TCP, 4001); got != first {
		t.Errorf("TCP: got port %d, want %d at once", got, first)
	}
}

// A flood of forged connections at a mapping fills its endpoint's share alone.
func TestFloodAtMappingSparesNeighbours(t *testing.T) {
	t.Parallel()
	r := newRig(t, 2)
	r.mute(t, 0)
	r.mute(t, 1)
	r.config.Mappings[1] = mapping(model.TCP, "0.0.0.0:8080", inside(0, 80))
	r.setNAT(t, func(n *model.NAT) { n.Limits.Sessions = 100 })
	segments := make([]segment, 500)
	for i := range segments {
		from := netip.AddrPortFrom(netip.AddrFrom4([4]byte{198, 51, 100, byte(i)}), uint16(1000+i))
		segments[i] = segment{protocol: model.TCP, flags: syn, from: from, to: netip.AddrPortFrom(hostAddress, 8080)}
	}
	r.fromRemote(t, segments...)
	r.dropped(t, "endpoint-limit", 400)
	r.fromEndpoint(t, 1, segment{protocol: model.TCP, flags: syn, from: inside(1, 4000), to: stranger(7, 81)})
	r.atRemote.await(t, "the neighbour's connection", 1, func(p packet) bool { return p.to == stranger(7, 81) })
}
