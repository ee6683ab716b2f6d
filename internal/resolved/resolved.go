package resolved

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/godbus/dbus/v5"

	"github.com/hostnat/hostnat/internal/config"
)

const (
	// lookAgain is how often the bus is looked for, and a setting that somebody
	// else has changed.
	lookAgain = 10 * time.Second
	// gatherTime is how long changes are gathered.
	gatherTime = 20 * time.Millisecond
	// hearTime is after which time it is told again of a link that it had not
	// heard of, doubled each time.
	hearTime = 100 * time.Millisecond
	// leaveTime is how long the settings are taken back at the end.
	leaveTime = 3 * time.Second
)

// resolver is systemd-resolved, or what stands for it in tests.
type resolver interface {
	present(ctx context.Context) (bool, error)
	settings(ctx context.Context) (map[int]setting, error)
	set(ctx context.Context, index int, w wish) error
	revert(ctx context.Context, index int) error
	changes() <-chan *dbus.Signal // of who is present; closed with the connection
	close()
}

// Host is the host's systemd-resolved, if it has one. It is safe for concurrent
// use.
type Host struct {
	extent  Extent
	log     *slog.Logger
	dial    func(context.Context) (resolver, error)
	indexOf func(link string) (int, error)
	changed chan struct{} // there are other wishes

	mu       sync.Mutex
	wishes   []wish
	problems []string

	told map[string]int // indices of links that were told of, by name; Run's alone
}

// New returns a Host that has been told of nothing yet.
func New(extent Extent, log *slog.Logger) *Host {
	return &Host{
		extent: extent, log: log, dial: dial, indexOf: linkIndex,
		changed: make(chan struct{}, 1), told: make(map[string]int),
	}
}

func linkIndex(name string) (int, error) {
	link, err := net.InterfaceByName(name)
	if err != nil {
		return 0, err
	}
	return link.Index, nil
}

// Configure has the host find the names of a configuration's networks. It does
// not wait for that.
func (h *Host) Configure(cfg config.Config) {
	list := wishes(cfg, h.extent)
	h.mu.Lock()
	same := slices.EqualFunc(h.wishes, list, wish.equal)
	h.wishes = list
	h.mu.Unlock()
	if same {
		return
	}
	select {
	case h.changed <- struct{}{}:
	default: // it is to look already
	}
}

// Problems returns what does not work, one line each.
func (h *Host) Problems() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.problems)
}

// Run tells systemd-resolved what Configure was told until ctx ends, and then
// takes it back: nobody answers any more. It follows its restarts, and the bus's.
func (h *Host) Run(ctx context.Context) error {
	if h.extent == NoNames {
		<-ctx.Done()
		return ctx.Err()
	}
	for {
		if err := h.converse(ctx); err != nil && ctx.Err() == nil {
			h.log.Debug("no conversation with systemd-resolved", "error", err)
		}
		h.report(nil)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(lookAgain):
		}
	}
}

// converse is Run for one connection to the bus.
func (h *Host) converse(ctx context.Context) error {
	bus, err := h.dial(ctx)
	if err != nil {
		return err
	}
	defer bus.close()
	clear(h.told)
	delay := time.Duration(0) // till it is told again of links that it has not heard of
	for {
		complete, err := h.tell(ctx, bus)
		if errors.Is(err, dbus.ErrClosed) {
			return err
		}
		if err != nil && ctx.Err() == nil {
			h.report([]string{"the host's programs do not find endpoints by name: systemd-resolved: " + err.Error()})
		}
		next := lookAgain
		if complete {
			delay = 0
		} else {
			delay = min(max(2*delay, hearTime), lookAgain)
			next = delay
		}
		select {
		case <-ctx.Done():
			h.takeBack(context.WithoutCancel(ctx), bus)
			return ctx.Err()
		case _, open := <-bus.changes():
			if !open {
				return errors.New("the bus has ended the connection")
			}
			clear(h.told)
		case <-h.changed:
			time.Sleep(gatherTime)
		case <-time.After(next):
		}
	}
}

// tell makes the settings as wished. Complete is false as long as there are links
// that systemd-resolved has not heard of.
func (h *Host) tell(ctx context.Context, bus resolver) (complete bool, err error) {
	h.mu.Lock()
	list := h.wishes
	h.mu.Unlock()
	if len(list) == 0 && len(h.told) == 0 {
		h.report(nil)
		return true, nil
	}
	if here, err := bus.present(ctx); err != nil || !here {
		h.report(nil)
		return true, err
	}
	settings, err := bus.settings(ctx)
	if err != nil {
		return true, err
	}
	complete = true
	var problems []string
	wished := make(map[string]bool)
	for _, w := range list {
		wished[w.bridge] = true
		switch err := h.fulfil(ctx, bus, w, settings); {
		case errors.Is(err, errUnknownLink):
			complete = false
		case err != nil:
			problems = append(problems, fmt.Sprintf("the host's programs do not find endpoints of network %s by name: %v", w.network, err))
		}
	}
	h.forget(ctx, bus, wished)
	h.report(problems)
	return complete, nil
}

// fulfil tells of one network what is not known yet. A bridge that is not there
// is reported by who makes it.
func (h *Host) fulfil(ctx context.Context, bus resolver, w wish, settings map[int]setting) error {
	index, err := h.indexOf(w.bridge)
	if err != nil {
		delete(h.told, w.bridge)
		return nil
	}
	has := settings[index]
	ours := h.told[w.bridge] == index
	switch {
	case has.fulfils(w):
		h.told[w.bridge] = index
		return nil
	case w.adopted && !ours && has.foreign(w):
		return fmt.Errorf("bridge %s has other name servers in systemd-resolved already, %v; "+
			"'resolvectl revert %s' takes them away", w.bridge, has.servers, w.bridge)
	}
	if err := bus.set(ctx, index, w); err != nil {
		return fmt.Errorf("systemd-resolved: %w", err)
	}
	h.told[w.bridge] = index
	h.log.Info("the host finds names", "network", w.network, "domains", w.domains, "by", "systemd-resolved")
	return nil
}

// forget takes back what nobody wishes any more. A link that is gone is forgotten
// without that.
func (h *Host) forget(ctx context.Context, bus resolver, wished map[string]bool) {
	for _, name := range slices.Sorted(maps.Keys(h.told)) {
		if wished[name] {
			continue
		}
		if index, err := h.indexOf(name); err == nil && index == h.told[name] {
			if err := bus.revert(ctx, index); err != nil {
				h.log.Warn("systemd-resolved keeps what it was told of a link", "link", name, "error", err)
			}
		}
		delete(h.told, name)
	}
}

func (h *Host) takeBack(ctx context.Context, bus resolver) {
	ctx, cancel := context.WithTimeout(ctx, leaveTime)
	defer cancel()
	h.forget(ctx, bus, nil)
}

// report keeps problems for status, and logs those that are new.
func (h *Host) report(problems []string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, p := range problems {
		if !slices.Contains(h.problems, p) {
			h.log.Warn(p)
		}
	}
	h.problems = problems
}
