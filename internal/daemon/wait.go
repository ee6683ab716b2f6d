package daemon

import (
	"context"
	"errors"
	"os"
	"sync"
	"time"

	"github.com/hostnat/hostnat/api"
	"github.com/hostnat/hostnat/internal/budget"
	"github.com/hostnat/hostnat/internal/control"
	"github.com/hostnat/hostnat/internal/doctor"
	"github.com/hostnat/hostnat/internal/model"
	"github.com/hostnat/hostnat/internal/reconcile"
	"github.com/hostnat/hostnat/internal/server"
	"github.com/hostnat/hostnat/internal/store"
)

// errDown ends a daemon that has been told to take everything down.
var errDown = errors.New("everything was taken down")

// waiting is a daemon without a configuration. It leaves the kernel alone.
type waiting struct {
	server.Service // nil: a waiting server asks for nothing but what is below

	options Options
	store   *store.Store
	started time.Time
	end     func(error)
	once    sync.Mutex // held while one decision is carried out
}

// wait answers at the socket until somebody has decided which configuration is
// used, and leaves links, programs and tables in the kernel as they are.
func wait(ctx context.Context, o Options, s *store.Store) error {
	listener, err := newSocket(o.socketPath())
	if err != nil {
		return err
	}
	defer listener.Close()
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	for _, problem := range s.Problems() {
		o.Log.Error(problem)
	}
	_, _, refusal := s.Load()
	w := &waiting{options: o, store: s, started: time.Now(), end: end}
	go func() { _ = keepSupervisor(ctx, o.socketPath(), o.Log) }()
	go func() { // nothing of ours is pinned by this daemon
		_ = listener.keep(ctx, func() bool { return true }, nil, o.Log)
	}()
	files, err := budget.FilesOfProcess()
	if err != nil {
		return err
	}
	srv := server.NewWaitingServer(server.Options{Service: w, Version: o.Version, Log: o.Log, Readers: o.Readers, Files: files.API}, refusal)
	if err := srv.Serve(ctx, listener); err != nil {
		return err
	}
	if cause := context.Cause(ctx); !errors.Is(cause, errDecided) {
		return cause
	}
	return nil
}

var errDecided = errors.New("somebody has decided")

// Status says what is damaged.
func (w *waiting) Status(context.Context) (control.Status, error) {
	return control.Status{
		Version: w.options.Version, PID: os.Getpid(), UptimeSeconds: uint64(time.Since(w.started) / time.Second),
		Drops: map[string]uint64{}, ExternalAddresses: []control.AddressView{}, Problems: w.store.Problems(), Warnings: []string{},
	}, nil
}

// Doctor shows the choices. What would be fixed by a configuration stays.
func (w *waiting) Doctor(ctx context.Context, _ bool) ([]doctor.Finding, error) {
	facts := doctor.Facts{Root: true, Daemon: &doctor.Daemon{PID: os.Getpid()}}
	if u := w.store.Undecided(); u != nil {
		facts.Undecided = undecided(u)
	}
	return examineHost(ctx, facts, w.options.ResolvConf, false), nil
}

// Restore carries a decision out.
func (w *waiting) Restore(_ context.Context, r api.Restoration) (uint64, error) {
	w.once.Lock()
	defer w.once.Unlock()
	from := store.Source{Copy: r.Copy, Empty: r.Empty}
	if r.File != "" {
		from.File = []byte(r.File)
	}
	if w.store.Undecided() == nil {
		return 0, errNothingToDecide()
	}
	if err := w.store.Restore(from); err != nil {
		return 0, err
	}
	_, revision, err := w.store.Load()
	w.options.Log.Warn("somebody has decided which configuration is used", "copy", r.Copy, "empty", r.Empty, "file", r.File != "")
	w.end(errDecided)
	return uint64(revision), err
}

// Down takes everything out of the kernel and ends the daemon.
func (w *waiting) Down(ctx context.Context) error {
	defer w.end(errDown)
	return errors.Join(reconcile.Down(ctx, w.options.RunDir, nil), store.Leave(w.options.RunDir))
}

// Restore refuses: what is in order is not replaced while it is in force.
func (s service) Restore(context.Context, api.Restoration) (uint64, error) {
	return 0, errNothingToDecide()
}

func errNothingToDecide() error {
	return model.Errorf(model.Conflict, "the configuration is in order: there is nothing to decide").
		WithHint("to replace it all the same, end the daemon and run 'hostnat restore' again")
}
