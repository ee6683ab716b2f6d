package test

import (
	"cmp"
	"net/netip"
	"slices"
	"syscall"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/hostnat/hostnat/api"
	"github.com/hostnat/hostnat/dev/lab"
)

const (
	outside   = lab.RemoteAddress + ":7" // an Echo server of the remote
	published = lab.HostAddress + ":8080"
)

// TestKillAndRestart kills the daemon with -9 during 1,000 open TCP connections
// with data moving, half of them outbound and half to a published port, and
// starts it again. None breaks, no external port changes, traffic does not
// pause, and new flows are set up while it is away.
func TestKillAndRestart(t *testing.T) {
	h := startHost(t)
	h.echo(h.Remote, "tcp", outside)
	h.echo(h.inside, "tcp", ":80")
	k := newTalkers(t)
	if err := k.open(t.Context(), h.inside, outside, 500); err != nil {
		t.Fatal(err)
	}
	if err := k.open(t.Context(), h.Remote, published, 500); err != nil {
		t.Fatal(err)
	}
	k.talk()
	k.waitRound(h)
	before := h.flows()
	if len(before) != 1000 {
		t.Errorf("%d sessions, want 1000", len(before))
	}
	checkSeen(t, k, before)

	h.end(syscall.SIGKILL)
	k.waitRound(h)
	h.checkNewFlows()
	h.start()
	k.waitRound(h)

	if diff := gocmp.Diff(before, h.flowsIn(before), gocmp.Comparer(sameFlow)); diff != "" {
		t.Errorf("sessions before and after the restart (-before +after):\n%s", diff)
	}
	h.checkNewFlows()
	k.hangUp(t)
	t.Logf("%d exchanges, the slowest took %v", k.exchanges.Load(), time.Duration(k.slowest.Load()))
	if slowest := time.Duration(k.slowest.Load()); slowest > 3*time.Second {
		t.Errorf("traffic paused: an exchange took %v", slowest)
	}
}

// flows returns all TCP sessions, sorted.
func (h *host) flows() []api.Session {
	h.t.Helper()
	list, err := h.Sessions(h.t.Context(), api.Filter{Protocol: "tcp"})
	if err != nil {
		h.t.Fatal(err)
	}
	slices.SortFunc(list, func(a, b api.Session) int {
		return cmp.Or(a.Internal.Compare(b.Internal), a.Remote.Compare(b.Remote))
	})
	return list
}

// flowsIn leaves out the sessions that came since.
func (h *host) flowsIn(before []api.Session) []api.Session {
	h.t.Helper()
	type key struct{ internal, remote netip.AddrPort }
	old := map[key]bool{}
	for _, s := range before {
		old[key{s.Internal, s.Remote}] = true
	}
	return slices.DeleteFunc(h.flows(), func(s api.Session) bool { return !old[key{s.Internal, s.Remote}] })
}

// sameFlow compares a session with what it was earlier: identity, state and
// time of creation stay, counters grow.
func sameFlow(a, b api.Session) bool {
	return a.NAT == b.NAT && a.Network == b.Network && a.Endpoint == b.Endpoint && a.Compartment == b.Compartment &&
		a.Protocol == b.Protocol && a.Internal == b.Internal && a.External == b.External && a.Remote == b.Remote &&
		a.State == b.State && a.CreatedAt.Sub(b.CreatedAt).Abs() < time.Second &&
		(a.PacketsIn < b.PacketsIn) == (a.PacketsOut < b.PacketsOut) && a.PacketsIn != b.PacketsIn
}

// checkSeen compares what the servers saw as their peers with the table.
func checkSeen(t *testing.T, k *talkers, sessions []api.Session) {
	t.Helper()
	known := map[netip.AddrPort]bool{}
	for _, s := range sessions {
		if s.External.Port() == 8080 { // the server is inside: it sees the remote's own address
			known[s.Remote] = true
		} else {
			known[s.External] = true
		}
	}
	for i, seen := range k.seen {
		if !known[seen] {
			t.Errorf("connection %d is seen as %v, which no session has", i, seen)
		}
	}
}

// checkNewFlows sets one up in both directions.
func (h *host) checkNewFlows() {
	h.t.Helper()
	seen, err := lab.Ask(h.t.Context(), h.inside, "tcp", outside)
	if err != nil || seen.Addr().String() != lab.HostAddress {
		h.t.Errorf("new outbound connection: seen as %v, %v", seen, err)
	}
	seen, err = lab.Ask(h.t.Context(), h.Remote, "tcp", published)
	if err != nil || seen.Addr().String() != lab.RemoteAddress {
		h.t.Errorf("new connection to the published port: seen as %v, %v", seen, err)
	}
}
