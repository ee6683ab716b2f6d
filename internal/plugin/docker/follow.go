package docker

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	cerrdefs "github.com/containerd/errdefs"

	"github.com/hostnat/hostnat/api"
)

func isNotFound(err error) bool { return cerrdefs.IsNotFound(err) }

const (
	retryAfter = time.Second      // when Docker does not answer
	lookAgain  = 30 * time.Second // for what no event has told, or what was refused
	// Docker tells that a container has ended before its list says so.
	settleAfter = 200 * time.Millisecond
	oneLook     = time.Minute // one comparison takes no longer
)

// Options is what a Follower needs.
type Options struct {
	Daemon *api.Client
	// LinkOf returns the host's end of the link with that MAC in the network
	// namespace of a process.
	LinkOf func(ctx context.Context, pid, mac string) (string, error)
	// PairsOn returns the ports of a bridge whose other ends are still on the host.
	PairsOn func(ctx context.Context, bridge string) ([]string, error)
	// ResetUnaccepted ends connections to TCP ports of the host that no program
	// has accepted.
	ResetUnaccepted func(ctx context.Context, low, high uint16) error
	Log             *slog.Logger
}

// Follower keeps hostnat's endpoints and mappings as Docker's containers are.
type Follower struct {
	options Options
	changed chan struct{} // host is another one

	mu       sync.Mutex
	host     string
	problems []string

	// What follows is for Run alone.
	links    map[string]Attachment // what was found out of attachments, by id
	asked    map[string]Process    // what containers are to get, by id
	starting map[string]starting   // by id of the container
	running  map[string]bool       // likewise
	called   map[string]called     // containers of the driver's endpoints, by Docker's id of the endpoint
	unknown  map[string]time.Time  // endpoints of the driver's that are no container's, and since when
}

// New returns a Follower that follows nobody.
func New(o Options) *Follower {
	return &Follower{
		options: o, changed: make(chan struct{}, 1), links: make(map[string]Attachment), asked: make(map[string]Process),
		starting: make(map[string]starting), running: make(map[string]bool),
	}
}

// Follow has it follow the Docker daemon at a host; "": none.
func (f *Follower) Follow(host string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.host == host {
		return
	}
	f.host = host
	select {
	case f.changed <- struct{}{}:
	default:
	}
}

// Problems is what does not work, for status.
func (f *Follower) Problems() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]string{}, f.problems...)
}

func (f *Follower) followed() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.host
}

// note remembers what does not work, and logs what is new of it.
func (f *Follower) note(errs []error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	before := f.problems
	f.problems = nil
	for _, err := range errs {
		f.problems = append(f.problems, "Docker: "+err.Error())
	}
	for _, p := range f.problems {
		if !slices.Contains(before, p) {
			f.options.Log.Warn(p)
		}
	}
}

// Run follows until ctx ends.
func (f *Follower) Run(ctx context.Context) error {
	for {
		host := f.followed()
		var again <-chan time.Time
		if host == "" {
			f.note(nil)
		} else {
			f.followOne(ctx, host)
			again = time.After(retryAfter)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-f.changed:
		case <-again:
		}
	}
}

// followOne follows one Docker daemon until that ends, or another one is to be
// followed.
func (f *Follower) followOne(ctx context.Context, host string) {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	e, err := Dial(host)
	if err != nil {
		f.note([]error{err})
		return
	}
	defer e.Close()
	if _, err := e.Version(ctx); err != nil {
		f.note(append([]error{err}, f.without(ctx)...))
		return
	}
	events := e.events(ctx) // before the first look: nothing is missed
	clear(f.starting)
	clear(f.asked)
	wait, again := time.Duration(0), lookAgain // until everything is looked at, and looked at again
	for f.followed() == host {
		if wait == 0 && len(events) == 0 {
			f.note(f.look(ctx, e))
			wait, again = again, lookAgain
		}
		select {
		case <-ctx.Done():
			return
		case <-f.changed:
			wait, again = 0, lookAgain
		case h, on := <-events:
			if !on {
				return
			}
			switch f.hears(ctx, e, h) {
			case atOnce:
				wait, again = 0, settleAfter
			case soon:
				wait = min(wait, settleAfter)
			}
		case <-time.After(wait):
			wait = 0
		}
	}
}

// look compares Docker's containers with what hostnat has, once.
func (f *Follower) look(ctx context.Context, e *Engine) []error {
	ctx, stop := context.WithTimeout(ctx, oneLook)
	defer stop()
	has, err := f.state(ctx)
	if err != nil {
		return []error{err}
	}
	networks, err := e.networks(ctx)
	if err != nil {
		return []error{err}
	}
	errs := f.changeNetworks(ctx, &has, PlanNetworks(networks, has.Networks))
	ours := make(map[string]api.Network)
	for _, n := range has.Networks {
		ours[n.Bridge] = n
	}
	known := make(map[string]Attachment)
	containers, failed := e.containers(ctx, networks, func(id string, a *Attachment) error {
		n, is := ours[a.Bridge]
		if !is || a.Bridge == "" {
			return nil
		}
		if found, seen := f.links[a.ID]; seen {
			a.Link, a.Aliases = found.Link, found.Aliases
		} else if err := f.find(ctx, e, id, a, n); err != nil {
			return err
		}
		known[a.ID] = *a
		return nil
	})
	errs = append(errs, failed...)
	if containers == nil {
		return errs
	}
	containers = f.withStarting(containers)
	f.links = known
	errs = append(errs, f.carryOut(ctx, PlanFor(containers, has))...)
	errs = append(errs, f.name(ctx, e, has)...)
	return append(errs, f.reattach(ctx, e, has)...)
}

// changeNetworks does all that can be done of a plan, and notes in has what is there
// then.
func (f *Follower) changeNetworks(ctx context.Context, has *State, p NetworkPlan) (errs []error) {
	c := f.options.Daemon
	for _, name := range p.Delete {
		err := c.DeleteNetwork(ctx, name, true)
		if err != nil && api.CodeOf(err) != api.NotFound {
			errs = append(errs, fmt.Errorf("delete network %s: %w", name, err))
		}
	}
	for _, spec := range p.Create {
		if _, err := c.CreateNetwork(ctx, spec); err != nil {
			errs = append(errs, fmt.Errorf("take over network %s: %w", spec.Name, err))
		}
	}
	if len(p.Delete)+len(p.Create) == 0 {
		return nil
	}
	now, err := f.state(ctx)
	if err != nil {
		return append(errs, err)
	}
	*has = now
	return errs
}

// find asks what the list of containers does not show of an attachment, once after
// each start, and tells the container of the network's name server.
func (f *Follower) find(ctx context.Context, e *Engine, id string, a *Attachment, n api.Network) error {
	p, err := e.Process(ctx, id)
	if isNotFound(err) || err == nil && p.PID == 0 { // it has ended meanwhile: an event tells
		return nil
	}
	if err != nil {
		return err
	}
	f.asked[id] = p
	a.Aliases = p.Aliases[a.Network]
	if a.Network == defaultNetwork && !p.OwnDNS {
		if err := TellResolver(p.ResolvConf, n); err != nil {
			return err
		}
	}
	a.Link, err = f.options.LinkOf(ctx, strconv.Itoa(p.PID), a.MAC)
	return err
}

// without is a look while Docker does not answer.
func (f *Follower) without(ctx context.Context) []error {
	has, err := f.state(ctx)
	if err != nil {
		return []error{err}
	}
	return f.carryOut(ctx, PlanWithout(has))
}

func (f *Follower) state(ctx context.Context) (s State, err error) {
	if s.Networks, err = f.options.Daemon.Networks(ctx); err != nil {
		return s, err
	}
	if s.Endpoints, err = f.options.Daemon.Endpoints(ctx, ""); err != nil {
		return s, err
	}
	s.Mappings, err = f.options.Daemon.Mappings(ctx)
	return s, err
}

// carryOut does all that can be done of a plan.
func (f *Follower) carryOut(ctx context.Context, p Plan) (errs []error) {
	c := f.options.Daemon
	note := func(what string, err error) {
		if err != nil && api.CodeOf(err) != api.NotFound {
			errs = append(errs, fmt.Errorf("%s: %w", what, err))
		}
	}
	for _, id := range p.Delete {
		note(fmt.Sprintf("delete mapping %d", id), c.DeleteMapping(ctx, id))
	}
	for _, name := range p.Detach {
		note("detach "+name, c.DetachEndpoint(ctx, name))
	}
	for name, aliases := range p.Name {
		_, err := c.SetEndpoint(ctx, name, map[string]string{"aliases": listed(aliases)})
		note("name "+name, err)
	}
	for _, s := range p.Attach {
		_, err := c.AttachEndpoint(ctx, s)
		note("attach container "+s.Name, err)
	}
	for _, s := range p.Add {
		what := fmt.Sprintf("publish %s %s of %s", s.Protocol, s.External, s.Internal)
		_, err := c.AddMapping(ctx, s)
		note(what, err)
		if err == nil && s.Protocol == "tcp" {
			note(what, f.reset(ctx, s.External))
		}
	}
	return errs
}

// reset ends connections that were made between Docker's keeping a port and the
// mapping: the socket by which it keeps it would never accept them.
func (f *Follower) reset(ctx context.Context, external string) error {
	_, ports, _ := strings.Cut(external, ":")
	first, last, isRange := strings.Cut(ports, "-")
	if !isRange {
		last = first
	}
	low, err := strconv.ParseUint(first, 10, 16)
	if err != nil {
		return err
	}
	high, err := strconv.ParseUint(last, 10, 16)
	if err != nil {
		return err
	}
	return f.options.ResetUnaccepted(ctx, uint16(low), uint16(high))
}
