package reconcile

import (
	"context"
	"sync"
	"time"

	"github.com/hostnat/hostnat/internal/datapath"
	"github.com/hostnat/hostnat/internal/event"
	"github.com/hostnat/hostnat/internal/tokens"
)

// watcherBuffer is how many events a slow watcher may be behind; then it
// misses some rather than hold up the others.
const watcherBuffer = 1024

// watcherRoom is how much room a watcher that missed some must have before it gets
// others: it is told once what it missed, not between any two.
const watcherRoom = watcherBuffer / 4

// eventRate is how many events a second all watchers together are handed: some part of one
// processor's time, however many watch, and whatever floods the session table.
const eventRate = 20_000

// readAgain is how long after a failure events are read again.
const readAgain = time.Second

// eventBus gives the data path's one ring to any number of watchers. The ring is
// read, and so filled, only while there is one.
type eventBus struct {
	mu       sync.Mutex
	watchers map[chan event.Event]*share
	follower func(event.Event) // nil: there is none
	lost     uint64            // events that a watcher was too slow for, of all
	stop     context.CancelFunc
	done     chan struct{} // closed when the reader has ended
}

// share is what a watcher may be handed, and what it was not.
type share struct {
	events tokens.Bucket
	missed uint64 // events that it was not told of
}

// Watch returns events from now on. The channel is closed when ctx ends.
func (k *Kernel) Watch(ctx context.Context) (<-chan event.Event, error) {
	watcher := make(chan event.Event, watcherBuffer)
	k.events.join(watcher, k.readEvents)
	context.AfterFunc(ctx, func() { k.events.leave(watcher) })
	if err := k.datapath.Expect(k.events.wanted); err != nil {
		return nil, err
	}
	return watcher, nil
}

// Follow has sink called for each event that is logged, from now on until ctx ends:
// what begins and ends, what was refused, and how many of these were lost. There is one
// sink, it must not wait, and it gets all of them: it is not a client's.
func (k *Kernel) Follow(ctx context.Context, sink func(event.Event)) error {
	k.events.follow(sink, k.readEvents)
	context.AfterFunc(ctx, func() { k.events.follow(nil, nil) })
	return k.datapath.Expect(k.events.wanted)
}

// readEvents reads until ctx ends, also after a failure: a log is not begun anew by anybody.
func (k *Kernel) readEvents(ctx context.Context) {
	for ctx.Err() == nil {
		if err := k.datapath.Watch(ctx, k.events.wanted, k.publish, k.dropPublisher(ctx)); err != nil {
			k.log.Error("reading events", "error", err)
			select {
			case <-ctx.Done():
			case <-time.After(readAgain):
			}
		}
	}
}

func (k *Kernel) publish(e datapath.Event) {
	names := k.lastNames()
	if e.ID == event.EventsLost {
		k.events.countLost(e.Lost)
	}
	out := e.Event
	out.NATID = e.NAT
	out.NAT, out.Network, out.Compartment = names.nats[e.NAT], names.networks[e.Network], names.compartments[e.Compartment]
	out.Endpoint = names.endpoint(e.Compartment, e.Internal.Addr())
	if e.InternalDestination.IsValid() {
		out.RemoteName = names.remote(e.Compartment, e.Internal.Addr(), e.InternalDestination.Addr(), time.Time{})
	}
	switch e.ID {
	case event.EndpointLimited:
		out.Limit = names.limits[e.NAT]
	case event.MemoryAllocationFailure:
		out.Limit = uint32(k.datapath.MaxSessions())
	}
	if !e.OfDrops {
		k.events.hand(out)
	}
	k.events.send(out, time.Now())
}

// linkMemory is how long names of links are used before they are looked up again, as
// a flood of drops comes with the same few.
const linkMemory = time.Second

// recentLinks are names of links by number, looked up every now and then. They are for
// one goroutine.
type recentLinks struct {
	links *linkCache
	names map[uint32]string
	read  time.Time
}

func (r *recentLinks) look(ctx context.Context) map[uint32]string {
	if time.Since(r.read) > linkMemory {
		if links, err := r.links.look(ctx); err == nil { // else they have their numbers
			r.names, r.read = linkNames(links), time.Now()
		}
	}
	return r.names
}

// dropPublisher returns what publishes drops. It is called by one goroutine.
func (k *Kernel) dropPublisher(ctx context.Context) func(datapath.Drop) {
	recent := recentLinks{links: k.links}
	return func(d datapath.Drop) {
		k.events.send(event.OfDrop(k.lastNames().drop(d, recent.look(ctx))), time.Now())
	}
}

// Announce sends an event that is not the data path's to all watchers.
func (k *Kernel) Announce(e event.Event) { k.events.send(e, time.Now()) }

func (h *eventBus) join(watcher chan event.Event, read func(context.Context)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.watchers == nil {
		h.watchers = make(map[chan event.Event]*share)
	}
	h.watchers[watcher] = new(share)
	h.begin(read)
}

func (h *eventBus) follow(sink func(event.Event), read func(context.Context)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.follower = sink
	if sink == nil {
		h.endIfAlone()
		return
	}
	h.begin(read)
}

// begin has the ring read, if it is not. The caller holds mu.
func (h *eventBus) begin(read func(context.Context)) {
	if h.stop != nil {
		return
	}
	ctx, stop := context.WithCancel(context.Background())
	before, done := h.done, make(chan struct{})
	h.stop, h.done = stop, done
	go func() {
		defer close(done)
		if before != nil {
			<-before // the ring has one reader at a time
		}
		read(ctx)
	}()
}

func (h *eventBus) leave(watcher chan event.Event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if _, ok := h.watchers[watcher]; !ok {
		return
	}
	delete(h.watchers, watcher)
	close(watcher)
	h.endIfAlone()
}

// endIfAlone ends the reading if nobody wants it. The caller holds mu.
func (h *eventBus) endIfAlone() {
	if len(h.watchers) == 0 && h.follower == nil && h.stop != nil {
		h.stop()
		h.stop = nil
	}
}

// wanted is which events somebody wants.
func (h *eventBus) wanted() datapath.Events {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.watchers) > 0 {
		return datapath.AllEvents
	}
	return datapath.LoggedEvents
}

// hand gives an event to who follows.
func (h *eventBus) hand(e event.Event) {
	h.mu.Lock()
	follower := h.follower
	h.mu.Unlock()
	if follower != nil {
		follower(e)
	}
}

func (h *eventBus) eventsLost() uint64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.lost
}

// countLost counts events that were lost before they came here.
func (h *eventBus) countLost(n uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.lost += n
}

func (h *eventBus) send(e event.Event, now time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	rate := tokens.Rate{PerSecond: eventRate / float64(len(h.watchers)), Burst: watcherBuffer}
	for w, s := range h.watchers {
		if s.missed > 0 && s.events.Fill(rate, now) >= watcherRoom && cap(w)-len(w) >= watcherRoom && offer(w, missedEvent(s.missed, now)) {
			s.missed = 0
		}
		if s.missed == 0 && s.events.Take(rate, now) && offer(w, e) {
			continue
		}
		s.missed++
		h.lost++
	}
}

func offer(w chan<- event.Event, e event.Event) bool {
	select {
	case w <- e:
		return true
	default:
		return false
	}
}

// missedEvent tells a watcher what it missed.
func missedEvent(n uint64, now time.Time) event.Event {
	e := event.New(event.EventsLost, now)
	e.Lost, e.Description = n, "this watcher reads too slowly, or there are more than the daemon sends"
	return e
}
