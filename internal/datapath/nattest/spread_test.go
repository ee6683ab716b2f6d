package nattest

import (
	"net/netip"
	"testing"

	"github.com/hostnat/hostnat/internal/datapath/dptest"
	"github.com/hostnat/hostnat/internal/datapath/dptest/wire"
	"github.com/hostnat/hostnat/internal/model"
)

var spreadAt = netip.AddrPortFrom(wire.HostAddress, 8080)

// knock sends from so many remotes to the mapping, and returns which endpoint
// each got to.
func knock(t *testing.T, r *dptest.Rig, remotes, port int) []int {
	t.Helper()
	got := make([]int, remotes)
	for i := range remotes {
		from := netip.AddrPortFrom(netip.AddrFrom4([4]byte{198, 51, 100, byte(i)}), uint16(port))
		r.FromRemote(t, wire.Segment{Protocol: model.UDP, From: from, To: spreadAt})
		wire.Eventually(t, "packet at an endpoint", func() bool {
			for e := range r.AtEndpoint {
				if len(r.AtEndpoint[e].Came(wire.Is(model.UDP, from, wire.Inside(e, 80)))) > 0 {
					got[i] = e
					return true
				}
			}
			return false
		})
	}
	return got
}

// Several targets: new remotes are spread, each stays with its endpoint over
// all its flows, and one that goes moves its own remotes alone.
func TestMappingWithSeveralTargets(t *testing.T) {
	t.Parallel()
	const remotes = 60
	r := dptest.NewRig(t, 3)
	for i := range 3 {
		r.Mute(t, i)
	}
	r.Config.Mappings[1] = ranged(t, model.UDP, "0.0.0.0:8080", "172.16.1.2:80", "172.16.1.3:80", "172.16.1.4:80")
	r.Apply(t)
	first := knock(t, r, remotes, 1000)
	count := map[int]int{}
	for _, e := range first {
		count[e]++
	}
	// Fair dice: 20 each, give or take 3.7 (one standard deviation).
	for e := range 3 {
		if count[e] < 6 || count[e] > 36 {
			t.Errorf("endpoint %d got %d of %d remotes", e, count[e], remotes)
		}
	}
	for i, e := range knock(t, r, remotes, 1001) {
		if e != first[i] {
			t.Errorf("remote %d moved from endpoint %d to %d", i, first[i], e)
		}
	}
	if got := len(r.Sessions(t)); got != 2*remotes {
		t.Errorf("%d sessions, want %d", got, 2*remotes)
	}
	r.Config.Mappings[1] = ranged(t, model.UDP, "0.0.0.0:8080", "172.16.1.2:80", "172.16.1.4:80")
	r.Apply(t)
	if got, want := len(r.Sessions(t)), 2*(remotes-count[1]); got != want {
		t.Errorf("%d sessions after endpoint 1 went, want the %d of the others", got, want)
	}
	for i, e := range knock(t, r, remotes, 1002) {
		if e == 1 || first[i] != 1 && e != first[i] {
			t.Errorf("remote %d of endpoint %d has come to %d", i, first[i], e)
		}
	}
	r.Consistent(t)
}

// A target that comes back or is new takes no remote away from the others while
// that has sessions: a client stays with its endpoint.
func TestNewTargetLeavesRemotesWhereTheyAre(t *testing.T) {
	t.Parallel()
	const remotes = 30
	r := dptest.NewRig(t, 2)
	r.Mute(t, 0)
	r.Mute(t, 1)
	r.Config.Mappings[1] = ranged(t, model.UDP, "0.0.0.0:8080", "172.16.1.2:80", "172.16.1.9:80")
	r.Apply(t)
	// .9 is nobody: remotes that hash there are not asked.
	var here []netip.AddrPort
	for i := range remotes {
		from := netip.AddrPortFrom(netip.AddrFrom4([4]byte{198, 51, 100, byte(i)}), 1)
		r.FromRemote(t, wire.Segment{Protocol: model.UDP, From: from, To: spreadAt})
		if _, has := r.Session(t, model.UDP, wire.Inside(0, 80), from); has {
			here = append(here, from)
		}
	}
	if len(here) == 0 {
		t.Fatal("no remote came to endpoint 0")
	}
	r.Config.Mappings[1] = ranged(t, model.UDP, "0.0.0.0:8080", "172.16.1.2:80", "172.16.1.9:80", "172.16.1.3:80")
	r.Apply(t)
	for _, from := range here {
		again := netip.AddrPortFrom(from.Addr(), 2)
		r.FromRemote(t, wire.Segment{Protocol: model.UDP, From: again, To: spreadAt})
		r.AtEndpoint[0].Await(t, "second flow of a remote", 1, wire.Is(model.UDP, again, wire.Inside(0, 80)))
	}
}

// Its endpoint's own flows from the port have one of their own outside: the
// mapping's is several endpoints'.
func TestOutboundFromTargetOfSeveral(t *testing.T) {
	t.Parallel()
	r := dptest.NewRig(t, 2)
	r.Mute(t, 0)
	r.Config.Mappings[1] = ranged(t, model.UDP, "0.0.0.0:8080", "172.16.1.2:80", "172.16.1.3:80")
	r.Apply(t)
	r.FromEndpoint(t, 0, wire.Segment{Protocol: model.UDP, From: wire.Inside(0, 80), To: wire.Unanswered(7, 1)})
	external := r.External(t, model.UDP, wire.Inside(0, 80))
	if external.Port() == 8080 {
		t.Errorf("external %v is the mapping's", external)
	}
	r.FromRemote(t, wire.Segment{Protocol: model.UDP, From: wire.Unanswered(7, 1), To: external})
	r.AtEndpoint[0].Await(t, "answer", 1, wire.Is(model.UDP, wire.Unanswered(7, 1), wire.Inside(0, 80)))
}
