package datapath

import (
	"math/rand/v2"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hostnat/hostnat/dev/lab"
	"github.com/hostnat/hostnat/internal/model"
)

// ranged is a mapping of a run of ports; the n-th external one leads to the n-th
// internal one of each target.
func ranged(t *testing.T, p model.Protocol, external string, internal ...string) Mapping {
	t.Helper()
	m := Mapping{NAT: rigNAT, Compartment: rigCompartment, Protocol: p}
	must(t, m.External.UnmarshalText([]byte(external)))
	for _, text := range internal {
		to := Target{Network: rigNetwork}
		must(t, to.Internal.UnmarshalText([]byte(text)))
		m.Targets = append(m.Targets, to)
	}
	return m
}

func TestPortPrefixesCoverTheirRangeOnce(t *testing.T) {
	t.Parallel()
	ranges := []model.PortRange{{Low: 1, High: 65535}, {Low: 8000, High: 8999}, {Low: 65535, High: 65535}, {Low: 1024, High: 1025}}
	for range 200 {
		a, b := uint16(rand.IntN(65535)+1), uint16(rand.IntN(65535)+1)
		ranges = append(ranges, model.PortRange{Low: min(a, b), High: max(a, b)})
	}
	for _, r := range ranges {
		prefixes := portPrefixes(r)
		if len(prefixes) > 30 {
			t.Errorf("%v: %d prefixes", r, len(prefixes))
		}
		next := uint32(r.Low)
		for _, p := range prefixes {
			size := uint32(1) << (16 - p.length)
			if uint32(p.port) != next || uint32(p.port)%size != 0 {
				t.Errorf("%v: prefix %+v, want one aligned and from %d", r, p, next)
			}
			next += size
		}
		if next != uint32(r.High)+1 {
			t.Errorf("%v: ends before %d", r, next)
		}
	}
}

// A range is one element however long it is, and its ports work like mappings
// of their own: both ways, first and last one, shifted.
func TestRangeIsOneElement(t *testing.T) {
	t.Parallel()
	r := newRig(t, 1)
	r.mute(t, 0)
	r.config.Mappings[1] = ranged(t, model.UDP, "0.0.0.0:2000-61999", "172.16.1.2:1000-60999")
	r.apply(t)
	if n := size(t, r.dp.objects.Mappings); n != 1 || len(r.bindings(t)) != 0 {
		t.Errorf("%d elements and %d bindings before there is traffic, want 1 and 0", n, len(r.bindings(t)))
	}
	for _, port := range []uint16{2000, 2001, 30000, 61999} {
		external, internal := netip.AddrPortFrom(hostAddress, port), inside(0, port-1000)
		r.fromRemote(t, segment{protocol: model.UDP, from: stranger(7, 9), to: external})
		r.atEndpoint[0].await(t, "packet in", 1, is(model.UDP, stranger(7, 9), internal))
		r.fromEndpoint(t, 0, segment{protocol: model.UDP, from: internal, to: stranger(7, 9)})
		r.atRemote.await(t, "answer", 1, is(model.UDP, external, stranger(7, 9)))
	}
	// What lies beside it is not mapped.
	r.fromRemote(t, segment{protocol: model.UDP, from: stranger(7, 9), to: netip.AddrPortFrom(hostAddress, 1999)},
		segment{protocol: model.UDP, from: stranger(7, 9), to: netip.AddrPortFrom(hostAddress, 62000)},
		segment{protocol: model.TCP, flags: syn, from: stranger(7, 9), to: netip.AddrPortFrom(hostAddress, 2000)})
	// Its ports are the way out of the endpoint's, for any remote (RFC 4787 REQ-1).
	r.fromEndpoint(t, 0, segment{protocol: model.UDP, from: inside(0, 5000), to: stranger(8, 1)})
	r.atRemote.await(t, "packet out", 1, is(model.UDP, netip.AddrPortFrom(hostAddress, 6000), stranger(8, 1)))
	if got := len(r.sessions(t)); got != 5 {
		t.Errorf("%d sessions, want 5: %v", got, r.sessions(t))
	}
	r.consistentRanges(t)
	// With their last session the ports' bindings go; the range stays.
	must(t, r.dp.EndSessions(func(Session) bool { return true }))
	if got := len(r.bindings(t)); got != 0 {
		t.Errorf("%d bindings without sessions: %v", got, r.bindings(t))
	}
}

// consistentRanges is consistent without the index, which ranges do not use.
func (r *rig) consistentRanges(t *testing.T) {
	t.Helper()
	counted := 0
	for _, b := range r.bindings(t) {
		counted += int(b.Sessions)
	}
	if sessions := len(r.sessions(t)); counted != sessions {
		t.Errorf("bindings count %d sessions, there are %d", counted, sessions)
	}
}

// The most specific wins: a range on one address before a port on any.
func TestRangeOnOneAddressGoesBeforePortOnAny(t *testing.T) {
	t.Parallel()
	r := newRig(t, 2)
	r.secondAddress(t)
	r.mute(t, 0)
	r.mute(t, 1)
	r.config.Mappings[1] = mapping(model.UDP, "0.0.0.0:8080", inside(0, 80))
	r.config.Mappings[2] = ranged(t, model.UDP, "203.0.113.10:8000-8999", "172.16.1.3:8000-8999")
	r.config.Mappings[3] = ranged(t, model.UDP, "0.0.0.0:8000-8079", "172.16.1.2:8000-8079")
	r.apply(t)
	second := netip.MustParseAddr("203.0.113.10")
	r.fromRemote(t, segment{protocol: model.UDP, from: stranger(7, 1), to: netip.AddrPortFrom(hostAddress, 8080)},
		segment{protocol: model.UDP, from: stranger(7, 1), to: netip.AddrPortFrom(second, 8080)},
		segment{protocol: model.UDP, from: stranger(7, 1), to: netip.AddrPortFrom(hostAddress, 8010)},
		segment{protocol: model.UDP, from: stranger(7, 1), to: netip.AddrPortFrom(second, 8010)})
	r.atEndpoint[0].await(t, "port on any address", 1, is(model.UDP, stranger(7, 1), inside(0, 80)))
	r.atEndpoint[1].await(t, "range on one address", 1, is(model.UDP, stranger(7, 1), inside(1, 8080)))
	r.atEndpoint[0].await(t, "range on any address", 1, is(model.UDP, stranger(7, 1), inside(0, 8010)))
	r.atEndpoint[1].await(t, "range on one address", 1, is(model.UDP, stranger(7, 1), inside(1, 8010)))
}

// Moving, narrowing and deleting a range ends its sessions at once; another
// range's live on (design, rule 7).
func TestRangeChangesLive(t *testing.T) {
	t.Parallel()
	r := newRig(t, 2)
	r.mute(t, 0)
	r.mute(t, 1)
	at := netip.AddrPortFrom(hostAddress, 8500)
	beside := netip.AddrPortFrom(hostAddress, 9500)
	send := func() {
		r.fromRemote(t, segment{protocol: model.UDP, from: stranger(7, 1), to: at}, segment{protocol: model.UDP, from: stranger(7, 1), to: beside})
	}
	r.config.Mappings[1] = ranged(t, model.UDP, "0.0.0.0:8000-8999", "172.16.1.2:8000-8999")
	r.config.Mappings[2] = ranged(t, model.UDP, "0.0.0.0:9000-9999", "172.16.1.2:9000-9999")
	r.apply(t)
	send()
	r.atEndpoint[0].await(t, "to the first target", 1, is(model.UDP, stranger(7, 1), inside(0, 8500)))
	r.config.Mappings[1] = ranged(t, model.UDP, "0.0.0.0:8000-8999", "172.16.1.3:8000-8999")
	r.apply(t)
	send()
	r.atEndpoint[1].await(t, "to the new target", 1, is(model.UDP, stranger(7, 1), inside(1, 8500)))
	narrowed := r.config.Mappings[1]
	delete(r.config.Mappings, 1)
	narrowed.From = []netip.Prefix{netip.MustParsePrefix("198.51.100.8/32")}
	r.config.Mappings[3] = narrowed
	r.apply(t)
	send()
	r.dropped(t, "remote-not-allowed", 1)
	delete(r.config.Mappings, 3)
	r.apply(t)
	send()
	r.atEndpoint[0].await(t, "to the untouched range", 4, is(model.UDP, stranger(7, 1), inside(0, 9500)))
	if n := len(r.atEndpoint[0].came(is(model.UDP, stranger(7, 1), inside(0, 8500)))); n != 1 {
		t.Errorf("the old target got %d packets, want the one from before", n)
	}
	if n := len(r.atEndpoint[1].came(is(model.UDP, stranger(7, 1), inside(1, 8500)))); n != 1 {
		t.Errorf("the moved target got %d packets, want 1", n)
	}
	if s, _ := r.session(t, model.UDP, inside(0, 9500), stranger(7, 1)); s.PacketsIn != 4 {
		t.Errorf("the untouched range's session counts %d packets, want the same one with 4", s.PacketsIn)
	}
}

// A range takes its ports from dynamic bindings, and keeps them off.
func TestRangeAndDynamicPorts(t *testing.T) {
	t.Parallel()
	r := newTinyRig(t, 6) // 5000-5005
	r.mute(t, 0)
	if got := r.usable(t, model.UDP); len(got) != 6 {
		t.Fatalf("%d ports usable, want 6", len(got))
	}
	r.config.Mappings[1] = ranged(t, model.UDP, "0.0.0.0:5000-5003", "172.16.1.2:80-83")
	r.apply(t)
	left := map[uint16]bool{}
	for _, s := range r.sessions(t) {
		left[s.External.Port()] = true
	}
	if diff := cmp.Diff(map[uint16]bool{5004: true, 5005: true}, left); diff != "" {
		t.Errorf("dynamic ports that live on (-want +got):\n%s", diff)
	}
	must(t, r.dp.EndSessions(func(Session) bool { return true }))
	wantPorts(t, r.usable(t, model.UDP), 5004, 5005)
	delete(r.config.Mappings, 1)
	must(t, r.dp.EndSessions(func(Session) bool { return true }))
	r.apply(t)
	wantPorts(t, r.usable(t, model.UDP), 5000, 5001, 5002, 5003, 5004, 5005)
}

// The host's own clients and other endpoints reach a range like any mapping.
func TestRangeFromHostAndByHairpin(t *testing.T) {
	t.Parallel()
	r := newRig(t, 2)
	ctx := withTimeout(t)
	r.config.Mappings[1] = ranged(t, model.TCP, "0.0.0.0:8000-8009", "172.16.1.2:80-89")
	r.apply(t)
	server, err := lab.EchoServer(r.Endpoints[0], "tcp", "172.16.1.2:85")
	must(t, err)
	defer server.Close()
	for name, from := range map[string]*lab.Namespace{"remote": r.Remote, "neighbour": r.Endpoints[1], "itself": r.Endpoints[0]} {
		if _, err := lab.Ask(ctx, from, "tcp", lab.HostAddress+":8005"); err != nil {
			t.Errorf("from %s: %v; drops %v", name, err, r.drops(t))
		}
	}
}
