package control

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hostnat/hostnat/internal/config"
	"github.com/hostnat/hostnat/internal/event"
	"github.com/hostnat/hostnat/internal/model"
)

// roam gives the fake host these prefixes and lets the control see it.
func roam(t *testing.T, c *Control, k *fakeKernel, prefixes ...string) {
	t.Helper()
	k.prefixes = nil
	for _, p := range prefixes {
		k.prefixes = append(k.prefixes, model.HostPrefix{Prefix: netip.MustParsePrefix(p), Source: "address of wlan0"})
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
	if n, _ := c.Network(t.Context(), "web"); n.Subnet4().String() != "172.16.1.0/24" {
		t.Errorf("a network that is kept moved to %s", n.Subnet4())
	}
}

func TestOverlapRenumbers(t *testing.T) {
	t.Parallel()
	c, k, s := withWeb(t)
	if _, err := c.SetNetwork(t.Context(), "web", map[string]string{"overlap": "renumber"}); err != nil {
		t.Fatal(err)
	}
	k.sessions = []model.Session{
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
	if diff := cmp.Diff([]string{"web"}, k.bounced); diff != "" {
		t.Errorf("networks whose machines are to ask again (-want +got):\n%s", diff)
	}
	cfg, _ := c.snapshot()
	same(t, c, k, s, cfg)
	if e := cfg.Endpoints[0]; e.Address4().String() != "172.17.0.2" || cfg.Mappings[0].InternalText() != "172.17.0.2:80" {
		t.Errorf("endpoint at %s, mapping to %s", e.Address4(), cfg.Mappings[0].InternalText())
	}
	roam(t, c, k) // home again: nothing moves back
	if after, _ := c.snapshot(); after.Networks[0].Subnet4() != cfg.Networks[0].Subnet4() {
		t.Errorf("moved again, to %s", after.Networks[0].Subnet4())
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
	if err != nil || n.Subnet4().Overlaps(netip.MustParsePrefix("172.16.1.0/24")) {
		t.Errorf("%+v, %v", n, err)
	}
}

// TestUnroutedNetworkOnTheHostsLAN: a network that the host's routing tables leave out
// may have the LAN's prefix. What it may not have is a gateway that somebody there
// has, nor may the LAN's router become its gateway.
func TestUnroutedNetworkOnTheHostsLAN(t *testing.T) {
	t.Parallel()
	c, k, s := withWeb(t)
	router, machine, free := netip.MustParseAddr("192.168.7.1"), netip.MustParseAddr("192.168.7.9"), "192.168.7.200"
	k.routers = []model.HostMachine{{Address: router, Source: "router of the default route via eth0"}}
	k.holders = map[netip.Addr]model.MAC{machine: "02:00:00:00:00:09"}
	create := func(name, gateway, compartment string) error {
		_, err := c.CreateNetwork(t.Context(), config.NetworkSpec{Name: name, Subnet: "192.168.7.0/24", Gateway: gateway, Compartment: compartment})
		return err
	}
	before, _ := c.snapshot()
	for gateway, mentions := range map[string]string{"192.168.7.1": "router of the default route", "192.168.7.5": "address of eth0", "192.168.7.9": "MAC 02:00:00:00:00:09"} {
		for _, compartment := range []string{"red", model.EachCompartment} {
			err := create("red", gateway, compartment)
			if model.CodeOf(err) != model.Conflict || !strings.Contains(err.Error(), mentions) {
				t.Errorf("gateway %s, compartment %s: %v", gateway, compartment, err)
			}
		}
	}
	same(t, c, k, s, before)
	for name, compartment := range map[string]string{"red": "red", "snap": model.EachCompartment} {
		if err := create(name, free, compartment); err != nil {
			t.Fatal(err)
		}
	}
	roam(t, c, k)
	if p, e := problemsOf(t, c), heard(k); len(p) != 0 || len(e) != 0 {
		t.Errorf("problems %q, announced %q", p, e)
	}
	if _, err := c.SetNetwork(t.Context(), "red", map[string]string{"overlap": "renumber"}); err != nil {
		t.Fatal(err)
	}
	k.routers[0].Address = netip.MustParseAddr(free)
	roam(t, c, k)
	if got := heard(k); len(got) != 4 || !strings.HasPrefix(got[3], "NetworkRenumber: Network red moved from 192.168.7.0/24 to ") {
		t.Errorf("announced %q", got)
	}
	p := problemsOf(t, c)
	if len(p) != 1 || !strings.HasPrefix(p[0], "network snap (192.168.7.0/24) has the gateway 192.168.7.200, which the host's own network has too (router of the default route via eth0): ") ||
		!strings.Contains(p[0], "hostnat network renumber snap") {
		t.Errorf("problems %q", p)
	}
	// Where it moves to, its gateway is to be nobody's either.
	k.holders[netip.MustParseAddr("192.168.7.129")] = "02:00:00:00:00:81"
	if _, err := c.RenumberNetwork(t.Context(), "snap", "192.168.7.128/25"); model.CodeOf(err) != model.Conflict || !strings.Contains(err.Error(), "MAC 02:00:00:00:00:81") {
		t.Errorf("to where a machine is: %v", err)
	}
	if n, err := c.Network(t.Context(), "snap"); err != nil || n.Subnet4().String() != "192.168.7.0/24" {
		t.Errorf("a refused move changed it to %s, %v", n.Subnet4(), err)
	}
}

func TestRenumberFails(t *testing.T) {
	t.Parallel()
	c, k, s := withWeb(t)
	before, _ := c.snapshot()
	k.refuse = func(cfg config.Config) error {
		if cfg.Networks[0].Subnet4() != before.Networks[0].Subnet4() {
			return errKernel
		}
		return nil
	}
	if _, err := c.RenumberNetwork(t.Context(), "web", ""); err == nil {
		t.Fatal("it worked")
	}
	same(t, c, k, s, before)
	if len(k.bounced) != 0 {
		t.Errorf("machines of %v are told of a move that was none", k.bounced)
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
	k.absent = map[string]error{"c1": model.Errorf(model.NotFound, "gone")}
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

// A network that is to move and has nowhere to go stays, says why, does not make
// the setting fail, and moves when there is a place.
func TestOverlapWithNowhereToGo(t *testing.T) {
	t.Parallel()
	c, k, _ := withWeb(t)
	everywhere := []string{"172.16.0.0/12", "10.0.0.0/8", "192.168.0.0/16"}
	roam(t, c, k, everywhere...)
	n, err := c.SetNetwork(t.Context(), "web", map[string]string{"overlap": "renumber"})
	if err != nil || n.Overlap != model.Renumber || n.Subnet4().String() != "172.16.1.0/24" {
		t.Fatalf("%v: %+v", err, n)
	}
	roam(t, c, k, everywhere...)
	if p := problemsOf(t, c); len(p) != 1 || !strings.Contains(p[0], "to move by itself, but no subnet is free") || !strings.Contains(p[0], "hostnat pool add") {
		t.Errorf("problems %q", p)
	}
	roam(t, c, k, everywhere[0])
	if n, err := c.Network(t.Context(), "web"); err != nil || n.Subnet4().String() != "10.0.0.0/24" || len(problemsOf(t, c)) != 0 {
		t.Errorf("%v: the network is %s; problems %q", err, n.Subnet4(), problemsOf(t, c))
	}
}
