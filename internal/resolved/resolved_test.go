package resolved

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/godbus/dbus/v5"
	"github.com/google/go-cmp/cmp"

	"github.com/hostnat/hostnat/internal/config"
	"github.com/hostnat/hostnat/internal/model"
)

func network(name, gateway string, change ...func(*model.Network)) model.Network {
	n := model.Network{Name: name, Bridge: "hn-" + name, Compartment: model.DefaultCompartment, Gateways: []netip.Addr{netip.MustParseAddr(gateway)}}
	for _, c := range change {
		c(&n)
	}
	return n
}

func TestWishes(t *testing.T) {
	t.Parallel()
	cfg := config.Config{Networks: []model.Network{
		network("web", "172.16.1.1"),
		network("Lab", "172.16.2.1", func(n *model.Network) { n.Domain = "example.org" }),
		network("same", "172.16.3.1", func(n *model.Network) { n.Domain = "same.internal" }),
		network("lan", "172.16.4.1", func(n *model.Network) { n.Bridge, n.Adopted, n.Domain = "br0", true, "home.arpa" }),
		network("mute", "172.16.5.1", func(n *model.Network) { n.DNS = model.Off }),
		network("red", "172.16.1.1", func(n *model.Network) { n.Compartment = "red" }),
	}}
	describe := func(extent Extent) (list []string) {
		for _, w := range wishes(cfg, extent) {
			list = append(list, fmt.Sprint(w.network, " ", w.bridge, " ", w.adopted, " ", w.server, " ", w.domains))
		}
		return list
	}
	want := []string{
		"web hn-web false 172.16.1.1 [web.internal]",
		"Lab hn-Lab false 172.16.2.1 [lab.internal]",
		"same hn-same false 172.16.3.1 [same.internal]",
		"lan br0 true 172.16.4.1 [home.arpa lan.internal]",
	}
	if diff := cmp.Diff(want, describe(InternalNames)); diff != "" {
		t.Errorf("wishes (-want +got):\n%s", diff)
	}
	want[1] = "Lab hn-Lab false 172.16.2.1 [example.org lab.internal]"
	if diff := cmp.Diff(want, describe(AllNames)); diff != "" {
		t.Errorf("wishes of all names (-want +got):\n%s", diff)
	}
	if got := describe(NoNames); got != nil {
		t.Errorf("turned off, it wishes %q", got)
	}
}

func TestExtent(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"internal", "all", "off"} {
		var e Extent
		if err := e.UnmarshalText([]byte(text)); err != nil || e.String() != text {
			t.Errorf("%s is read as %s, %v", text, e, err)
		}
	}
	for _, text := range []string{"", "on", "ALL", "internal "} {
		if e := AllNames; e.UnmarshalText([]byte(text)) == nil || e != AllNames {
			t.Errorf("%q is read as %s", text, e)
		}
	}
}

func TestFulfils(t *testing.T) {
	t.Parallel()
	w := wish{server: netip.MustParseAddr("172.16.1.1"), domains: []string{"a.example", "web.internal"}}
	ours := []netip.Addr{w.server}
	routed := []domain{{"web.internal", true}, {"A.example", true}}
	for _, tt := range []struct {
		what               string
		s                  setting
		fulfilled, foreign bool
	}{
		{"as wished", setting{ours, routed}, true, false},
		{"nothing", setting{}, false, false},
		{"no server yet", setting{nil, routed}, false, false},
		{"another server", setting{[]netip.Addr{netip.MustParseAddr("192.0.2.1")}, routed}, false, true},
		{"a second server", setting{append(slices.Clone(ours), netip.MustParseAddr("192.0.2.1")), routed}, false, true},
		{"an unknown kind of server", setting{[]netip.Addr{{}}, routed}, false, true},
		{"a domain is missing", setting{ours, routed[:1]}, false, false},
		{"for all names", setting{ours, append(slices.Clone(routed), domain{".", true})}, false, false},
		{"appended to bare names", setting{ours, []domain{{"web.internal", false}, {"a.example", true}}}, false, false},
	} {
		if f, o := tt.s.fulfils(w), tt.s.foreign(w); f != tt.fulfilled || o != tt.foreign {
			t.Errorf("%s: fulfils %v, foreign %v; want %v, %v", tt.what, f, o, tt.fulfilled, tt.foreign)
		}
	}
}

// fake stands for the bus and for systemd-resolved.
type fake struct {
	mu         sync.Mutex
	absent     bool
	failure    error             // of set
	links      map[int]setting   // by index
	indices    map[string]int    // links of the host
	unlistened map[int]int       // how often it says that it has not heard of a link
	log        []string          // what it was told
	signals    chan *dbus.Signal // open
}

func newFake() *fake {
	return &fake{links: map[int]setting{}, indices: map[string]int{"hn-web": 7}, unlistened: map[int]int{}, signals: make(chan *dbus.Signal)}
}

func (f *fake) present(context.Context) (bool, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return !f.absent, nil
}

func (f *fake) settings(context.Context) (map[int]setting, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return maps.Clone(f.links), nil
}

func (f *fake) set(_ context.Context, index int, w wish) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.unlistened[index] > 0 {
		f.unlistened[index]--
		return errUnknownLink
	}
	if f.failure != nil {
		return f.failure
	}
	s := setting{servers: []netip.Addr{w.server}}
	for _, d := range w.domains {
		s.domains = append(s.domains, domain{d, true})
	}
	f.links[index] = s
	f.log = append(f.log, fmt.Sprint("set ", index, " ", w.server, " ", w.domains))
	return nil
}

func (f *fake) revert(_ context.Context, index int) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.links, index)
	f.log = append(f.log, fmt.Sprint("revert ", index))
	return nil
}

func (f *fake) changes() <-chan *dbus.Signal { return f.signals }
func (f *fake) close()                       {}

func (f *fake) indexOf(name string) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if index, has := f.indices[name]; has {
		return index, nil
	}
	return 0, fmt.Errorf("no link %s", name)
}

// change changes what is there and lets everything settle.
func (f *fake) change(fn func()) {
	f.mu.Lock()
	fn()
	f.mu.Unlock()
}

// told returns what it was told since it was last asked.
func (f *fake) told() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	log := f.log
	f.log = nil
	return log
}

// run runs a Host against f until the test ends, in a bubble's time.
func (f *fake) run(t *testing.T) (h *Host, stop func()) {
	h = New(InternalNames, slog.New(slog.DiscardHandler))
	h.dial = func(context.Context) (resolver, error) { return f, nil }
	h.indexOf = f.indexOf
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- h.Run(ctx) }()
	return h, func() {
		t.Helper()
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("ended with %v", err)
		}
	}
}

func want(t *testing.T, what string, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: %q, want %q", what, got, want)
	}
}

// It is told of what is wished, once, again when it was restarted or somebody
// has changed it, and it is taken back.
func TestHost(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		h, stop := f.run(t)
		web := network("web", "172.16.1.1")
		cfg := config.Config{Networks: []model.Network{web}}
		settle := func() { time.Sleep(time.Second); synctest.Wait() }

		h.Configure(cfg)
		settle()
		want(t, "created", f.told(), "set 7 172.16.1.1 [web.internal]")
		h.Configure(cfg)
		time.Sleep(time.Minute)
		want(t, "nothing new", f.told())

		f.change(func() { f.links[7] = setting{} })
		time.Sleep(lookAgain + time.Second)
		want(t, "changed by another", f.told(), "set 7 172.16.1.1 [web.internal]")

		f.change(func() { clear(f.links) })
		f.signals <- &dbus.Signal{}
		settle()
		want(t, "restarted", f.told(), "set 7 172.16.1.1 [web.internal]")

		f.change(func() { f.indices["hn-web"] = 9; delete(f.links, 7) })
		time.Sleep(lookAgain + time.Second)
		want(t, "the bridge was made again", f.told(), "set 9 172.16.1.1 [web.internal]")

		cfg.Networks = []model.Network{network("web", "172.16.5.1")}
		h.Configure(cfg)
		settle()
		want(t, "moved", f.told(), "set 9 172.16.5.1 [web.internal]")

		f.change(func() { f.indices["hn-lab"], f.unlistened[11] = 11, 3 })
		cfg.Networks = append(cfg.Networks, network("lab", "172.16.2.1"))
		h.Configure(cfg)
		settle()
		want(t, "a new link that it has not heard of yet", f.told(), "set 11 172.16.2.1 [lab.internal]")

		cfg.Networks = cfg.Networks[1:]
		h.Configure(cfg)
		settle()
		want(t, "turned off", f.told(), "revert 9")
		want(t, "problems", h.Problems())

		stop()
		want(t, "ended", f.told(), "revert 11")
	})
}

// Where it is not, nothing is said; when it comes, it is told.
func TestHostWithoutResolved(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		f.absent = true
		h, stop := f.run(t)
		h.Configure(config.Config{Networks: []model.Network{network("web", "172.16.1.1")}})
		time.Sleep(time.Minute)
		want(t, "not there", f.told())
		want(t, "problems", h.Problems())
		f.change(func() { f.absent = false })
		f.signals <- &dbus.Signal{}
		time.Sleep(time.Second)
		want(t, "there", f.told(), "set 7 172.16.1.1 [web.internal]")
		stop()
	})
}

// What it refuses is in status for as long as it is so.
func TestHostProblems(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		f.failure = errors.New("SetLinkDNS: Link hn-web is managed.")
		f.indices["br0"] = 8
		f.links[8] = setting{servers: []netip.Addr{netip.MustParseAddr("192.0.2.9")}}
		h, stop := f.run(t)
		h.Configure(config.Config{Networks: []model.Network{
			network("web", "172.16.1.1"),
			network("lan", "10.0.0.1", func(n *model.Network) { n.Bridge, n.Adopted = "br0", true }),
		}})
		time.Sleep(time.Second)
		want(t, "problems", h.Problems(),
			"the host's programs do not find endpoints of network web by name: systemd-resolved: SetLinkDNS: Link hn-web is managed.",
			"the host's programs do not find endpoints of network lan by name: bridge br0 has other name servers in systemd-resolved already, [192.0.2.9]; 'resolvectl revert br0' takes them away")
		f.change(func() { f.failure = nil; delete(f.links, 8) })
		time.Sleep(lookAgain + time.Second)
		want(t, "fixed", f.told(), "set 7 172.16.1.1 [web.internal]", "set 8 10.0.0.1 [lan.internal]")
		want(t, "no problems", h.Problems())
		f.change(func() { f.links[8] = setting{servers: []netip.Addr{netip.MustParseAddr("192.0.2.9")}} })
		time.Sleep(lookAgain + time.Second)
		want(t, "what was ours is set again", f.told(), "set 8 10.0.0.1 [lan.internal]")
		stop()
		got := f.told()
		slices.Sort(got)
		want(t, "ended", got, "revert 7", "revert 8")
		if problems := strings.Join(h.Problems(), ""); problems != "" {
			t.Errorf("problems at the end: %s", problems)
		}
	})
}
