package reconcile

import (
	"context"
	"testing"
	"time"

	"github.com/hostnat/hostnat/internal/datapath"
	"github.com/hostnat/hostnat/internal/event"
)

// However many watch, and whatever happens in the data path, a second has so many events at
// most; each watcher is told of each that it did not get, and not between any two.
func TestFloodOfEvents(t *testing.T) {
	t.Parallel()
	const watchers, seconds, flood = 64, 10, 100_000
	now := time.Unix(1_000_000, 0)
	var h eventBus
	h.watchers = make(map[chan event.Event]*share)
	for range watchers {
		h.watchers[make(chan event.Event, watcherBuffer)] = new(share)
	}
	handed, told, notices := 0, uint64(0), 0
	for range seconds * 100 {
		for range flood / 100 {
			h.send(event.New(event.SessionCreate, now), now)
		}
		for w := range h.watchers { // all of them read at once what is there
			for range len(w) {
				if e := <-w; e.ID == event.EventsLost {
					told += e.Lost
					notices++
				} else {
					handed++
				}
			}
		}
		now = now.Add(10 * time.Millisecond)
	}
	for _, s := range h.watchers {
		told += s.missed // not told yet
	}
	if most := eventRate*seconds + watchers*watcherBuffer; handed > most || handed < eventRate*seconds/2 {
		t.Errorf("%d events were handed on, want about %d", handed, most)
	}
	if all := uint64(watchers * seconds * flood); uint64(handed)+told != all || h.lost != told {
		t.Errorf("%d were handed on, %d told to be lost (%d counted), of %d", handed, told, h.lost, all)
	}
	if notices*watcherRoom > handed {
		t.Errorf("%d times a watcher was told, beside %d events", notices, handed)
	}
}

// Who does not read is told once when it does.
func TestWatcherThatStalls(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_000_000, 0)
	w := make(chan event.Event, watcherBuffer)
	h := eventBus{watchers: map[chan event.Event]*share{w: {}}}
	send := func(n int) {
		for range n {
			now = now.Add(time.Millisecond)
			h.send(event.New(event.SessionCreate, now), now)
		}
	}
	send(2 * watcherBuffer)
	<-w // one place is no reason yet
	send(10)
	for len(w) > 0 {
		<-w
	}
	send(1)
	if e := <-w; e.ID != event.EventsLost || e.Lost != watcherBuffer+10 {
		t.Errorf("it was told %+v", e)
	}
	if e := <-w; e.ID != event.SessionCreate {
		t.Errorf("and then got %+v", e)
	}
}

// Who follows gets each event, however many there are, keeps the ring being read when the last
// watcher leaves, and asks for no more than is logged.
func TestFollowerGetsAll(t *testing.T) {
	t.Parallel()
	var h eventBus
	ended := make(chan struct{})
	read := func(ctx context.Context) { <-ctx.Done(); close(ended) }
	got := 0
	h.follow(func(event.Event) { got++ }, read)
	if h.wanted() != datapath.LoggedEvents {
		t.Error("all events are wanted, and nobody watches")
	}
	w := make(chan event.Event, watcherBuffer)
	h.join(w, read)
	if h.wanted() != datapath.AllEvents {
		t.Error("somebody watches, and is not sent all events")
	}
	const flood = 10 * eventRate
	for range flood {
		h.hand(event.Event{})
	}
	h.leave(w)
	select {
	case <-ended:
		t.Error("the ring is not read any more")
	default:
	}
	h.follow(nil, nil)
	h.hand(event.Event{})
	if <-ended; got != flood || h.lost != 0 {
		t.Errorf("%d of %d events; %d are lost", got, flood, h.lost)
	}
}
