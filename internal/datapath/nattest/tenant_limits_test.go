package nattest

import (
	"net/netip"
	"testing"
	"time"

	"github.com/hostnat/hostnat/internal/datapath"
	"github.com/hostnat/hostnat/internal/datapath/dptest"
	"github.com/hostnat/hostnat/internal/datapath/dptest/wire"
	"github.com/hostnat/hostnat/internal/model"
)

// limited sets the NAT's limits for an endpoint.
func limited(t *testing.T, r *dptest.Rig, limits model.Limits) {
	t.Helper()
	n := r.Config.NATs[wire.RigNAT]
	n.Limits = limits
	r.Config.NATs[wire.RigNAT] = n
	r.Apply(t)
}

// count waits until an endpoint has so many sessions and refusals.
func count(t *testing.T, r *dptest.Rig, i, sessions int, refused uint64) {
	t.Helper()
	r.Dropped(t, "endpoint-limit", refused)
	wire.Eventually(t, "sessions", func() bool {
		found := 0
		for _, s := range r.Sessions(t) {
			if s.Internal.Addr() == wire.EndpointAddress(i) {
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
	r := dptest.NewRig(t, 2)
	r.Mute(t, 0)
	r.Mute(t, 1)
	limited(t, r, model.Limits{Sessions: 4})
	open := func(i int, remote byte) {
		r.FromEndpoint(t, i, wire.Segment{Protocol: model.UDP, From: wire.Inside(i, 4000), To: wire.Unanswered(remote, 80)})
	}
	for remote := range byte(6) {
		open(0, remote)
	}
	count(t, r, 0, 4, 2)
	open(1, 0)
	count(t, r, 1, 1, 2)
	open(0, 0) // an old one goes on
	r.AtRemote.Await(t, "old session's packet", 2, func(p wire.Packet) bool {
		return p.From == r.External(t, model.UDP, wire.Inside(0, 4000)) && p.To == wire.Unanswered(0, 80)
	})
	wire.Must(t, r.Datapath.EndSessions(func(s datapath.Session) bool {
		return s.Internal == wire.Inside(0, 4000) && s.Remote == wire.Unanswered(1, 80)
	}))
	open(0, 9)
	count(t, r, 0, 4, 2)
	wire.Must(t, r.Datapath.EndSessions(func(datapath.Session) bool { return true }))
	open(0, 10)
	count(t, r, 0, 1, 2)
}

// RFC 6888 REQ-4: likewise external ports, however many sessions each has. The
// refusal is answered (RFC 5508 REQ-8).
func TestPortsOfEndpointAreLimited(t *testing.T) {
	t.Parallel()
	r := dptest.NewRig(t, 2)
	r.Mute(t, 0)
	r.Mute(t, 1)
	limited(t, r, model.Limits{Ports: 3})
	for port := range uint16(5) {
		r.FromEndpoint(t, 0, wire.Segment{Protocol: model.UDP, From: wire.Inside(0, 4000+port), To: wire.Unanswered(7, 80)})
	}
	count(t, r, 0, 3, 2)
	r.AtEndpoint[0].Await(t, "ICMP 3/13", 2, func(p wire.Packet) bool { return p.Protocol == model.ICMP && p.Data[34] == 3 && p.Data[35] == 13 })
	for remote := range byte(5) { // more sessions of a port that it has
		r.FromEndpoint(t, 0, wire.Segment{Protocol: model.UDP, From: wire.Inside(0, 4000), To: wire.Unanswered(20+remote, 80)})
	}
	count(t, r, 0, 8, 2)
	r.FromEndpoint(t, 1, wire.Segment{Protocol: model.UDP, From: wire.Inside(1, 4004), To: wire.Unanswered(7, 80)})
	count(t, r, 1, 1, 2)
	wire.Must(t, r.Datapath.EndSessions(func(s datapath.Session) bool { return s.Internal == wire.Inside(0, 4001) }))
	r.FromEndpoint(t, 0, wire.Segment{Protocol: model.UDP, From: wire.Inside(0, 4004), To: wire.Unanswered(7, 80)})
	count(t, r, 0, 8, 2)
}

// RFC 6888 REQ-4C, cilium#3232: an endpoint that opens sessions as fast as it
// can gets so many a second; its neighbour gets all of its own.
func TestNewSessionsOfEndpointAreLimited(t *testing.T) {
	t.Parallel()
	r := dptest.NewRig(t, 2)
	r.Mute(t, 0)
	r.Mute(t, 1)
	limited(t, r, model.Limits{Rate: 10})
	flood := make([]wire.Segment, 500)
	for i := range flood {
		flood[i] = wire.Segment{Protocol: model.TCP, Flags: wire.Syn, From: wire.Inside(0, uint16(4000+i)), To: wire.Unanswered(7, 80)}
	}
	began := time.Now()
	r.FromEndpoint(t, 0, flood...)
	for port := range uint16(5) {
		r.FromEndpoint(t, 1, wire.Segment{Protocol: model.TCP, Flags: wire.Syn, From: wire.Inside(1, 4000+port), To: wire.Unanswered(7, 80)})
		r.External(t, model.TCP, wire.Inside(1, 4000+port))
	}
	wire.Eventually(t, "every packet's fate", func() bool {
		return len(r.Sessions(t))-5+int(r.Drops(t)["endpoint-limit"]) == len(flood)
	})
	seconds := int(time.Since(began)/time.Second) + 2
	if got := len(r.Sessions(t)) - 5; got < 10 || got > 10*seconds {
		t.Errorf("%d sessions in less than %d s, want 10 a second", got, seconds)
	}
}

// RFC 6888 REQ-4, without any limit set: the last 1/32 of an address's ports is for
// endpoints that have few, so one alone does not shut out its neighbours.
func TestLastPortsAreForThoseWithFew(t *testing.T) {
	t.Parallel()
	const ports, kept = 320, 10
	for _, protocol := range []model.Protocol{model.UDP, model.TCP} {
		t.Run(protocol.String(), func(t *testing.T) {
			t.Parallel()
			r := dptest.NewRig(t, 2)
			r.Mute(t, 0)
			r.Mute(t, 1)
			r.Config.Pools[0].Addresses[0].Ports = []model.PortRange{{Low: 5000, High: 5000 + ports - 1}}
			r.Apply(t)
			flood := make([]wire.Segment, ports+80)
			for i := range flood {
				flood[i] = wire.Segment{Protocol: protocol, Flags: wire.Syn, From: wire.Inside(0, uint16(4000+i)), To: wire.Unanswered(7, 80)}
			}
			r.FromEndpoint(t, 0, flood...)
			wire.Eventually(t, "every packet's fate", func() bool {
				return len(r.Sessions(t))+int(r.Drops(t)["out-of-ports"]) == len(flood)
			})
			if got := len(r.Bindings(t)); got != ports-kept {
				t.Errorf("one endpoint has %d of %d ports, want %d", got, ports, ports-kept)
			}
			r.FromEndpoint(t, 1, wire.Segment{Protocol: protocol, Flags: wire.Syn, From: wire.Inside(1, 4000), To: wire.Unanswered(7, 80)})
			r.External(t, protocol, wire.Inside(1, 4000))
		})
	}
}

// RFC 6888 REQ-8, decision D8: a freed port is in hold-down before somebody else gets it;
// its own inside port may have it back. TCP's states have rested already.
func TestFreedPortRests(t *testing.T) {
	t.Parallel()
	r := newTinyRig(t, 2)
	r.Mute(t, 0)
	n := r.Config.NATs[wire.RigNAT]
	n.HoldDown = 3
	r.Config.NATs[wire.RigNAT] = n
	r.Apply(t)
	end := func() { wire.Must(t, r.Datapath.EndSessions(func(datapath.Session) bool { return true })) }
	for _, p := range []model.Protocol{model.UDP, model.ICMP} {
		first := flow(t, r, p, 4000)
		end()
		other := flow(t, r, p, 4001)
		if other == first || other == 0 {
			t.Errorf("%v: port %d was given to another, though one is free", p, other)
		}
		if got := flow(t, r, p, 4000); got != first { // the same inside port takes its binding up again
			t.Errorf("%v: its own inside port got %d, want %d", p, got, first)
		}
		r.AtRemote.Await(t, "its packet", 2, wire.Is(p, netip.AddrPortFrom(wire.HostAddress, first), netip.AddrPort{}))
		end()
		// With no other left, the port that has been in hold-down for longest is had back.
		if got := flow(t, r, p, 4002); got != first && got != other {
			t.Errorf("%v: port %d, want one of those in hold-down", p, got)
		}
		end()
	}
	single := newTinyRig(t, 1)
	single.Mute(t, 0)
	first := flow(t, single, model.TCP, 4000)
	wire.Must(t, single.Datapath.EndSessions(func(datapath.Session) bool { return true }))
	if got := flow(t, single, model.TCP, 4001); got != first {
		t.Errorf("TCP: got port %d, want %d at once", got, first)
	}
}

// A flood of forged connections at a mapping fills its endpoint's share alone.
func TestFloodAtMappingSparesNeighbours(t *testing.T) {
	t.Parallel()
	r := dptest.NewRig(t, 2)
	r.Mute(t, 0)
	r.Mute(t, 1)
	r.Config.Mappings[1] = dptest.Mapping(model.TCP, "0.0.0.0:8080", wire.Inside(0, 80))
	setNAT(t, r, func(n *model.NAT) { n.Limits.Sessions = 100 })
	segments := make([]wire.Segment, 500)
	for i := range segments {
		from := netip.AddrPortFrom(netip.AddrFrom4([4]byte{198, 51, 100, byte(i)}), uint16(1000+i))
		segments[i] = wire.Segment{Protocol: model.TCP, Flags: wire.Syn, From: from, To: netip.AddrPortFrom(wire.HostAddress, 8080)}
	}
	r.FromRemote(t, segments...)
	r.Dropped(t, "endpoint-limit", 400)
	r.FromEndpoint(t, 1, wire.Segment{Protocol: model.TCP, Flags: wire.Syn, From: wire.Inside(1, 4000), To: wire.Unanswered(7, 81)})
	r.AtRemote.Await(t, "the neighbour's connection", 1, func(p wire.Packet) bool { return p.To == wire.Unanswered(7, 81) })
}
