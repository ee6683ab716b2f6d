package reconcile

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/hostnat/hostnat/internal/config"
	"github.com/hostnat/hostnat/internal/costly"
	"github.com/hostnat/hostnat/internal/datapath"
	"github.com/hostnat/hostnat/internal/host"
	"github.com/hostnat/hostnat/internal/host/self"
	"github.com/hostnat/hostnat/internal/host/sockets"
	"github.com/hostnat/hostnat/internal/model"
)

// Kernel is the running host: its links and the data path.
type Kernel struct {
	bpf      string // mount point of our BPF filesystem
	log      *slog.Logger
	datapath *datapath.Datapath
	events   eventBus
	captures captures
	links    *linkCache
	refused  map[netip.Addr]refusal // external addresses that another machine has; Apply's alone
	applied  *applied               // by the last Apply, and Change since; nil: it did not work. Theirs alone

	insideRule host.OwnRule // for the host's way to networks; as made
	routed     routing      // what the host's routing tables and rules were given last

	looked time.Time // whether what is pinned is attached; Apply's alone

	tableCounts costly.Reading[tableCounts]

	handshakes handshakes

	trials chan struct{} // holds one while there is a trial

	mu         sync.Mutex
	config     config.Config             // of the last Apply
	names      names                     // that its ids stand for
	remoteName RemoteName                // nil: nobody knows
	verified   map[string]verified       // endpoints that are as they should be, by name
	bridges    map[string]verifiedBridge // by name; Apply's alone
	segments   segments                  // Apply's, and what comes after it goes by them
	seen       map[string]process        // that a caller of CheckTarget named, by endpoint
}

// Open mounts RUN/bpf and loads the data path there; one that is running goes
// on and is taken over. Its sessions go on too; if that cannot be, because another
// version of hostnat made them, they are refused or, with discard, end.
func Open(runDir string, discard bool, log *slog.Logger) (*Kernel, error) {
	if err := datapath.CheckKernel(); err != nil { // before anything is touched
		return nil, err
	}
	dir := mountPoint(runDir)
	if err := self.MountBPF(dir); err != nil {
		return nil, err
	}
	limit, err := self.MemoryLimit()
	if err != nil {
		return nil, err
	}
	options := []datapath.Option{datapath.MaxMemory(limit / 2)} // the rest is the daemon's, and the other tables'
	if discard {
		options = append(options, datapath.DiscardSessions)
	}
	d, err := datapath.Open(dir, options...)
	if err != nil {
		return nil, err
	}
	watcher, err := host.NewWatcher()
	if err != nil {
		return nil, errors.Join(err, d.Close())
	}
	return &Kernel{
		bpf: dir, log: log, datapath: d, links: newLinkCache(watcher), trials: make(chan struct{}, 1),
		seen: make(map[string]process), verified: make(map[string]verified), bridges: make(map[string]verifiedBridge),
	}, nil
}

// keepPins makes the run directory again, and what is pinned in it, if somebody
// has emptied it.
func (k *Kernel) keepPins() error {
	if err := os.MkdirAll(filepath.Dir(k.bpf), 0o755); err != nil {
		return fmt.Errorf("make the run directory: %w", err)
	}
	if err := self.MountBPF(k.bpf); err != nil {
		return err
	}
	return k.datapath.KeepPins()
}

// IsPinned reports whether the data path is still pinned in the run directory,
// without looking at each program.
func (k *Kernel) IsPinned() bool { return datapath.IsPinned(k.bpf) }

// WatchHost follows what is announced of the host's network until ctx ends.
func (k *Kernel) WatchHost(ctx context.Context) error { return k.links.watcher.Run(ctx) }

// HostChanges ticks when something of the host's network has changed, our own
// doing too: Drifted tells.
func (k *Kernel) HostChanges() <-chan struct{} { return k.links.watcher.Ticks() }

// Drifted reports whether the host is not as the last Apply, or Change since, has
// seen or made it, as far as the kernel announces that.
func (k *Kernel) Drifted(ctx context.Context) (bool, error) {
	if k.applied == nil {
		return true, nil
	}
	return k.links.drifted(ctx)
}

func mountPoint(runDir string) string { return filepath.Join(runDir, "bpf") }

// Close lets go of the kernel's state, which stays.
func (k *Kernel) Close() error { return errors.Join(k.links.watcher.Close(), k.datapath.Close()) }

// WhoIsWhere is the data path's table of who is at which plugged-in port.
func (k *Kernel) WhoIsWhere() *datapath.Datapath { return k.datapath }

// Facts returns what the host itself uses: our own links are left out.
func (k *Kernel) Facts(ctx context.Context) (model.HostFacts, error) {
	return k.links.hostFacts(ctx)
}

// Listener returns the host's program that holds the lowest held one of the
// external ports, if any.
func (k *Kernel) Listener(ctx context.Context, p model.Protocol, external model.AddrPorts) (*model.Listener, error) {
	return sockets.Listener(ctx, p, external)
}

// Listeners returns the host's programs that hold external ports.
func (k *Kernel) Listeners(ctx context.Context) ([]model.Listener, error) {
	return sockets.Listeners(ctx)
}

// Holder asks on a link of the host who has an address there.
func (k *Kernel) Holder(ctx context.Context, link string, a netip.Addr) (mac model.MAC, taken bool, err error) {
	return host.Holder(ctx, link, a)
}

// CheckTarget refuses an endpoint whose namespace, process or link is not there.
func (k *Kernel) CheckTarget(ctx context.Context, e model.Endpoint) error {
	k.forgetVerified(e.Name)
	if e.Kind == model.KindPair {
		return nil // its links are made
	}
	if !e.InNamespace() {
		if e.TAP.Made {
			return host.CheckTAP(host.TAP{TAP: e.TAP, Name: e.Target})
		}
		if bridge := k.bridgeIndex(ctx, e.Network); bridge != 0 {
			return host.CheckPort(ctx, e.Target, bridge)
		}
		return host.CheckPointToPoint(ctx, e.Target) // no bridge yet, or none ever
	}
	ns, err := host.OpenNamespace(e.Kind, e.Target)
	if err != nil {
		return err
	}
	is, err := ns.Identity()
	if err == nil {
		k.name(e, is)
	}
	return errors.Join(err, ns.Close())
}

// OpenTAP makes a TAP that is a port of a network's bridge as long as it is open.
func (k *Kernel) OpenTAP(ctx context.Context, n model.Network, vnetHdr bool) (string, *os.File, error) {
	bridge := k.bridgeIndex(ctx, n.Name)
	if bridge == 0 {
		return "", nil, model.Errorf(model.Unavailable, "bridge %s of network %q is not there", n.Bridge, n.Name).WithHint("'hostnat status' says why")
	}
	facts, err := k.links.hostFacts(ctx)
	if err != nil {
		return "", nil, err
	}
	return host.OpenTAP(bridge, n.LinkMTU(facts.MTU), vnetHdr)
}

// OpenOwnTAP opens the TAP that was made for an endpoint.
func (k *Kernel) OpenOwnTAP(_ context.Context, e model.Endpoint, vnetHdr bool) (*os.File, error) {
	t := host.TAP{TAP: e.TAP, Name: e.Target}
	t.VNetHdr = vnetHdr
	return host.OpenOwnTAP(t)
}

// IdleTAPs are the links that are TAPs which no program has open.
func (k *Kernel) IdleTAPs(ctx context.Context) (map[string]bool, error) {
	links, err := k.links.look(ctx)
	idle := make(map[string]bool)
	for _, l := range links {
		if l.IsIdleTAP() {
			idle[l.Name] = true
		}
	}
	return idle, err
}

// Station returns the MAC of the one machine that is behind a port of a bridge, as
// far as the bridge knows. False: none, or several.
func (k *Kernel) Station(ctx context.Context, port string) (model.MAC, bool, error) {
	return host.Station(ctx, port)
}

func (k *Kernel) bridgeIndex(ctx context.Context, network string) int {
	cfg := k.lastConfig()
	n, err := cfg.Network(network)
	if err != nil {
		return 0
	}
	links, err := k.links.find(ctx, []string{n.Bridge})
	if err != nil || len(links) == 0 {
		return 0
	}
	return links[0].Index
}

// Interfaces returns the host's links of these names that are there.
func (k *Kernel) Interfaces(ctx context.Context, names []string) ([]net.Interface, error) {
	links, err := k.links.find(ctx, names)
	if err != nil {
		return nil, err
	}
	list := make([]net.Interface, 0, len(links))
	for _, l := range links {
		mac, err := net.ParseMAC(string(l.MAC))
		if err != nil {
			continue // it has no Ethernet
		}
		list = append(list, net.Interface{Index: l.Index, Name: l.Name, MTU: l.MTU, HardwareAddr: mac})
	}
	return list, nil
}

// LinkMTU returns the MTU of one of the host's links in bytes; 0: it is not there.
func (k *Kernel) LinkMTU(index int) int { return k.links.mtuOf(index) }

// lastNames gives ids their names. It is made once for each configuration: an
// event needs it each.
func (k *Kernel) lastNames() names {
	k.mu.Lock()
	defer k.mu.Unlock()
	names := k.names
	names.remoteName = k.remoteName
	return names
}

// NameRemotes has sessions, drops and events say by which name a remote was asked for.
func (k *Kernel) NameRemotes(by RemoteName) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.remoteName = by
}

func (k *Kernel) lastConfig() config.Config {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.config
}
