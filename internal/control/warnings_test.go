package control

import (
	"errors"
	"net/netip"
	"strings"
	"testing"

	"github.com/hostnat/hostnat/internal/config"
	"github.com/hostnat/hostnat/internal/config/warning"
	"github.com/hostnat/hostnat/internal/model"
	"github.com/hostnat/hostnat/internal/store"
)

func warningsOf(t *testing.T, c *Control) string {
	t.Helper()
	s, err := c.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(s.Warnings, "\n")
}

// A warning is there for as long as what it is about.
func TestWarningsGoWhenTheirCauseDoes(t *testing.T) {
	t.Parallel()
	c, k, _ := withWeb(t)
	if got := warningsOf(t, c); got != "" {
		t.Errorf("before: %s", got)
	}
	about := warning.Subject{Kind: warning.OfMapping, ID: 1}
	k.absent = map[string]error{"c1": errors.New("its namespace is gone")}
	if err := c.Reconcile(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := warningsOf(t, c); !strings.Contains(got, `endpoint "c1" is absent`) || got != strings.Join(c.Warnings(t.Context(), about), "\n") {
		t.Errorf("while c1 is absent: %q, and about the mapping %q", got, c.Warnings(t.Context(), about))
	}
	if list := c.Warnings(t.Context(), warning.Subject{Kind: warning.OfNetwork, Name: "web"}); len(list) != 0 {
		t.Errorf("about the network: %q", list)
	}
	k.absent = nil
	if err := c.Reconcile(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := warningsOf(t, c); got != "" {
		t.Errorf("after: %s", got)
	}
}

// A machine that has come this moment is not missed.
func TestWarningsLookAgain(t *testing.T) {
	t.Parallel()
	c, k, _ := withWeb(t)
	m, err := c.AddMapping(t.Context(), config.MappingSpec{Protocol: "tcp", External: "9000", Internal: "172.16.1.40:80"})
	if err != nil {
		t.Fatal(err)
	}
	about := warning.Subject{Kind: warning.OfMapping, ID: m.ID}
	if list := c.Warnings(t.Context(), about); len(list) != 1 || !strings.Contains(list[0], "nobody is known at 172.16.1.40") {
		t.Errorf("warned of %q", list)
	}
	k.observed = []model.Neighbour{{Bridge: "hn-web", Address: netip.MustParseAddr("172.16.1.40"), MAC: "02:00:00:00:00:40"}}
	if list := c.Warnings(t.Context(), about); len(list) != 0 {
		t.Errorf("it is there, and warned of is %q", list)
	}
}

// The host's resolvers and routers stay what they are: nobody takes their addresses, and nobody
// is given a subnet that they are in.
func TestWhatTheHostNeedsIsLeftAlone(t *testing.T) {
	t.Parallel()
	k := &fakeKernel{routers: []model.HostMachine{{Address: netip.MustParseAddr("172.16.1.1"), Source: "router of the default route via eth0"}}}
	s, err := store.Open(store.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	c, err := New(Options{Store: s, Kernel: k, Resolvers: func() []netip.Addr { return []netip.Addr{netip.MustParseAddr("172.16.0.53")} }})
	if err != nil {
		t.Fatal(err)
	}
	n, err := c.CreateNetwork(t.Context(), config.NetworkSpec{Name: "any"})
	if err != nil || n.Subnet4().String() != "172.16.2.0/24" {
		t.Errorf("the free subnet is %v, %v", n.Subnet4(), err)
	}
	if _, err := c.CreateNetwork(t.Context(), config.NetworkSpec{Name: "over", Subnet: "172.16.0.0/24"}); err != nil {
		t.Error(err)
	}
	if got := warningsOf(t, c); !strings.Contains(got, "network over: its subnet 172.16.0.0/24 holds 172.16.0.53, the host's resolver") || strings.Contains(got, "\n") {
		t.Errorf("warned of %q", got)
	}
	for a, code := range map[string]model.Code{"172.16.1.1": model.Conflict, "172.16.0.53": model.Conflict, "192.168.7.0": model.Invalid, "192.168.7.255": model.Invalid} {
		if _, err := c.AddAddress(t.Context(), model.DefaultNAT, a); model.CodeOf(err) != code {
			t.Errorf("external address %s: %v", a, err)
		}
		if _, err := c.CreateNAT(t.Context(), config.NATSpec{Name: "n", ExternalAddresses: []string{a}}); model.CodeOf(err) != code {
			t.Errorf("NAT at %s: %v", a, err)
		}
	}
}
