package reconcile

import (
	"context"
	"log/slog"
	"net/netip"
	"path/filepath"
	"sync"
	"time"

	"github.com/hostnat/hostnat/internal/datapath"
	"github.com/hostnat/hostnat/internal/host"
	"github.com/hostnat/hostnat/internal/nat"
)

// Kernel is the running host: its links and the data path.
type Kernel struct {
	bpf      string // mount point of our BPF filesystem
	log      *slog.Logger
	datapath *datapath.Datapath
	events   hub
	refused  map[netip.Addr]refusal // external addresses that another machine has; Apply's alone
	made     *made                  // by the last Apply, and Change since; nil: it did not work. Theirs alone

	looked time.Time // whether what is pinned is attached; Apply's alone

	mu      sync.Mutex
	config  nat.Config         // of the last Apply
	names   names              // that its ids stand for
	settled map[string]settled // endpoints that are as they should be, by name
	seen    map[string]string  // processes that a caller of CheckTarget named, by endpoint
}

// Open mounts RUN/bpf and loads the data path there; one that is running goes
// on and is taken over. Its sessions go on too; if that cannot be, because another
// version of hostnat made them, they are refused or, with discard, end.
func Open(runDir string, discard bool, log *slog.Logger) (*Kernel, error) {
	if err := datapath.CheckKernel(); err != nil { // before anything is touched
		return nil, err
	}
	dir := mountPoint(runDir)
	if err := host.MountBPF(dir); err != nil {
		return nil, err
	}
	var options []datapath.Option
	if discard {
		options = append(options, datapath.DiscardSessions)
	}
	d, err := datapath.Open(dir, options...)
	if err != nil {
		return nil, err
	}
	return &Kernel{bpf: dir, log: log, datapath: d, seen: make(map[string]string), settled: make(map[string]settled)}, nil
}

// attachHost lets the host's own programs reach published ports. Without it
// everything else works.
func (k *Kernel) attachHost() error {
	root, err := host.CgroupRoot()
	if err != nil {
		return err
	}
	return k.datapath.AttachHost(root)
}

func mountPoint(runDir string) string { return filepath.Join(runDir, "bpf") }

// Close lets go of the kernel's state, which stays.
func (k *Kernel) Close() error { return k.datapath.Close() }

// Facts returns what the host itself uses: our own links are left out.
func (k *Kernel) Facts(ctx context.Context) (nat.HostFacts, error) {
	links, err := host.Links(ctx)
	if err != nil {
		return nat.HostFacts{}, err
	}
	return k.facts(ctx, links)
}

func (k *Kernel) facts(ctx context.Context, links []host.Link) (nat.HostFacts, error) {
	ours := map[string]bool{host.AnchorName: true, host.RoomName: true}
	for _, n := range k.lastConfig().Networks {
		ours[n.Bridge] = true
	}
	for _, l := range links {
		if l.Owned() {
			ours[l.Name] = true
		}
	}
	return host.FactsOf(ctx, links, func(link string) bool { return ours[link] })
}

// Listener returns the host's program that holds the lowest held one of the
// external ports, if any.
func (k *Kernel) Listener(ctx context.Context, p nat.Protocol, external nat.AddrPorts) (*nat.Listener, error) {
	return host.Listener(ctx, p, external)
}

// Listeners returns the host's programs that hold external ports.
func (k *Kernel) Listeners(ctx context.Context) ([]nat.Listener, error) { return host.Listeners(ctx) }

// CheckTarget refuses an endpoint whose namespace, process or link is not there.
func (k *Kernel) CheckTarget(ctx context.Context, e nat.Endpoint) error {
	k.unsettle(e.Name)
	if !e.InNamespace() {
		return host.CheckPort(ctx, e.Target, k.bridgeIndex(ctx, e.Network))
	}
	ns, err := host.OpenNamespace(e.Kind, e.Target)
	if err != nil {
		return err
	}
	k.mu.Lock()
	k.seen[e.Name] = e.Target
	k.mu.Unlock()
	return ns.Close()
}

func (k *Kernel) bridgeIndex(ctx context.Context, network string) int {
	config := k.lastConfig()
	n, err := config.Network(network)
	if err != nil {
		return 0
	}
	links, err := host.Links(ctx)
	if err != nil {
		return 0
	}
	l, _ := view{links: links}.link(n.Bridge)
	return l.Index
}

// lastNames gives ids their names. It is made once for each configuration: an
// event needs it each.
func (k *Kernel) lastNames() names {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.names
}

func (k *Kernel) lastConfig() nat.Config {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.config
}

// Counters returns drops by reason, and how full the tables are.
func (k *Kernel) Counters(context.Context) (nat.Counters, error) {
	drops, err := k.datapath.Drops()
	if err != nil {
		return nat.Counters{}, err
	}
	c := nat.Counters{Drops: drops, MaxSessions: k.datapath.MaxSessions(), EventsLost: k.events.eventsLost()}
	if err := k.datapath.Sessions(func(datapath.Session) error { c.Sessions++; return nil }); err != nil {
		return nat.Counters{}, err
	}
	if err := k.datapath.Bindings(func(datapath.Binding) error { c.Bindings++; return nil }); err != nil {
		return nat.Counters{}, err
	}
	return c, nil
}
