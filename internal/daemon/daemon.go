// Package daemon is hostnat's daemon: what runs, and in which order.
package daemon

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"runtime"
	"time"

	"github.com/hostnat/hostnat/internal/host/arp"
	"github.com/hostnat/hostnat/internal/host/self"
	"golang.org/x/sync/errgroup"

	"github.com/hostnat/hostnat/internal/budget"
	"github.com/hostnat/hostnat/internal/control"
	"github.com/hostnat/hostnat/internal/dhcp"
	"github.com/hostnat/hostnat/internal/export"
	"github.com/hostnat/hostnat/internal/portproxy"
	"github.com/hostnat/hostnat/internal/priority"
	"github.com/hostnat/hostnat/internal/reconcile"
	"github.com/hostnat/hostnat/internal/resolved"
	"github.com/hostnat/hostnat/internal/server"
	"github.com/hostnat/hostnat/internal/store"
	"github.com/hostnat/hostnat/internal/whereis"
)

// Options is where the daemon keeps its things.
type Options struct {
	StateDir     string // the configuration's file
	RunDir       string // socket, BPF filesystem
	ConfDir      string // configuration files that are applied at the start and at SIGHUP; empty: none
	ResolvConf   string // names the host's resolvers; empty: the host's own
	Version      string // what the daemon calls itself
	HostNames    HostNames
	Readers      server.Readers
	Web          string // where the web page is served, ADDRESS:PORT; empty: nowhere
	WebRemote    bool   // that may be another address than a loopback one
	Export       export.Options
	DockerDriver string // socket of Docker's driver; empty: none, but for what systemd hands over
	Discard      bool   // sessions of an earlier version that cannot be carried over end
	Log          *slog.Logger
}

// Readers is who may read more than the status.
type Readers = server.Readers

func (o Options) socketPath() string { return filepath.Join(o.RunDir, SocketName) }

// store says where the state is kept.
func (o Options) store(ctx context.Context) store.Options {
	return store.Options{Dir: o.StateDir, RunDir: o.RunDir, Running: func() bool { return reconcile.Present(ctx, o.RunDir) }}
}

// HostNames is which names systemd-resolved, if there is one, is told of.
type HostNames = resolved.Extent

// SocketName is the API's socket in the run directory.
const SocketName = "hostnat.sock"

// task is one of the things that the daemon does until it ends.
type task struct {
	name string
	run  func(context.Context) error
}

// Run runs the daemon until ctx ends or somebody calls Down over the API. The
// data path stays in the kernel and goes on.
func Run(ctx context.Context, o Options) error {
	exporter, err := newExporter(o)
	if err != nil {
		return err
	}
	s, release, err := hold(ctx, o)
	if err != nil {
		return err
	}
	defer release()
	raise(o.Log)
	again, stop := hangups()
	defer stop()
	if s.Undecided() != nil {
		if err := wait(ctx, o, s); err != nil {
			return endOf(err)
		}
	}
	listener, err := newSocket(o.socketPath())
	if err != nil {
		return err
	}
	defer listener.Close()
	forDocker, err := dockerListener(o.DockerDriver)
	if err != nil {
		return err
	}
	k, err := reconcile.Open(o.RunDir, o.Discard, o.Log)
	if err != nil {
		return err
	}
	defer k.Close()
	leases, err := dhcp.NewLeases(s)
	if err != nil {
		return err
	}
	beside := newServers(k, leases, o)
	defer beside.close()
	guard := whereis.New(k.WhoIsWhere(), arp.SwitchPorts{}, k.Announce, o.Log)
	relays := newRelays(o)
	files := &fragments{dir: o.ConfDir, log: o.Log, again: again}
	page, err := newWebPage(o)
	if err != nil {
		return err
	}
	c, err := control.New(control.Options{
		Store: s, Kernel: k, Leases: leases, Relays: relays, Servers: beside,
		Log: o.Log, Version: o.Version, Resolvers: beside.dns.Resolvers, Guests: beside.guests.Names, Problems: append(beside.problems(), relays.Problems, guard.Problems, files.Problems, page.Problems, exporter.Problems),
	})
	if err != nil {
		return err
	}
	begin(ctx, o, s, c)
	files.apply = c.ApplyFiles
	files.Apply(ctx)
	if err := feed(ctx, exporter, k); err != nil {
		return err
	}
	p := parts{
		options: o, kernel: k, control: c, beside: beside, leases: leases, relays: relays, guard: guard,
		fragments: files, page: page, exporter: exporter, listener: listener,
	}
	return p.run(ctx, task{"Docker's driver", dockerDriver(o, forDocker)})
}

func newExporter(o Options) (*export.Exporter, error) {
	o.Export.Log = o.Log
	return export.New(o.Export)
}

// feed has an exporter get the kernel's events, if anybody is to get them from it: else
// the kernel sends none.
func feed(ctx context.Context, x *export.Exporter, k *reconcile.Kernel) error {
	if !x.Wanted() {
		return nil
	}
	return k.Follow(ctx, x.Take)
}

// raise gives the daemon priority. It goes on without where the kernel refuses that.
func raise(log *slog.Logger) {
	if err := priority.Raise(); err != nil {
		log.Info("the daemon has no more priority than other programs", "error", err)
	}
}

// begin makes the kernel as configured. What is stored may not fit any more (an
// adopted bridge is gone, say): the daemon then serves what does fit, and says so in
// status.
func begin(ctx context.Context, o Options, s *store.Store, c *control.Control) {
	for _, problem := range s.Problems() {
		o.Log.Warn(problem)
	}
	if err := c.Reconcile(ctx); err != nil {
		o.Log.Error("the kernel is not as configured", "error", err)
	}
}

func newRelays(o Options) *portproxy.Engine {
	relays := portproxy.New(portproxy.Options{Log: o.Log})
	// The relays' threads have no priority (see priority.Ordinary): while one of them waits for
	// a processor of the machine, it must not keep one of Go's from the others.
	runtime.GOMAXPROCS(runtime.GOMAXPROCS(0) + relays.Threads())
	return relays
}

// hold takes what one daemon alone may have, the host and the state directory:
// this tells of a second one before anything is touched.
func hold(ctx context.Context, o Options) (*store.Store, func(), error) {
	if err := self.CheckPrivileges(); err != nil {
		return nil, nil, err
	}
	claim, err := self.ClaimHost()
	if err != nil {
		return nil, nil, err
	}
	s, err := store.Open(o.store(ctx))
	if err != nil {
		claim.Release()
		return nil, nil, err
	}
	return s, func() { s.Close(); claim.Release() }, nil
}

// parts are what the daemon's tasks work on.
type parts struct {
	options   Options
	kernel    *reconcile.Kernel
	control   *control.Control
	beside    *servers
	leases    *dhcp.Leases
	relays    *portproxy.Engine
	guard     *whereis.Guard
	fragments *fragments
	page      *webPage
	exporter  *export.Exporter
	listener  *socket
}

// run runs all tasks until one of them ends.
func (p parts) run(ctx context.Context, more ...task) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	srv, err := p.server(ctx, stop)
	if err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	for _, t := range append(p.tasks(srv), more...) {
		group.Go(func() error {
			err := t.run(ctx)
			p.options.Log.Debug("ended", "task", t.name, "error", err)
			return err
		})
	}
	p.options.Log.Info("hostnat is ready", "socket", p.listener.Addr().String(), "version", p.options.Version)
	return endOf(group.Wait())
}

func (p parts) server(ctx context.Context, stop func()) (*server.Server, error) {
	files, err := budget.FilesOfProcess()
	if err != nil {
		return nil, err
	}
	o := p.options
	return server.NewServer(server.Options{
		Service: service{
			Control: p.control, kernel: p.kernel, beside: p.beside, exporter: p.exporter,
			resolvConf: o.ResolvConf, runDir: o.RunDir, stop: stop, probes: make(chan struct{}, 1),
		},
		Version: o.Version, Log: o.Log, Readers: o.Readers, Files: files.API, PageURL: p.page.open(ctx),
	}), nil
}

func (p parts) tasks(srv *server.Server) []task {
	o, k, c := p.options, p.kernel, p.control
	lost := make(chan struct{}, 1) // what is pinned in the run directory
	return []task{
		{"API", func(ctx context.Context) error { return srv.Serve(ctx, p.listener) }},
		{"run directory", func(ctx context.Context) error { return p.listener.keep(ctx, k.IsPinned, lost, o.Log) }},
		{"reconciler", func(ctx context.Context) error { return follow(ctx, c, k.HostChanges(), lost, o.Log) }},
		{"host watcher", k.WatchHost},
		{"port proxies", p.relays.Run},
		{"who is where", p.guard.Run},
		{"early questions", func(ctx context.Context) error { return followEarly(ctx, k, p.beside.dhcp) }},
		{"configuration files", p.fragments.Run},
		{"DNS", p.beside.dns.Run},
		{"names for the host", p.beside.names.Run},
		{"guests", p.beside.guests.Run},
		{"names of guests", func(ctx context.Context) error { return followLeases(ctx, c, p.beside.guests.Changed(), o.Log) }},
		{"Docker", p.beside.docker.Run},
		{"systemd", func(ctx context.Context) error { return keepSupervisor(ctx, o.socketPath(), o.Log) }},
		{"web page", func(ctx context.Context) error { return p.page.run(ctx, srv) }},
		{"export", p.exporter.Run},
		{"handshakes", p.kernel.CountHandshakes},
		{"leases", func(ctx context.Context) error { return followLeases(ctx, c, p.leases.Watch(), o.Log) }},
	}
}

// endOf is what a daemon's end is to who has started it: no error if it was asked for.
func endOf(err error) error {
	if errors.Is(err, context.Canceled) || errors.Is(err, errDown) {
		return nil
	}
	return err
}

// lookAgain is how often things are looked at that nobody announces: a
// namespace that is there again, a program that somebody detached.
const lookAgain = 10 * time.Second

// follow reconciles whenever links, addresses or routes have changed by somebody
// else's doing, or what was pinned is lost.
func follow(ctx context.Context, c *control.Control, ticks, lost <-chan struct{}, log *slog.Logger) error {
	again := time.NewTicker(lookAgain)
	defer again.Stop()
	for {
		reconcile := c.Follow
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticks:
		case <-lost:
			log.Warn("the run directory was emptied: what is pinned there is pinned again")
			reconcile = c.Reconcile
		case <-again.C:
			reconcile = c.Reconcile
		}
		if err := reconcile(ctx); err != nil && ctx.Err() == nil {
			log.Error("the kernel is not as configured", "error", err)
		}
	}
}

// service is Control as the API offers it: after Down the daemon ends, since
// the next reconciliation would put everything back.
type service struct {
	*control.Control
	kernel     *reconcile.Kernel
	beside     *servers
	exporter   *export.Exporter
	resolvConf string // Options.ResolvConf
	runDir     string // Options.RunDir
	stop       func()
	probes     chan struct{} // one at a time
}

// Down takes everything out of the kernel and ends the daemon.
func (s service) Down(ctx context.Context) error {
	if err := s.Control.Down(ctx); err != nil {
		return err
	}
	defer s.stop()
	return store.Leave(s.runDir)
}

// Down removes everything from the kernel while no daemon runs.
func Down(ctx context.Context, o Options) error {
	s, release, err := hold(ctx, o)
	if err != nil {
		return err
	}
	defer release()
	c, _, _ := s.Load() // if nobody has decided on one, no endpoint is known
	return errors.Join(reconcile.Down(ctx, o.RunDir, c.Endpoints), store.Leave(o.RunDir))
}
