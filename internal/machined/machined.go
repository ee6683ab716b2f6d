package machined

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/godbus/dbus/v5"

	"github.com/hostnat/hostnat/internal/model"
)

const (
	// lookAgain is how often the bus is looked for, and guests whose links have changed.
	lookAgain = 10 * time.Second
	// gatherTime is how long changes are gathered.
	gatherTime = 50 * time.Millisecond
)

// registry is systemd-machined, or what stands for it in tests.
type registry interface {
	present(ctx context.Context) (bool, error)
	machines(ctx context.Context) ([]machine, error)
	changes() <-chan *dbus.Signal // of machines, and of who is present; closed with the connection
	close()
}

// machine is a guest as it was registered.
type machine struct {
	name    string
	service string // the program that registered it: "libvirt-qemu", "systemd-nspawn"
	links   []int  // indices of its links on the host
}

// Host is what is asked of the host.
type Host struct {
	LinkName func(index int) string // empty: there is none
	// Station returns the MAC of the one machine that a bridge has heard of behind a
	// port of its; false if there is none, or several, or the link is no port.
	Station func(link string) (model.MAC, bool)
}

// Guests are the guests of the host. It is safe for concurrent use.
type Guests struct {
	log     *slog.Logger
	dial    func(context.Context) (registry, error)
	host    Host
	changed chan struct{}

	mu    sync.Mutex
	names map[string]string    // by their links on the host
	macs  map[string]model.MAC // of those links, as far as they were heard of
}

// New returns Guests that knows none yet.
func New(host Host, log *slog.Logger) *Guests {
	return &Guests{log: log, dial: dial, host: host, changed: make(chan struct{}, 1)}
}

// Changed tells when there are others.
func (g *Guests) Changed() <-chan struct{} { return g.changed }

// Names returns the names of the guests by their MACs: of those that were heard of. A guest
// keeps its MAC as long as it has its link: a bridge forgets those who are silent.
func (g *Guests) Names() map[model.MAC]string {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.names) == 0 {
		return nil
	}
	names := make(map[model.MAC]string, len(g.names))
	for link, name := range g.names {
		mac, known := g.macs[link]
		if !known {
			if mac, known = g.host.Station(link); known {
				g.macs[link] = mac
			}
		}
		if known {
			names[mac] = name
		}
	}
	return names
}

// Run follows systemd-machined until ctx ends, through its restarts and the bus's.
func (g *Guests) Run(ctx context.Context) error {
	for {
		if err := g.converse(ctx); err != nil && ctx.Err() == nil {
			g.log.Debug("no conversation with systemd-machined", "error", err)
		}
		g.become(nil)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(lookAgain):
		}
	}
}

// converse is Run for one connection to the bus.
func (g *Guests) converse(ctx context.Context) error {
	bus, err := g.dial(ctx)
	if err != nil {
		return err
	}
	defer bus.close()
	for {
		names, err := g.look(ctx, bus)
		if errors.Is(err, dbus.ErrClosed) {
			return err
		}
		if err == nil {
			g.become(names)
		} else if ctx.Err() == nil {
			g.log.Debug("systemd-machined does not say which guests there are", "error", err)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case _, open := <-bus.changes():
			if !open {
				return errors.New("the bus has ended the connection")
			}
			time.Sleep(gatherTime)
			drain(bus.changes())
		case <-time.After(lookAgain):
		}
	}
}

// drain takes what has come meanwhile.
func drain(signals <-chan *dbus.Signal) {
	for len(signals) > 0 {
		<-signals
	}
}

// look returns the names by links. nspawn registers the bridge that it has plugged a
// container's link into, in place of that link, which it names by the machine.
func (g *Guests) look(ctx context.Context, bus registry) (map[string]string, error) {
	if here, err := bus.present(ctx); err != nil || !here {
		return nil, err
	}
	list, err := bus.machines(ctx)
	if err != nil {
		return nil, err
	}
	names := make(map[string]string)
	for _, m := range list {
		for _, index := range m.links {
			if link := g.host.LinkName(index); link != "" {
				names[link] = guestName(m)
			}
		}
		if m.service == "systemd-nspawn" && len(m.links) > 0 {
			names["vb-"+m.name] = guestName(m)
		}
	}
	return names, nil
}

func (g *Guests) become(names map[string]string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if maps.Equal(g.names, names) {
		return
	}
	macs := make(map[string]model.MAC)
	for link, mac := range g.macs {
		if names[link] != "" && names[link] == g.names[link] {
			macs[link] = mac
		}
	}
	g.names, g.macs = names, macs
	select {
	case g.changed <- struct{}{}:
	default: // it is to be heard of already
	}
}

// numbered is what libvirt puts before a guest's name: qemu-7-web.
var numbered = regexp.MustCompile(`^[a-z]+-[0-9]+-`)

// guestName is the name that the guest's user gave it, as far as one label of a DNS name
// can say it.
func guestName(m machine) string {
	name := strings.ToLower(m.name)
	if strings.HasPrefix(m.service, "libvirt-") {
		name = numbered.ReplaceAllString(name, "")
	}
	return strings.Trim(strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			return r
		}
		return '-'
	}, name), "-")
}
