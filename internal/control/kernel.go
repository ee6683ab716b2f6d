package control

import (
	"context"
	"iter"
	"net/netip"
	"os"
	"time"

	"github.com/hostnat/hostnat/internal/config"
	"github.com/hostnat/hostnat/internal/event"
	"github.com/hostnat/hostnat/internal/model"
	"github.com/hostnat/hostnat/internal/traffic"
)

// Report is what came of an Apply.
type Report = model.Report

// Counters is the data path's own count of things.
type Counters = model.Counters

// Kernel is the host and its data path as control sees them: package reconcile has
// the real ones, tests a fake. Each operation uses the part that it needs.
type Kernel interface {
	Host
	Reconciler
	Tables
	Events
}

// Host is what is asked of the host itself.
type Host interface {
	// Facts returns the host's own addresses, routes, links and ports now.
	Facts(ctx context.Context) (model.HostFacts, error)
	// Listener returns the host's program that holds one of the external
	// ports, the lowest such, or nil. An external address of 0.0.0.0 asks for
	// all addresses.
	Listener(ctx context.Context, p model.Protocol, external model.AddrPorts) (*model.Listener, error)
	// Listeners returns all programs of the host that Listener would find.
	Listeners(ctx context.Context) ([]model.Listener, error)
	// Holder asks on a link of the host who has an address there, if anybody does.
	Holder(ctx context.Context, link string, a netip.Addr) (mac model.MAC, taken bool, err error)
	// CheckTarget returns a *model.Error if the namespace, process, TAP or port
	// that an endpoint is to be attached to is not there.
	CheckTarget(ctx context.Context, e model.Endpoint) error
	// OpenTAP makes a TAP that is a port of a network's bridge until the file, and what
	// was made of it, is closed.
	OpenTAP(ctx context.Context, n model.Network, vnetHdr bool) (name string, file *os.File, err error)
	// OpenOwnTAP opens the TAP that was made for an endpoint.
	OpenOwnTAP(ctx context.Context, e model.Endpoint, vnetHdr bool) (*os.File, error)
	// IdleTAPs are the links that are TAPs which no program has open.
	IdleTAPs(ctx context.Context) (map[string]bool, error)
	// Station returns the MAC of the one machine behind a port of a bridge, as far
	// as the bridge has heard of it.
	Station(ctx context.Context, port string) (mac model.MAC, known bool, err error)
	// Neighbours returns who is on networks' bridges and was not attached, as far
	// as they have spoken to the host in the last minutes.
	Neighbours(ctx context.Context) ([]model.Neighbour, error)
	// BounceCarrier has the machines on a network's bridge that hostnat does not
	// configure notice that something has changed, where that can be done.
	BounceCarrier(ctx context.Context, network string) error
}

// Reconciler makes a configuration true.
type Reconciler interface {
	// Apply makes the kernel equal to c. Safe to repeat.
	Apply(ctx context.Context, c config.Config) (Report, error)
	// Change is Apply for a configuration that somebody has just changed. What
	// has happened on the host meanwhile it need not look at.
	Change(ctx context.Context, c config.Config) (Report, error)
	// ChangeLeases tells of a configuration in which nothing but leases is new.
	ChangeLeases(ctx context.Context, c config.Config) error
	// Drifted reports whether the host is not any more as the last Apply or
	// Change has left it, as far as the host tells by itself.
	Drifted(ctx context.Context) (bool, error)
	// Down takes everything out of the kernel.
	Down(ctx context.Context) error
}

// Tables are the kernel's, which alone know bindings and sessions. Both are
// filtered where they are read, and yielded one by one, names filled in.
type Tables interface {
	Bindings(ctx context.Context, selected model.Selection) iter.Seq2[model.Binding, error]
	Sessions(ctx context.Context, selected model.Selection) iter.Seq2[model.Session, error]
	// EndSessions ends the sessions that the predicate picks and returns how
	// many those were. A binding goes with its last session.
	EndSessions(ctx context.Context, picks func(model.Session) bool) (int, error)
	// Counters returns drops by reason, and how full the tables are.
	Counters(ctx context.Context) (Counters, error)
	// Traffic reads the sessions that have sent since then, and how many others there are.
	Traffic(since time.Time) (traffic.Reading, error)
}

// Events are those of the data path and of the daemon.
type Events interface {
	// Watch returns events as they happen. The channel is closed when ctx ends.
	Watch(ctx context.Context) (<-chan event.Event, error)
	// Announce sends an event of the daemon's own to all who watch.
	Announce(e event.Event)
}
