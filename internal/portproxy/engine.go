package portproxy

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/netip"
	"runtime"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/hostnat/hostnat/internal/budget"
	"github.com/hostnat/hostnat/internal/config"
	"github.com/hostnat/hostnat/internal/model"
)

// retryEvery is how often a listener that could not be opened is tried again.
const retryEvery = 2 * time.Second

// fewFiles is what a process may open where nothing says otherwise (setrlimit(2)).
const fewFiles = 1024

// maxLoops is how many threads relay at most.
const maxLoops = 4

// Options is what an Engine may be told.
type Options struct {
	Log    *slog.Logger // nil: silent
	Lookup Lookup       // nil: as the host does
	Loops  int          // threads; 0: as many as fit the host
	// Descriptors is how many file descriptors clients may take. 0: half of what the
	// process may open.
	Descriptors int
}

// Engine relays for a set of port proxies that can change at any time. It is
// safe for concurrent use.
type Engine struct {
	log    *slog.Logger
	names  *names
	count  int // of loops
	places *places

	applying sync.Mutex // one change at a time

	mu    sync.Mutex
	loops []*loop // none before Run and after
	rules map[uint32]*rule
	turn  int // which loop gets the next UDP socket
}

// New returns an Engine that relays nothing yet.
func New(o Options) *Engine {
	e := &Engine{log: o.Log, count: o.Loops, rules: make(map[uint32]*rule)}
	if e.log == nil {
		e.log = slog.New(slog.DiscardHandler)
	}
	if e.count == 0 {
		e.count = min(runtime.GOMAXPROCS(0), maxLoops)
	}
	if o.Descriptors == 0 {
		files, err := budget.FilesOfProcess()
		if err != nil {
			files = budget.FilesOf(fewFiles)
		}
		o.Descriptors = files.Proxies
	}
	e.places = newPlaces(o.Descriptors)
	if o.Lookup == nil {
		o.Lookup = systemLookup
	}
	e.names = newNames(o.Lookup)
	return e
}

// Threads is how many threads relay.
func (e *Engine) Threads() int { return e.count }

// Run relays until ctx ends; then all connections are ended.
func (e *Engine) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	loops := make([]*loop, e.count)
	for i := range loops {
		l, err := newLoop(e.places, e.places.pipes/e.count)
		if err != nil {
			for _, made := range loops[:i] {
				made.close()
			}
			return err
		}
		loops[i] = l
	}
	for _, l := range loops {
		group.Go(l.run)
	}
	e.mu.Lock()
	e.loops = loops
	e.mu.Unlock()
	group.Go(func() error { e.names.run(ctx, e.again); return ctx.Err() })
	group.Go(func() error { return e.follow(ctx) })
	<-ctx.Done()
	e.stop(loops)
	return group.Wait()
}

// follow opens what could not be opened before.
func (e *Engine) follow(ctx context.Context) error {
	again := time.NewTicker(retryEvery)
	defer again.Stop()
	e.again()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-again.C:
			if e.troubled() {
				e.again()
			}
		}
	}
}

func (e *Engine) troubled() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, r := range e.rules {
		if r.trouble != "" {
			return true
		}
	}
	return false
}

// stop closes the listeners, ends the connections and then the loops.
func (e *Engine) stop(loops []*loop) {
	e.applying.Lock()
	defer e.applying.Unlock()
	e.mu.Lock()
	for _, r := range e.rules {
		for key, s := range r.listening {
			e.closeListener(r, key, s)
		}
	}
	e.loops = nil
	e.mu.Unlock()
	for _, l := range loops {
		l.post(l.stop)
	}
}

// Apply makes the proxies of a configuration those that are relayed for. A
// proxy that is the same as before keeps its connections; those of one that is
// gone are ended. When it returns, the new ones listen, or their state says
// what is in the way.
func (e *Engine) Apply(c config.Config) {
	e.applying.Lock()
	defer e.applying.Unlock()
	e.mu.Lock()
	defer e.mu.Unlock()
	e.names.want(hosts(c.Proxies), endpoints(c))
	e.names.sight.Store(config.NewClientSight(c))
	wanted := make(map[uint32]model.Proxy)
	for _, p := range c.Proxies {
		wanted[p.ID] = p
	}
	for id, r := range e.rules {
		if p, keep := wanted[id]; !keep || !p.Same(r.proxy) {
			e.remove(r)
			delete(e.rules, id)
		}
	}
	for id, p := range wanted {
		if e.rules[id] == nil {
			e.rules[id] = newRule(p, e.names)
		}
	}
	e.sync()
}

// again is Apply for what is there already.
func (e *Engine) again() {
	e.applying.Lock()
	defer e.applying.Unlock()
	e.mu.Lock()
	defer e.mu.Unlock()
	e.sync()
}

// States returns the states of all proxies, by id.
func (e *Engine) States() map[uint32]model.ProxyState {
	e.mu.Lock()
	defer e.mu.Unlock()
	out := make(map[uint32]model.ProxyState, len(e.rules))
	for id, r := range e.rules {
		out[id] = r.view()
	}
	return out
}

// refusedLately is how long Problems speaks of clients that were refused.
const refusedLately = time.Minute

// Problems says which proxies have refused clients lately, one line each.
func (e *Engine) Problems() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	var list []string
	for _, id := range slices.Sorted(maps.Keys(e.rules)) {
		s := &e.rules[id].stats
		if n := s.refused.Load(); n > 0 && time.Since(time.Unix(s.refusedAt.Load(), 0)) < refusedLately {
			list = append(list, fmt.Sprintf("port proxy %d has refused %d clients and ended %d silent ones: one client may have %d connections, one proxy %d, and a client may open %.0f a second while others wait; 'hostnat proxy list' has the figures, and raising LimitNOFILE of the service the limits of connections",
				id, n, s.gaveWay.Load(), e.places.ofClient/filesOfConn, e.places.ofRule/filesOfConn, clientOpens.PerSecond))
		}
	}
	return list
}

// Lookup finds the addresses of a name, to be told early that a proxy would
// lead to itself. Nil: the name is not known, or not within the time of ctx.
func (e *Engine) Lookup(ctx context.Context, host string) []netip.Addr {
	list, err := e.names.lookup(ctx, host)
	if err != nil {
		return nil
	}
	return list
}

// remove ends a rule and its connections.
func (e *Engine) remove(r *rule) {
	for key, s := range r.listening {
		e.closeListener(r, key, s)
	}
	for _, l := range e.loops {
		l.post(func() {
			for c := range l.conns {
				if c.rule == r {
					c.reset(l, nil)
				}
			}
		})
	}
}

// locate says where things are now.
func (e *Engine) locate() config.Locate {
	own := make(map[netip.Addr]bool)
	addresses, _ := net.InterfaceAddrs() // none: loopback alone is ours
	for _, a := range addresses {
		if n, ok := a.(*net.IPNet); ok {
			if ip, ok := netip.AddrFromSlice(n.IP); ok {
				own[ip.Unmap()] = true
			}
		}
	}
	return config.Locate{Resolve: e.names.addresses, Local: func(a netip.Addr) bool { return own[a] }}
}

// findLoops marks the rules that would relay to themselves: names may lead
// anywhere at any time.
func (e *Engine) findLoops() {
	if len(e.rules) == 0 {
		return
	}
	at := e.locate()
	all := make([]model.Proxy, 0, len(e.rules))
	for _, r := range e.rules {
		all = append(all, r.proxy)
	}
	for _, r := range e.rules {
		others := slices.DeleteFunc(slices.Clone(all), func(p model.Proxy) bool { return p.ID == r.proxy.ID })
		if err := config.ProxyLoop(r.proxy, others, at); err != nil {
			r.loops.Store(&err)
		} else {
			r.loops.Store(nil)
		}
	}
}

// hosts lists the hosts that proxies name.
func hosts(proxies []model.Proxy) (list []string) {
	for _, p := range proxies {
		list = append(list, p.Listen.Host)
		for _, t := range p.Targets() {
			list = append(list, t.Host)
		}
	}
	return list
}

// endpoints says where the endpoints are. Two compartments may have the same
// address: the link tells which is meant.
func endpoints(c config.Config) map[string]server {
	bridges := make(map[string]string)
	for _, n := range c.Networks {
		bridges[n.Name] = n.Bridge
	}
	out := make(map[string]server)
	for _, e := range c.Endpoints {
		out[e.Name] = server{e.Address4(), bridges[e.Network]}
	}
	return out
}
