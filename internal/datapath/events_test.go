package datapath

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/cilium/ebpf/ringbuf"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/hostnat/hostnat/internal/event"
	"github.com/hostnat/hostnat/internal/model"
)

// watcher collects a rig's events.
type watcher struct {
	mu     sync.Mutex
	events []Event
	stop   context.CancelFunc
	done   chan struct{}
	err    error // once done
}

func (r *rig) watchEvents(t *testing.T) *watcher {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	w := &watcher{stop: stop, done: make(chan struct{})}
	go func() {
		defer close(w.done)
		w.err = r.dp.Watch(ctx, func(e Event) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.events = append(w.events, e)
		})
	}()
	t.Cleanup(func() { w.close(t) })
	eventually(t, "event watch", func() bool {
		var s bpfSettings
		must(t, r.dp.objects.Configuration.Lookup(uint32(0), &s))
		return s.WatchedUntil != 0
	})
	return w
}

// until waits for an event of an ID and returns all up to then.
func (w *watcher) until(t *testing.T, id event.ID, count int) []Event {
	t.Helper()
	var list []Event
	eventually(t, id.Name(), func() bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		list = slices.Clone(w.events)
		n := 0
		for _, e := range list {
			if e.ID == id {
				n++
			}
		}
		return n >= count
	})
	return list
}

// close ends the watch and waits for it.
func (w *watcher) close(t *testing.T) {
	t.Helper()
	w.stop()
	<-w.done
	must(t, w.err)
}

// plainEvents leaves out what differs from run to run.
var plainEvents = cmp.Options{
	cmpopts.IgnoreFields(event.Event{}, "Time", "Name", "Level"),
	cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b }),
}

func bindingEvent(id event.ID, external netip.AddrPort, sessions uint32) Event {
	return Event{NAT: rigNAT, Network: rigNetwork, Compartment: rigCompartment, Event: event.Event{
		ID: id, Protocol: model.TCP, Internal: inside(0, 4000), External: external, SessionCount: sessions,
	}}
}

func sessionEvent(id event.ID, external netip.AddrPort, s model.TCPState, lifetime uint32) Event {
	return Event{NAT: rigNAT, Network: rigNetwork, Compartment: rigCompartment, Event: event.Event{
		ID: id, Protocol: model.TCP, Internal: inside(0, 4000), External: external,
		InternalDestination: stranger(7, 80), ExternalDestination: stranger(7, 80),
		TCPState: s, LifetimeSeconds: lifetime,
	}}
}

// The order of the events is WinNAT's (reference nat-rfcs.md, 5.2 and 5.3).
func TestEventsOfTCPConnectionComeInWinNATsOrder(t *testing.T) {
	t.Parallel()
	r := newRig(t, 1)
	n := r.config.NATs[rigNAT]
	n.Timeouts.TCPTransitory = 1
	r.config.NATs[rigNAT] = n
	r.apply(t)
	r.mute(t, 0)
	w := r.watchEvents(t)
	started := time.Now()
	r.fromEndpoint(t, 0, segment{protocol: model.TCP, flags: syn, from: inside(0, 4000), to: stranger(7, 80)})
	r.follow(t, inside(0, 4000), stranger(7, 80), tcpPaths[model.StateBothFIN][1:])
	external := r.external(t, model.TCP, inside(0, 4000))
	got := w.until(t, event.BindingDelete, 1)
	want := []Event{
		bindingEvent(event.BindingCreate, external, 0),
		bindingEvent(event.BindingSessionCount, external, 1),
		sessionEvent(event.SessionCreate, external, model.StateNone, 6),
		sessionEvent(event.SessionTCPStateUpdate, external, model.StateInternalSYN, 1),
		sessionEvent(event.SessionTCPStateUpdate, external, model.StateEstablished, 7440),
		sessionEvent(event.SessionTCPStateUpdate, external, model.StateExternalFIN, 7440),
		sessionEvent(event.SessionTCPStateUpdate, external, model.StateBothFIN, 1),
		sessionEvent(event.SessionTimeout, external, model.StateBothFIN, 1),
		sessionEvent(event.SessionDelete, external, model.StateBothFIN, 1),
		bindingEvent(event.BindingSessionCount, external, 0),
		bindingEvent(event.BindingDelete, external, 0),
	}
	if diff := cmp.Diff(want, got, plainEvents); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for _, e := range got {
		if e.Time.Before(started.Add(-time.Second)) || e.Time.After(time.Now().Add(time.Second)) || e.Name != e.ID.Name() {
			t.Errorf("event %v %q at %v", e.ID, e.Name, e.Time)
		}
	}
}

// The binding of a mapping is configured, and outlives its sessions.
func TestEventsOfMappingAreMarkedConfigured(t *testing.T) {
	t.Parallel()
	r := newRig(t, 1)
	r.mute(t, 0)
	r.config.Mappings[1] = mapping(model.UDP, "203.0.113.1:8080", inside(0, 80))
	r.apply(t)
	w := r.watchEvents(t)
	r.fromRemote(t, segment{protocol: model.UDP, from: stranger(7, 80), to: published})
	eventually(t, "session", func() bool { return len(r.sessions(t)) == 1 })
	must(t, r.dp.EndSessions(func(Session) bool { return true }))
	var got []event.ID
	for _, e := range w.until(t, event.BindingSessionCount, 2) {
		got = append(got, e.ID)
		if configured := e.ID == event.BindingSessionCount; e.Configured != configured {
			t.Errorf("event %s: configured %v", e.Name, e.Configured)
		}
	}
	want := []event.ID{event.BindingSessionCount, event.SessionCreate, event.SessionDelete, event.BindingSessionCount}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestNoEventsWhileNobodyWatches(t *testing.T) {
	t.Parallel()
	r := newRig(t, 1)
	r.mute(t, 0)
	flow := func(port uint16) {
		r.fromEndpoint(t, 0, segment{protocol: model.UDP, from: inside(0, port), to: stranger(7, 80)})
		r.external(t, model.UDP, inside(0, port))
	}
	flow(4000)
	r.ringIsEmpty(t, "before anybody watched")
	w := r.watchEvents(t)
	flow(4001)
	if got := w.until(t, event.SessionCreate, 1); got[0].Internal != inside(0, 4001) {
		t.Errorf("the first event is of %v, before the watch", got[0].Internal)
	}
	w.close(t)
	flow(4002)
	r.ringIsEmpty(t, "after the watch")
}

func (r *rig) ringIsEmpty(t *testing.T, when string) {
	t.Helper()
	reader, err := ringbuf.NewReader(r.dp.objects.Events)
	must(t, err)
	defer reader.Close()
	reader.SetDeadline(time.Now())
	if record, err := reader.Read(); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("%s the ring holds %v, %v", when, record, err)
	}
}
