package nattest

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hostnat/hostnat/dev/lab"
	"github.com/hostnat/hostnat/internal/datapath"
	"github.com/hostnat/hostnat/internal/datapath/dptest"
	"github.com/hostnat/hostnat/internal/datapath/dptest/wire"
	"github.com/hostnat/hostnat/internal/model"
)

// ranged is a mapping of a run of ports; the n-th external one leads to the n-th
// internal one of each target.
func ranged(t *testing.T, p model.Protocol, external string, internal ...string) datapath.Mapping {
	t.Helper()
	m := datapath.Mapping{NAT: wire.RigNAT, Compartment: wire.RigCompartment, Protocol: p}
	wire.Must(t, m.External.UnmarshalText([]byte(external)))
	for _, text := range internal {
		to := datapath.Target{Network: wire.RigNetwork}
		wire.Must(t, to.Internal.UnmarshalText([]byte(text)))
		m.Targets = append(m.Targets, to)
	}
	return m
}

// A range is one element however long it is, and its ports work like mappings
// of their own: both ways, first and last one, shifted.
func TestRangeIsOneElement(t *testing.T) {
	t.Parallel()
	r := dptest.NewRig(t, 1)
	r.Mute(t, 0)
	r.Config.Mappings[1] = ranged(t, model.UDP, "0.0.0.0:2000-61999", "172.16.1.2:1000-60999")
	r.Apply(t)
	if n := dptest.Size(t, r.Datapath.Objects().Mappings); n != 1 || len(r.Bindings(t)) != 0 {
		t.Errorf("%d elements and %d bindings before there is traffic, want 1 and 0", n, len(r.Bindings(t)))
	}
	for _, port := range []uint16{2000, 2001, 30000, 61999} {
		external, internal := netip.AddrPortFrom(wire.HostAddress, port), wire.Inside(0, port-1000)
		r.FromRemote(t, wire.Segment{Protocol: model.UDP, From: wire.Unanswered(7, 9), To: external})
		r.AtEndpoint[0].Await(t, "packet in", 1, wire.Is(model.UDP, wire.Unanswered(7, 9), internal))
		r.FromEndpoint(t, 0, wire.Segment{Protocol: model.UDP, From: internal, To: wire.Unanswered(7, 9)})
		r.AtRemote.Await(t, "answer", 1, wire.Is(model.UDP, external, wire.Unanswered(7, 9)))
	}
	// What lies beside it is not mapped.
	r.FromRemote(t, wire.Segment{Protocol: model.UDP, From: wire.Unanswered(7, 9), To: netip.AddrPortFrom(wire.HostAddress, 1999)},
		wire.Segment{Protocol: model.UDP, From: wire.Unanswered(7, 9), To: netip.AddrPortFrom(wire.HostAddress, 62000)},
		wire.Segment{Protocol: model.TCP, Flags: wire.Syn, From: wire.Unanswered(7, 9), To: netip.AddrPortFrom(wire.HostAddress, 2000)})
	// Its ports are the way out of the endpoint's, for any remote (RFC 4787 REQ-1).
	r.FromEndpoint(t, 0, wire.Segment{Protocol: model.UDP, From: wire.Inside(0, 5000), To: wire.Unanswered(8, 1)})
	r.AtRemote.Await(t, "packet out", 1, wire.Is(model.UDP, netip.AddrPortFrom(wire.HostAddress, 6000), wire.Unanswered(8, 1)))
	if got := len(r.Sessions(t)); got != 5 {
		t.Errorf("%d sessions, want 5: %v", got, r.Sessions(t))
	}
	consistentRanges(t, r)
	// With their last session the ports' bindings go; the range stays.
	wire.Must(t, r.Datapath.EndSessions(func(datapath.Session) bool { return true }))
	if got := len(r.Bindings(t)); got != 0 {
		t.Errorf("%d bindings without sessions: %v", got, r.Bindings(t))
	}
}

// consistentRanges is consistent without the index, which ranges do not use.
func consistentRanges(t *testing.T, r *dptest.Rig) {
	t.Helper()
	counted := 0
	for _, b := range r.Bindings(t) {
		counted += int(b.Sessions)
	}
	if sessions := len(r.Sessions(t)); counted != sessions {
		t.Errorf("bindings count %d sessions, there are %d", counted, sessions)
	}
}

// The most specific wins: a range on one address before a port on any.
func TestRangeOnOneAddressGoesBeforePortOnAny(t *testing.T) {
	t.Parallel()
	r := dptest.NewRig(t, 2)
	r.SecondAddress(t)
	r.Mute(t, 0)
	r.Mute(t, 1)
	r.Config.Mappings[1] = dptest.Mapping(model.UDP, "0.0.0.0:8080", wire.Inside(0, 80))
	r.Config.Mappings[2] = ranged(t, model.UDP, "203.0.113.10:8000-8999", "172.16.1.3:8000-8999")
	r.Config.Mappings[3] = ranged(t, model.UDP, "0.0.0.0:8000-8079", "172.16.1.2:8000-8079")
	r.Apply(t)
	second := netip.MustParseAddr("203.0.113.10")
	r.FromRemote(t, wire.Segment{Protocol: model.UDP, From: wire.Unanswered(7, 1), To: netip.AddrPortFrom(wire.HostAddress, 8080)},
		wire.Segment{Protocol: model.UDP, From: wire.Unanswered(7, 1), To: netip.AddrPortFrom(second, 8080)},
		wire.Segment{Protocol: model.UDP, From: wire.Unanswered(7, 1), To: netip.AddrPortFrom(wire.HostAddress, 8010)},
		wire.Segment{Protocol: model.UDP, From: wire.Unanswered(7, 1), To: netip.AddrPortFrom(second, 8010)})
	r.AtEndpoint[0].Await(t, "port on any address", 1, wire.Is(model.UDP, wire.Unanswered(7, 1), wire.Inside(0, 80)))
	r.AtEndpoint[1].Await(t, "range on one address", 1, wire.Is(model.UDP, wire.Unanswered(7, 1), wire.Inside(1, 8080)))
	r.AtEndpoint[0].Await(t, "range on any address", 1, wire.Is(model.UDP, wire.Unanswered(7, 1), wire.Inside(0, 8010)))
	r.AtEndpoint[1].Await(t, "range on one address", 1, wire.Is(model.UDP, wire.Unanswered(7, 1), wire.Inside(1, 8010)))
}

// Moving, narrowing and deleting a range ends its sessions at once; another
// range's live on (design, rule 7).
func TestRangeChangesLive(t *testing.T) {
	t.Parallel()
	r := dptest.NewRig(t, 2)
	r.Mute(t, 0)
	r.Mute(t, 1)
	at := netip.AddrPortFrom(wire.HostAddress, 8500)
	beside := netip.AddrPortFrom(wire.HostAddress, 9500)
	send := func() {
		r.FromRemote(t, wire.Segment{Protocol: model.UDP, From: wire.Unanswered(7, 1), To: at}, wire.Segment{Protocol: model.UDP, From: wire.Unanswered(7, 1), To: beside})
	}
	r.Config.Mappings[1] = ranged(t, model.UDP, "0.0.0.0:8000-8999", "172.16.1.2:8000-8999")
	r.Config.Mappings[2] = ranged(t, model.UDP, "0.0.0.0:9000-9999", "172.16.1.2:9000-9999")
	r.Apply(t)
	send()
	r.AtEndpoint[0].Await(t, "to the first target", 1, wire.Is(model.UDP, wire.Unanswered(7, 1), wire.Inside(0, 8500)))
	r.Config.Mappings[1] = ranged(t, model.UDP, "0.0.0.0:8000-8999", "172.16.1.3:8000-8999")
	r.Apply(t)
	send()
	r.AtEndpoint[1].Await(t, "to the new target", 1, wire.Is(model.UDP, wire.Unanswered(7, 1), wire.Inside(1, 8500)))
	narrowed := r.Config.Mappings[1]
	delete(r.Config.Mappings, 1)
	narrowed.From = []netip.Prefix{netip.MustParsePrefix("198.51.100.8/32")}
	r.Config.Mappings[3] = narrowed
	r.Apply(t)
	send()
	r.Dropped(t, "remote-not-allowed", 1)
	delete(r.Config.Mappings, 3)
	r.Apply(t)
	send()
	r.AtEndpoint[0].Await(t, "to the untouched range", 4, wire.Is(model.UDP, wire.Unanswered(7, 1), wire.Inside(0, 9500)))
	if n := len(r.AtEndpoint[0].Came(wire.Is(model.UDP, wire.Unanswered(7, 1), wire.Inside(0, 8500)))); n != 1 {
		t.Errorf("the old target got %d packets, want the one from before", n)
	}
	if n := len(r.AtEndpoint[1].Came(wire.Is(model.UDP, wire.Unanswered(7, 1), wire.Inside(1, 8500)))); n != 1 {
		t.Errorf("the moved target got %d packets, want 1", n)
	}
	if s, _ := r.Session(t, model.UDP, wire.Inside(0, 9500), wire.Unanswered(7, 1)); s.PacketsIn != 4 {
		t.Errorf("the untouched range's session counts %d packets, want the same one with 4", s.PacketsIn)
	}
}

// A range takes its ports from dynamic bindings, and keeps them off.
func TestRangeAndDynamicPorts(t *testing.T) {
	t.Parallel()
	r := newTinyRig(t, 6) // 5000-5005
	r.Mute(t, 0)
	if got := usable(t, r, model.UDP); len(got) != 6 {
		t.Fatalf("%d ports usable, want 6", len(got))
	}
	r.Config.Mappings[1] = ranged(t, model.UDP, "0.0.0.0:5000-5003", "172.16.1.2:80-83")
	r.Apply(t)
	left := map[uint16]bool{}
	for _, s := range r.Sessions(t) {
		left[s.External.Port()] = true
	}
	if diff := cmp.Diff(map[uint16]bool{5004: true, 5005: true}, left); diff != "" {
		t.Errorf("dynamic ports that live on (-want +got):\n%s", diff)
	}
	wire.Must(t, r.Datapath.EndSessions(func(datapath.Session) bool { return true }))
	wantPorts(t, usable(t, r, model.UDP), 5004, 5005)
	delete(r.Config.Mappings, 1)
	wire.Must(t, r.Datapath.EndSessions(func(datapath.Session) bool { return true }))
	r.Apply(t)
	wantPorts(t, usable(t, r, model.UDP), 5000, 5001, 5002, 5003, 5004, 5005)
}

// The host's own clients and other endpoints reach a range like any mapping.
func TestRangeFromHostAndByHairpin(t *testing.T) {
	t.Parallel()
	r := dptest.NewRig(t, 2)
	ctx := wire.WithTimeout(t)
	r.Config.Mappings[1] = ranged(t, model.TCP, "0.0.0.0:8000-8009", "172.16.1.2:80-89")
	r.Apply(t)
	server, err := lab.EchoServer(r.Endpoints[0], "tcp", "172.16.1.2:85")
	wire.Must(t, err)
	defer server.Close()
	for name, from := range map[string]*lab.Namespace{"remote": r.Remote, "neighbour": r.Endpoints[1], "itself": r.Endpoints[0]} {
		if _, err := lab.Ask(ctx, from, "tcp", lab.HostAddress+":8005"); err != nil {
			t.Errorf("from %s: %v; drops %v", name, err, r.Drops(t))
		}
	}
}
