package control

import (
	"context"
	"net/netip"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hostnat/hostnat/internal/config"
	"github.com/hostnat/hostnat/internal/model"
	"github.com/hostnat/hostnat/internal/store"
)

// fakeRelays remembers what was applied.
type fakeRelays struct {
	mu      sync.Mutex
	proxies []model.Proxy
	names   map[string][]netip.Addr
}

func (r *fakeRelays) Apply(c config.Config) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.proxies = c.Proxies
}

func (r *fakeRelays) States() map[uint32]model.ProxyState {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := make(map[uint32]model.ProxyState)
	for _, p := range r.proxies {
		out[p.ID] = model.ProxyState{Listening: true, TotalConnections: 7}
	}
	return out
}

func (r *fakeRelays) Lookup(_ context.Context, host string) []netip.Addr { return r.names[host] }

// relaying returns a Control with relays.
func relaying(t *testing.T, dir string, k *fakeKernel, r *fakeRelays) *Control {
	t.Helper()
	s, err := store.Open(store.Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	c, err := New(Options{Store: s, Kernel: k, Relays: r, Version: "1.2.3"})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestProxies(t *testing.T) {
	t.Parallel()
	k, r := &fakeKernel{}, &fakeRelays{}
	c := relaying(t, t.TempDir(), k, r)
	ctx := t.Context()
	p, err := c.AddProxy(ctx, config.ProxySpec{Kind: "v4tov6", Listen: "8080-8081", Connect: "[2001:db8::1]:80-81"})
	if err != nil {
		t.Fatal(err)
	}
	if p.ID != 1 || !p.Listening || p.TotalConnections != 7 {
		t.Errorf("got %+v", p)
	}
	if list, err := c.Proxies(ctx); err != nil || len(list) != 1 || list[0].ID != 1 || !list[0].Listening {
		t.Errorf("list %+v, %v", list, err)
	}
	// The sockets are the daemon's own, and nobody else's.
	k.others = []model.Listener{
		{Program: "hostnat", PID: os.Getpid(), Protocol: model.TCP, Address: netip.MustParseAddrPort("0.0.0.0:8080")},
		{Program: "sshd", PID: 41, Protocol: model.TCP, Address: netip.MustParseAddrPort("0.0.0.0:22")},
	}
	ports, err := c.Ports(ctx, PortFilter{Protocol: "tcp"})
	var got []string
	for _, v := range ports {
		if v.Kind == ProxyPort || v.Kind == ListenerPort {
			got = append(got, strings.Join([]string{string(v.Kind), v.Address.String(), v.Ports, v.Owner}, " "))
		}
	}
	want := []string{"listener 0.0.0.0 22 sshd (pid 41)", "proxy 0.0.0.0 8080-8081 [2001:db8::1]:80-81 (proxy 1)"}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("%v, (-want +got):\n%s", err, diff)
	}
	// Adding it again is no change, though its port is taken by then: by itself.
	if again, err := c.AddProxy(ctx, config.ProxySpec{Kind: "v4tov6", Listen: "8080-8081", Connect: "[2001:db8::1]:80-81"}); err != nil || again.ID != 1 {
		t.Errorf("again: %+v, %v", again, err)
	}
	if err := c.Down(ctx); err != nil || len(r.proxies) != 0 {
		t.Errorf("after down: %v, %v", r.proxies, err)
	}
	if err := c.DeleteProxy(ctx, 1); err != nil || len(r.proxies) != 0 {
		t.Errorf("after deleting: %v, %v", r.proxies, err)
	}
	if err := c.DeleteProxy(ctx, 1); model.CodeOf(err) != model.NotFound {
		t.Errorf("deleting it twice: %v", err)
	}
}

func TestProxiesAreDurable(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	r := &fakeRelays{}
	s, err := store.Open(store.Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	c, err := New(Options{Store: s, Kernel: &fakeKernel{}, Relays: r})
	if err != nil {
		t.Fatal(err)
	}
	added, err := c.AddProxy(t.Context(), config.ProxySpec{Kind: "v6tov4", Listen: "53", Connect: "dns.example:53", Protocol: "udp"})
	if err != nil {
		t.Fatal(err)
	}
	s.Close()
	again := &fakeRelays{}
	c = relaying(t, dir, &fakeKernel{}, again)
	if err := c.Reconcile(t.Context()); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]model.Proxy{added.Proxy}, again.proxies); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestAddProxyRefuses(t *testing.T) {
	t.Parallel()
	k := &fakeKernel{others: []model.Listener{{Program: "nginx", PID: 41, Protocol: model.TCP, Address: netip.MustParseAddrPort("0.0.0.0:80")}}}
	r := &fakeRelays{names: map[string][]netip.Addr{"me.example": {netip.MustParseAddr("192.168.7.5")}}}
	c := relaying(t, t.TempDir(), k, r)
	for _, tt := range []struct{ listen, connect, want string }{
		{"80", "192.0.2.1:80", "nginx (pid 41) listens on tcp 0.0.0.0:80; end it, or choose another port"},
		{"81", "me.example:81", "the proxy on tcp *:81 would connect to itself; give another target"},
		{"81", "192.168.7.5:81", "the proxy on tcp *:81 would connect to itself; give another target"},
	} {
		_, err := c.AddProxy(t.Context(), config.ProxySpec{Kind: "v4tov4", Listen: tt.listen, Connect: tt.connect})
		if err == nil || err.Error() != tt.want || model.CodeOf(err) != model.Conflict {
			t.Errorf("%s to %s: got %v\nwant %s", tt.listen, tt.connect, err, tt.want)
		}
	}
	if cfg, _ := c.snapshot(); len(cfg.Proxies) != 0 || len(r.proxies) != 0 {
		t.Errorf("something is left: %v %v", cfg.Proxies, r.proxies)
	}
}

// A gateway's address is the host's own: by way of it a proxy leads to itself, too.
func TestProxyToItselfByTheGateway(t *testing.T) {
	t.Parallel()
	c, _, _ := withWeb(t)
	if _, err := c.AddProxy(t.Context(), config.ProxySpec{Kind: "v4tov4", Listen: "8101", Connect: "172.16.1.1:8101"}); model.CodeOf(err) != model.Conflict {
		t.Errorf("a proxy to its own port: %v", err)
	}
	if _, err := c.AddProxy(t.Context(), config.ProxySpec{Kind: "v4tov4", Listen: "8101", Connect: "172.16.1.1:8102"}); err != nil {
		t.Errorf("a proxy to another port of the host: %v", err)
	}
}
