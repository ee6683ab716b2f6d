package control

import (
	"context"
	"errors"
	"iter"
	"net/netip"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/hostnat/hostnat/internal/config"
	"github.com/hostnat/hostnat/internal/event"
	"github.com/hostnat/hostnat/internal/model"
	"github.com/hostnat/hostnat/internal/store"
	"github.com/hostnat/hostnat/internal/traffic"
)

var compareNetip = cmp.Options{
	cmpopts.EquateEmpty(), // the store keeps no empty lists
	cmp.Comparer(func(a, b netip.Addr) bool { return a == b }),
	cmp.Comparer(func(a, b netip.Prefix) bool { return a == b }),
	cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b }),
}

var errKernel = errors.New("the kernel said no")

// fakeKernel is a host at 192.168.7.5 that remembers what was applied.
type fakeKernel struct {
	mu       sync.Mutex
	applied  []config.Config // nil after down
	refuse   func(config.Config) error
	absent   map[string]error
	missing  map[string]bool // targets that are not there
	listener *model.Listener
	others   []model.Listener // beside it
	local    model.PortRange
	sessions []model.Session
	bindings []model.Binding
	events   chan event.Event
	heard    []event.Event            // announced, but for:
	changes  []event.Event            // of the configuration
	prefixes []model.HostPrefix       // of the host, beside its LAN's
	broken   error                    // of reading counters and facts
	taken    map[netip.Addr]error     // external addresses that cannot be added
	bounced  []string                 // networks whose carriers were
	observed []model.Neighbour        // on bridges
	drifted  bool                     // what Drifted says
	leases   []int                    // how many leases ChangeLeases was told of
	holders  map[netip.Addr]model.MAC // machines on eth0
	routers  []model.HostMachine
	stations map[string]model.MAC // behind ports
	opened   []opened
	idle     map[string]bool // TAPs
}

func (k *fakeKernel) Facts(context.Context) (model.HostFacts, error) {
	return k.factsWith(k.last()), k.broken
}

// factsWith is the host while that configuration is in the kernel.
func (k *fakeKernel) factsWith(c config.Config) model.HostFacts {
	facts := model.HostFacts{
		Prefixes:  append([]model.HostPrefix{{Prefix: netip.MustParsePrefix("192.168.7.0/24"), Source: "address of eth0"}}, k.prefixes...),
		Addresses: []model.HostAddress{{Address: netip.MustParseAddr("192.168.7.5"), Interface: "eth0"}},
		Routers:   k.routers, DefaultInterface: "eth0", Interfaces: []string{"eth0", "tap0"}, MTU: 1400, LocalPorts: k.local,
	}
	for _, n := range c.NATs {
		for _, a := range n.ExternalAddresses {
			if a.Added && k.taken[a.Address] == nil {
				facts.Addresses = append(facts.Addresses, model.HostAddress{Address: a.Address, Interface: "eth0", Added: true})
			}
		}
	}
	return facts
}

func (k *fakeKernel) Holder(_ context.Context, link string, a netip.Addr) (model.MAC, bool, error) {
	mac, taken := k.holders[a]
	return mac, taken && link == "eth0", nil
}

func (k *fakeKernel) Station(_ context.Context, port string) (model.MAC, bool, error) {
	mac, known := k.stations[port]
	return mac, known, nil
}

func (k *fakeKernel) Listener(_ context.Context, p model.Protocol, external model.AddrPorts) (*model.Listener, error) {
	if k.listener != nil && external.Ports.Contains(k.listener.Address.Port()) {
		return k.listener, nil
	}
	for _, l := range k.others {
		if external.Ports.Contains(l.Address.Port()) && l.Protocol == p {
			return &l, nil
		}
	}
	return nil, nil
}

func (k *fakeKernel) Listeners(context.Context) ([]model.Listener, error) {
	if k.listener != nil {
		return append([]model.Listener{*k.listener}, k.others...), k.broken
	}
	return k.others, k.broken
}

func (k *fakeKernel) EndSessions(_ context.Context, picks func(model.Session) bool) (int, error) {
	before := len(k.sessions)
	k.sessions = slices.DeleteFunc(k.sessions, picks)
	return before - len(k.sessions), k.broken
}

func (k *fakeKernel) IdleTAPs(context.Context) (map[string]bool, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.idle, k.broken
}

// OpenTAP opens a pipe's end instead, in the network web.
func (k *fakeKernel) OpenTAP(_ context.Context, n model.Network, _ bool) (string, *os.File, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return "", nil, err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.opened = append(k.opened, opened{n.Name, len(k.applied), r})
	return "hntap0", w, nil
}

// OpenOwnTAP opens a pipe's end instead.
func (k *fakeKernel) OpenOwnTAP(context.Context, model.Endpoint, bool) (*os.File, error) {
	r, w, err := os.Pipe()
	if err == nil {
		r.Close()
	}
	return w, err
}

// opened is a TAP that was opened: for a network, after so many configurations.
type opened struct {
	network string
	applied int
	other   *os.File // is at its end when the TAP is closed
}

func (k *fakeKernel) CheckTarget(_ context.Context, e model.Endpoint) error {
	if k.missing[e.Target] {
		return model.Errorf(model.NotFound, "namespace %q does not exist", e.Target)
	}
	return nil
}

func (k *fakeKernel) Neighbours(context.Context) ([]model.Neighbour, error) {
	return k.observed, k.broken
}

func (k *fakeKernel) BounceCarrier(_ context.Context, network string) error {
	k.bounced = append(k.bounced, network)
	return k.broken
}

func (k *fakeKernel) ChangeLeases(_ context.Context, c config.Config) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.leases = append(k.leases, len(c.Leases))
	return k.broken
}

func (k *fakeKernel) Drifted(context.Context) (bool, error) { return k.drifted, k.broken }

func (k *fakeKernel) Change(ctx context.Context, c config.Config) (Report, error) {
	return k.Apply(ctx, c)
}

func (k *fakeKernel) Apply(ctx context.Context, c config.Config) (Report, error) {
	facts, _ := k.Facts(ctx)
	k.mu.Lock()
	defer k.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return Report{}, err
	}
	if k.refuse != nil {
		if err := k.refuse(c); err != nil {
			return Report{}, err
		}
	}
	k.applied = append(k.applied, c)
	r := Report{Absent: k.absent, Active: map[uint32]bool{}, Host: facts, Addresses: k.taken}
	r.Host = k.factsWith(c)
	for _, m := range c.Mappings {
		r.Active[m.ID] = true
	}
	return r, nil
}

func (k *fakeKernel) last() config.Config {
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.applied) == 0 {
		return config.Config{}
	}
	return k.applied[len(k.applied)-1]
}

func (k *fakeKernel) Bindings(_ context.Context, selected model.Selection) iter.Seq2[model.Binding, error] {
	return rows(k.bindings, func(b model.Binding) bool { return selected.Binding(&b) })
}

func rows[T any](list []T, selected func(T) bool) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for _, v := range list {
			if selected(v) && !yield(v, nil) {
				return
			}
		}
	}
}

func (k *fakeKernel) Sessions(_ context.Context, selected model.Selection) iter.Seq2[model.Session, error] {
	return rows(k.sessions, func(s model.Session) bool { return selected.Session(&s) })
}

func (k *fakeKernel) Watch(context.Context) (<-chan event.Event, error) { return k.events, nil }
func (k *fakeKernel) Down(context.Context) error                        { k.applied = nil; return k.broken }
func (k *fakeKernel) Announce(e event.Event) {
	if e.ID == event.ConfigurationChange {
		k.changes = append(k.changes, e)
		return
	}
	k.heard = append(k.heard, e)
}
func (k *fakeKernel) Counters(context.Context) (Counters, error) {
	return Counters{Drops: map[string]uint64{"spoofed-source": 3}, Bindings: 2, Sessions: 5, MaxSessions: 100}, k.broken
}

func (k *fakeKernel) Traffic(time.Time) (traffic.Reading, error) {
	return traffic.Reading{
		Sessions: uint64(len(k.sessions)), Drops: map[string]uint64{"spoofed-source": 3}, Active: k.sessions,
		Holders: []traffic.Holder{{Endpoint: "c1", Network: "web", Compartment: "default", Sessions: uint64(len(k.sessions))}},
	}, k.broken
}

// start returns a Control on a fresh store in dir and a fake kernel.
func start(t *testing.T, dir string, k *fakeKernel) (*Control, *store.Store) {
	t.Helper()
	s, err := store.Open(store.Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	c, err := New(Options{Store: s, Kernel: k, Version: "1.2.3"})
	if err != nil {
		t.Fatal(err)
	}
	return c, s
}

// withWeb returns a Control with network web, endpoint c1 and a mapping to it.
func withWeb(t *testing.T) (*Control, *fakeKernel, *store.Store) {
	t.Helper()
	k := &fakeKernel{}
	c, s := start(t, t.TempDir(), k)
	ctx := t.Context()
	if _, err := c.CreateNetwork(ctx, config.NetworkSpec{Name: "web", Subnet: "172.16.1.0/24"}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.AttachEndpoint(ctx, config.EndpointSpec{Network: "web", Name: "c1", Netns: "c1"}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.AddMapping(ctx, config.MappingSpec{Protocol: "tcp", External: "8080", Internal: "c1:80"}); err != nil {
		t.Fatal(err)
	}
	return c, k, s
}

// same checks that the control, the store and the kernel all have this configuration.
func same(t *testing.T, c *Control, k *fakeKernel, s *store.Store, want config.Config) {
	t.Helper()
	current, _ := c.snapshot()
	stored, _, err := s.Load()
	if err != nil {
		t.Fatal(err)
	}
	for who, got := range map[string]config.Config{"control": current, "store": stored, "kernel": k.last()} {
		if diff := cmp.Diff(want, got, compareNetip); diff != "" {
			t.Errorf("%s (-want +got):\n%s", who, diff)
		}
	}
}
