package reconcile

import (
	"context"
	"sync"

	"github.com/hostnat/hostnat/internal/datapath"
	"github.com/hostnat/hostnat/internal/event"
)

// watcherBuffer is how many events a slow watcher may be behind; then it
// misses some rather than hold up the others.
const watcherBuffer = 1024

// eventBus gives the data path's one ring to any number of watchers. The ring is
// read, and so filled, only while there is one.
type eventBus struct {
	mu       sync.Mutex
	watchers map[chan event.Event]struct{}
	lost     uint64 // events that a watcher was too slow for
	stop     context.CancelFunc
	done     chan struct{} // closed when the reader has ended
}

// Watch returns events from now on. The channel is closed when ctx ends.
func (k *Kernel) Watch(ctx context.Context) (<-chan event.Event, error) {
	watcher := make(chan event.Event, watcherBuffer)
	k.events.join(watcher, func(ctx context.Context) {
		if err := k.datapath.Watch(ctx, k.publish); err != nil {
			k.log.Error("reading events", "error", err)
		}
	})
	context.AfterFunc(ctx, func() { k.events.leave(watcher) })
	return watcher, nil
}

func (k *Kernel) publish(e datapath.Event) {
	names := k.lastNames()
	out := e.Event
	out.NAT, out.Network, out.Compartment = names.nats[e.NAT], names.networks[e.Network], names.compartments[e.Compartment]
	k.events.send(out)
}

// Announce sends an event that is not the data path's to all watchers.
func (k *Kernel) Announce(e event.Event) { k.events.send(e) }

func (h *eventBus) join(watcher chan event.Event, read func(context.Context)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.watchers == nil {
		h.watchers = make(map[chan event.Event]struct{})
	}
	h.watchers[watcher] = struct{}{}
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
	if len(h.watchers) == 0 && h.stop != nil {
		h.stop()
		h.stop = nil
	}
}

func (h *eventBus) eventsLost() uint64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.lost
}

func (h *eventBus) send(e event.Event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for w := range h.watchers {
		select {
		case w <- e:
		default:
			h.lost++
		}
	}
}
