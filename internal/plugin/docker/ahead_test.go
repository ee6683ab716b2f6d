package docker

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/moby/moby/api/types/network"

	"github.com/hostnat/hostnat/api"
)

// TestFixedPorts: what Docker draws is not known before the start.
func TestFixedPorts(t *testing.T) {
	t.Parallel()
	address := netip.MustParseAddr("192.0.2.1")
	got := fixedPorts(network.PortMap{
		network.MustParsePort("80/tcp"): {{HostPort: "8080"}, {HostPort: ""}, {HostPort: "0"}, {HostPort: "8000-8010"}},
		network.MustParsePort("53/udp"): {{HostIP: address, HostPort: "53"}},
	})
	slices.SortFunc(got, func(a, b Port) int { return int(b.Public) - int(a.Public) })
	want := []Port{{"tcp", netip.Addr{}, 8080, 80}, {"udp", address, 53, 53}}
	if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestStartingContainers: one that is about to start counts as running until it does, or
// for a minute.
func TestStartingContainers(t *testing.T) {
	t.Parallel()
	f := New(Options{})
	f.starting["now"] = starting{Container: Container{ID: "now"}, since: time.Now()}
	f.starting["runs"] = starting{Container: Container{ID: "runs", Name: "ahead"}, since: time.Now()}
	f.starting["old"] = starting{Container: Container{ID: "old"}, since: time.Now().Add(-2 * startsWithin)}
	got := f.withStarting([]Container{{ID: "runs", Name: "as listed"}})
	if len(got) != 2 || got[0].Name != "as listed" || got[1].ID != "now" {
		t.Errorf("containers: %+v", got)
	}
	if len(f.starting) != 1 || !f.running["runs"] || f.running["now"] {
		t.Errorf("then %v start and %v run", f.starting, f.running)
	}
}

// TestUrgency: nothing is looked at while Docker starts a container that is ready.
func TestUrgency(t *testing.T) {
	t.Parallel()
	f := New(Options{})
	f.starting["ready"] = starting{Container: Container{ID: "ready", Links: []Attachment{{Network: "shop"}}}, since: time.Now()}
	f.running["runs"] = true
	for _, test := range []struct {
		h    happening
		want urgency
	}{
		{happening{kind: "container", action: "start", container: "ready"}, soon},
		{happening{kind: "container", action: "start", container: "other"}, atOnce},
		{happening{kind: "network", action: "connect", container: "runs"}, atOnce},
		{happening{kind: "network", action: "connect", container: "unknown"}, atOnce},
		{happening{kind: "container", action: "die", container: "ready"}, atOnce},
		{happening{kind: "container", action: "start", container: "ready"}, atOnce}, // again: it is not ready any more
	} {
		if got := f.hears(t.Context(), nil, test.h); got != test.want {
			t.Errorf("%+v: urgency %d, want %d", test.h, got, test.want)
		}
	}
}

// TestStateOfOneContainer: a plan for one leaves Docker's other containers alone, and
// knows the names of everybody else's endpoints.
func TestStateOfOneContainer(t *testing.T) {
	t.Parallel()
	has := State{
		Endpoints: []api.Endpoint{{Name: "vm"}, {Name: "c1", Owner: Owner, Labels: labels}, {Name: "c2", Owner: Owner, Labels: map[string]string{LabelContainer: "id2"}}},
		Mappings:  []api.Mapping{{ID: 1}, {ID: 2, Owner: Owner, Labels: labels}, {ID: 3, Owner: Owner, Labels: map[string]string{LabelContainer: "id2"}}},
	}
	got := has.of("id1")
	if len(got.Endpoints) != 2 || got.Endpoints[1].Name != "c1" || len(got.Mappings) != 2 || got.Mappings[1].ID != 2 {
		t.Errorf("of one container: %+v", got)
	}
	if len(has.Endpoints) != 3 || has.Endpoints[2].Name != "c2" {
		t.Error("the state itself has changed")
	}
}
