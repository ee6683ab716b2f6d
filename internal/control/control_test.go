package control

import (
	"iter"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hostnat/hostnat/internal/config"
	"github.com/hostnat/hostnat/internal/event"
	"github.com/hostnat/hostnat/internal/model"
	"github.com/hostnat/hostnat/internal/store"
)

func TestRestart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	k := &fakeKernel{}
	c, s := start(t, dir, k)
	if _, err := c.CreateNetwork(t.Context(), config.NetworkSpec{Name: "web"}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.AttachEndpoint(t.Context(), config.EndpointSpec{Network: "web", Name: "c1", Netns: "c1"}); err != nil {
		t.Fatal(err)
	}
	want, _ := c.snapshot()
	s.Close()

	rebooted := &fakeKernel{absent: map[string]error{"c1": errKernel}}
	c, s = start(t, dir, rebooted)
	if e, err := c.Endpoint(t.Context(), "c1"); err != nil || e.State != Absent {
		t.Errorf("before the first reconcile: %+v, %v", e, err)
	}
	if err := c.Reconcile(t.Context()); err != nil {
		t.Fatal(err)
	}
	same(t, c, rebooted, s, want)
	if e, err := c.Endpoint(t.Context(), "c1"); err != nil || e.State != Absent {
		t.Errorf("its namespace is gone: %+v, %v", e, err)
	}
	rebooted.absent = nil
	if err := c.Reconcile(t.Context()); err != nil {
		t.Fatal(err)
	}
	if e, err := c.Endpoint(t.Context(), "c1"); err != nil || e.State != Up {
		t.Errorf("its namespace is back: %+v, %v", e, err)
	}
}

func TestDown(t *testing.T) {
	t.Parallel()
	c, k, s := withWeb(t)
	want, _ := c.snapshot()
	if err := c.Down(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := c.Reconcile(t.Context()); err != nil || len(k.applied) != 0 {
		t.Errorf("a netlink change brought it back: %v, %v", k.applied, err)
	}
	e, _ := c.Endpoint(t.Context(), "c1")
	m, _ := c.Mappings(t.Context())
	st, _ := c.Status(t.Context())
	if e.State != Absent || m[0].Active || len(st.Problems) != 1 || !strings.Contains(st.Problems[0], "hostnat down") {
		t.Errorf("endpoint %s, mapping active %v, problems %q", e.State, m[0].Active, st.Problems)
	}
	if stored, _, err := s.Load(); err != nil || len(stored.Networks) != 1 {
		t.Errorf("stored: %+v, %v", stored, err)
	}
	if _, err := c.SetNAT(t.Context(), "default", map[string]string{"profile": "rfc"}); err != nil {
		t.Fatal(err)
	}
	same(t, c, k, s, want)
}

func TestViews(t *testing.T) {
	t.Parallel()
	c, _, _ := withWeb(t)
	got, err := c.AttachEndpoint(t.Context(), config.EndpointSpec{Network: "web", Name: "v1", TAP: "tap0"})
	if err != nil {
		t.Fatal(err)
	}
	want := EndpointView{
		Endpoint: model.Endpoint{
			Name: "v1", ID: got.ID, Network: "web", Kind: model.KindTAP, Target: "tap0", Interface: "tap0",
			Addresses: []netip.Addr{netip.MustParseAddr("172.16.1.3")}, MAC: got.MAC,
		},
		Gateway: netip.MustParseAddr("172.16.1.1"), PrefixLength: 24, MTU: 1400, State: Up, Managed: true, DNS: netip.MustParseAddr("172.16.1.1"), Domain: "web.internal",
		Configure: []string{"MAC " + string(got.MAC), "address 172.16.1.3/24", "gateway 172.16.1.1", "MTU 1400", "DNS 172.16.1.1, search web.internal"},
	}
	if diff := cmp.Diff(want, got, compareNetip); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if all, err := c.Endpoints(t.Context(), "web"); err != nil || len(all) != 2 || all[0].Configure != nil {
		t.Errorf("list: %+v, %v", all, err)
	}
}

func TestAddresses(t *testing.T) {
	t.Parallel()
	c, _, _ := withWeb(t)
	host := netip.MustParseAddr("192.168.7.5")
	want := []AddressView{{NAT: "default", Address: host, Ports: "1024-65535", Interface: "eth0", Source: Interface}}
	if got, err := c.Addresses(t.Context()); err != nil || !cmp.Equal(want, got, compareNetip) {
		t.Errorf("got %+v, %v", got, err)
	}
	fixed := AddressView{NAT: "default", Address: host, Ports: "2000-2999", Interface: "eth0", Source: Fixed}
	if got, err := c.AddAddress(t.Context(), "default", "192.168.7.5:2000-2999"); err != nil || got != fixed {
		t.Errorf("got %+v, %v", got, err)
	}
	if got, err := c.Addresses(t.Context()); err != nil || !cmp.Equal([]AddressView{fixed}, got, compareNetip) {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestStatus(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	before, err := store.Open(store.Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	before.Close()
	if err := os.WriteFile(filepath.Join(dir, store.FileName), []byte("rubbish"), 0o600); err != nil {
		t.Fatal(err)
	}
	k := &fakeKernel{}
	c, _ := start(t, dir, k)
	got, err := c.Status(t.Context())
	if err != nil || len(got.Problems) != 1 || !strings.Contains(got.Problems[0], "was moved to") {
		t.Errorf("problems %q, %v", got.Problems, err)
	}
	if got.Version != "1.2.3" || got.PID != os.Getpid() || got.NATs != 1 || got.Bindings != 2 || got.Sessions != 5 || got.MaxSessions != 100 ||
		got.Drops["spoofed-source"] != 3 || len(got.ExternalAddresses) != 1 {
		t.Errorf("got %+v", got)
	}
	k.refuse = func(config.Config) error { return errKernel }
	if err := c.Reconcile(t.Context()); err == nil {
		t.Error("no error")
	}
	k.broken = errKernel
	got, err = c.Status(t.Context())
	if err != nil || len(got.Problems) != 4 {
		t.Errorf("problems %q, %v", got.Problems, err)
	}
}

// read returns all that an operation yields.
func read(t *testing.T) func(iter.Seq2[model.Session, error], error) []model.Session {
	return func(rows iter.Seq2[model.Session, error], err error) (list []model.Session) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		for s, err := range rows {
			if err != nil {
				t.Fatal(err)
			}
			list = append(list, s)
		}
		return list
	}
}

func TestSessionsAndBindings(t *testing.T) {
	t.Parallel()
	k := &fakeKernel{
		sessions: []model.Session{
			{NAT: "default", Network: "web", Protocol: model.TCP, Internal: netip.MustParseAddrPort("172.16.1.3:1"), State: model.StateEstablished},
			{NAT: "default", Network: "web", Protocol: model.TCP, Internal: netip.MustParseAddrPort("172.16.1.2:1"), State: model.StateEstablished},
			{NAT: "default", Network: "web", Protocol: model.UDP, Internal: netip.MustParseAddrPort("172.16.1.2:1")},
		},
		bindings: []model.Binding{
			{NAT: "default", Network: "web", Protocol: model.TCP, Internal: netip.MustParseAddrPort("172.16.1.3:1")},
			{NAT: "default", Network: "lab", Protocol: model.TCP, Internal: netip.MustParseAddrPort("10.0.0.3:1")},
		},
	}
	c, _ := start(t, t.TempDir(), k)
	withNetworks(t, c, "web", "lab")
	if s := read(t)(c.Sessions(t.Context(), model.Filter{State: "Established"})); len(s) != 2 || s[0].State != model.StateEstablished {
		t.Errorf("sessions: %+v", s)
	}
	rows, err := c.Bindings(t.Context(), model.Filter{Network: "lab"})
	if err != nil {
		t.Fatal(err)
	}
	for b, err := range rows {
		if err != nil || b.Network != "lab" {
			t.Errorf("bindings: %+v, %v", b, err)
		}
	}
	if _, err := c.Sessions(t.Context(), model.Filter{NAT: "x"}); model.CodeOf(err) != model.NotFound {
		t.Errorf("of no NAT: %v", err)
	}
	if _, err := c.Sessions(t.Context(), model.Filter{Protocol: "x"}); model.CodeOf(err) != model.Invalid {
		t.Errorf("bad filter: %v", err)
	}
}

func TestWatch(t *testing.T) {
	t.Parallel()
	k := &fakeKernel{events: make(chan event.Event, 1)}
	c, _ := start(t, t.TempDir(), k)
	k.events <- event.Event{Name: "x"}
	events, err := c.Watch(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if e := <-events; e.Name != "x" {
		t.Errorf("got %+v", e)
	}
}

// A mapping to an endpoint that is not there at the moment is kept, and not active.
func TestMappingOfAnAbsentEndpoint(t *testing.T) {
	t.Parallel()
	cfg := config.NewConfig()
	cfg.Endpoints = []model.Endpoint{
		{Name: "c1", Network: "web", Addresses: []netip.Addr{netip.MustParseAddr("172.16.1.2")}},
		{Name: "c2", Network: "web", Addresses: []netip.Addr{netip.MustParseAddr("172.16.1.3")}},
	}
	to := func(a string) model.Target {
		return model.Target{Network: "web", Internal: model.SinglePort(netip.MustParseAddrPort(a + ":80"))}
	}
	report := Report{Active: map[uint32]bool{1: true, 2: true, 3: true}, Absent: map[string]error{"c1": model.Errorf(model.NotFound, "gone")}}
	for _, tt := range []struct {
		m    model.Mapping
		want bool
	}{
		{model.Mapping{ID: 1, Targets: []model.Target{to("172.16.1.2")}}, false},
		{model.Mapping{ID: 2, Targets: []model.Target{to("172.16.1.2"), to("172.16.1.3")}}, true},
		{model.Mapping{ID: 3, Targets: []model.Target{to("172.16.1.9")}}, true}, // nobody that hostnat attached
		{model.Mapping{ID: 4, Targets: []model.Target{to("172.16.1.3")}}, false},
	} {
		if got := serves(cfg, report, tt.m); got != tt.want {
			t.Errorf("mapping %d: %v", tt.m.ID, got)
		}
	}
}
