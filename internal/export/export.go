package export

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/hostnat/hostnat/internal/event"
	"github.com/hostnat/hostnat/internal/model"
	"github.com/hostnat/hostnat/internal/tokens"
)

// Options is where events go.
type Options struct {
	IPFIX, Syslog []string // as Parse reads them
	Remotes       bool     // with whom endpoints speak is told, too
	Log           *slog.Logger
}

// Exporter sends events to all destinations.
type Exporter struct {
	streams []*stream

	mu       sync.Mutex
	refusals tokens.Each[refusal]
}

// refusal is what is told every now and then alone (RFC 8158 section 5.3): each packet may be one.
type refusal struct {
	id       event.ID
	nat      string
	protocol model.Protocol
	internal netip.Addr // whose limit it is
}

// refusalRate is one in ten seconds.
var refusalRate = tokens.Rate{PerSecond: 0.1, Burst: 1}

// New refuses what cannot be meant. Nothing is sent before Run.
func New(o Options) (*Exporter, error) {
	x := &Exporter{}
	var all []Destination
	for _, list := range []struct {
		kind  string
		texts []string
	}{{"ipfix", o.IPFIX}, {"syslog", o.Syslog}} {
		for _, text := range list.texts {
			d, err := Parse(list.kind, text)
			if err != nil {
				return nil, err
			}
			if slices.Contains(all, d) {
				return nil, model.Errorf(model.Invalid, "--%s %s is given twice", d.Kind, d).WithHint("once is enough")
			}
			all = append(all, d)
			x.streams = append(x.streams, newStream(d, o))
		}
	}
	if o.Remotes && len(all) == 0 {
		return nil, model.Errorf(model.Invalid, "--export-remotes has nothing to add to").WithHint("add --ipfix or --syslog")
	}
	return x, nil
}

// Wanted reports whether there is a destination.
func (x *Exporter) Wanted() bool { return len(x.streams) > 0 }

// Take sends an event, if it is one that is sent. It never waits.
func (x *Exporter) Take(e event.Event) {
	switch e.ID {
	case event.SessionCreate, event.SessionDelete, event.BindingCreate, event.BindingDelete:
	case event.OutOfPorts, event.MemoryAllocationFailure, event.EndpointLimited:
		if !x.isDue(e) {
			return
		}
	case event.EventsLost:
		for _, s := range x.streams {
			s.lose(e.Lost, e.Time)
		}
		return
	default:
		return
	}
	for _, s := range x.streams {
		s.take(&e)
	}
}

func (x *Exporter) isDue(e event.Event) bool {
	r := refusal{id: e.ID, nat: e.NAT, protocol: e.Protocol}
	if e.ID == event.EndpointLimited {
		r.internal = e.Internal.Addr()
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.refusals.Of(r).Take(refusalRate, e.Time)
}

// Run sends until ctx ends, and then what is left.
func (x *Exporter) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	for _, s := range x.streams {
		group.Go(func() error { s.run(ctx); return nil })
	}
	<-ctx.Done()
	_ = group.Wait() // streams do not fail
	return ctx.Err()
}

// Count is what became of the events for a destination.
type Count struct {
	Destination
	Sent, Lost uint64
}

// Counts are since the daemon's start.
func (x *Exporter) Counts() (list []Count) {
	for _, s := range x.streams {
		sent, lost := s.counts()
		list = append(list, Count{s.to, sent, lost})
	}
	return list
}

// Problems says which collectors cannot be reached.
func (x *Exporter) Problems() (list []string) {
	for _, s := range x.streams {
		if err := s.failure(); err != nil {
			_, lost := s.counts()
			list = append(list, fmt.Sprintf("events do not reach %s %s: %v; %d are lost so far, and it is tried again", s.to.Kind, s.to, err, lost))
		}
	}
	return list
}
