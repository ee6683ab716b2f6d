package control

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hostnat/hostnat/internal/event"
	"github.com/hostnat/hostnat/internal/nat"
)

// roam gives the fake host these prefixes and lets the control see it.
func roam(t *testing.T, c *Control, k *fakeKernel, prefixes ...string) {
	t.Helper()
	k.prefixes = nil
	for _, p := range prefixes {
		k.prefixes = append(k.prefixes, nat.HostPrefix{Prefix: netip.MustParsePrefix(p), Source: "address of wlan0"})
	}
	if err := c.Reconcile(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// heard are the announcements since the last call.
func heard(k *fakeKernel) (out []string) {
	for _, e := range k.heard {
		out = append(out, e.Name+": "+e.Message())
	}
	k.heard = nil
	return out
}

func problemsOf(t *testing.T, c *Control) []string {
	t.Helper()
	s, err := c.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return s.Problems
}

func TestOverlapIsAnnounced(t *testing.T) {
	t.Parallel()
	c, k, _ := withWeb(t)
	roam(t, c, k, "172.16.0.0/16")
	roam(t, c, k, "172.16.0.0/16") // still there: nothing new to say
	want := []string{"NetworkOverlap: Network web (172.16.1.0/24) overlaps 172.16.0.0/16 of the host (address of wlan0)."}
	if diff := cmp.Diff(want, heard(k)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if p := problemsOf(t, c); len(p) != 1 || !strings.Contains(p[0], "hostnat network renumber web") {
		t.Errorf("problems %q", p)
	}
	roam(t, c, k)
	want = []string{"NetworkOverlapEnd: Network web (172.16.1.0/24) does not overlap 172.16.0.0/16 of the host (address of wlan0) any more."}
	if diff := cmp.Diff(want, heard(k)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if p := problemsOf(t, c); len(p) != 0 {
		t.Errorf("problems %q", p)
	}
	if n, _ := c.Network(t.Context(), "web"); n.Subnet.String() != "172.16.1.0/24" {
		t.Errorf("a network that is kept moved to %s", n.Subnet)
	}
}

func TestOverlapRenumbers(t *testing.T) {
	t.Parallel()
	c, k, s := withWeb(t)
	if _, err := c.SetNetwork(t.Context(), "web", map[string]string{"overlap": "renumber"}); err != nil {
		t.Fatal(err)
	}
	k.sessions = []nat.Session{
		{Network: "web", Internal: netip.MustParseAddrPort("172.16.1.2:1")}, {Network: "lab", Internal: netip.MustParseAddrPort("172.16.1.2:1")},
	}
	roam(t, c, k, "172.16.0.0/16")
	got := heard(k)
	if len(got) != 3 || !strings.HasPrefix(got[0], "NetworkOverlap:") || !strings.HasPrefix(got[1], "NetworkOverlapEnd:") ||
		got[2] != "NetworkRenumber: Network web moved from 172.16.1.0/24 to 172.17.0.0/24, and its sessions ended." {
		t.Errorf("announced %q", got)
	}
	if len(k.sessions) != 1 || k.sessions[0].Network != "lab" {
		t.Errorf("sessions left: %v", k.sessions)
	}
	if diff := cmp.Diff([]string{"web"}, k.replug); diff != "" {
		t.Errorf("networks whose machines are to ask again (-want +got):\n%s", diff)
	}
	config, _ := c.snapshot()
	same(t, c, k, s, config)
	if e := config.Endpoints[0]; e.Address.String() != "172.17.0.2" || config.Mappings[0].InternalText() != "172.17.0.2:80" {
		t.Errorf("endpoint at %s, mapping to %s", e.Address, config.Mappings[0].InternalText())
	}
	roam(t, c, k) // home again: nothing moves back
	if after, _ := c.snapshot(); after.Networks[0].Subnet != config.Networks[0].Subnet {
		t.Errorf("moved again, to %s", after.Networks[0].Subnet)
	}
	if got := heard(k); len(got) != 0 {
		t.Errorf("announced %q", got)
	}
}

// TestSetOverlapMovesNow: a network that overlaps when it is told to move.
func TestSetOverlapMovesNow(t *testing.T) {
	t.Parallel()
	c, k, _ := withWeb(t)
	roam(t, c, k, "172.16.1.0/24")
	n, err := c.SetNetwork(t.Context(), "web", map[string]string{"overlap": "renumber"})
	if err != nil || n.Subnet.Overlaps(netip.MustParsePrefix("172.16.1.0/24")) {
		t.Errorf("%+v, %v", n, err)
	}
}

func TestRenumberFails(t *testing.T) {
	t.Parallel()
	c, k, s := withWeb(t)
	before, _ := c.snapshot()
	k.refuse = func(config nat.Config) error {
		if config.Networks[0].Subnet != before.Networks[0].Subnet {
			return errKernel
		}
		return nil
	}
	if _, err := c.RenumberNetwork(t.Context(), "web", ""); err == nil {
		t.Fatal("it worked")
	}
	same(t, c, k, s, before)
	if len(k.replug) != 0 {
		t.Errorf("machines of %v are told of a move that was none", k.replug)
	}
	for _, e := range k.heard {
		if e.ID == event.NetworkRenumber {
			t.Errorf("announced %s", e.Message())
		}
	}
}

func TestInventory(t *testing.T) {
	t.Parallel()
	c, k, _ := withWeb(t)
	k.absent = map[string]error{"c1": nat.Errorf(nat.NotFound, "gone")}
	roam(t, c, k)
	i := c.Inventory(t.Context())
	if i.Absent["c1"] == nil || len(i.Problems) != 0 || i.Counters.MaxSessions != 100 || len(i.Config.Networks) != 1 {
		t.Errorf("%+v", i)
	}
	k.broken = errKernel
	if i = c.Inventory(t.Context()); len(i.Problems) != 1 || !strings.Contains(i.Problems[0], errKernel.Error()) {
		t.Errorf("problems %q", i.Problems)
	}
}
