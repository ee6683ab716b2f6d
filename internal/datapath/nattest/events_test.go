package nattest

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

	"github.com/hostnat/hostnat/internal/datapath"
	"github.com/hostnat/hostnat/internal/datapath/dptest"
	"github.com/hostnat/hostnat/internal/datapath/dptest/wire"
	"github.com/hostnat/hostnat/internal/datapath/kernel"
	"github.com/hostnat/hostnat/internal/event"
	"github.com/hostnat/hostnat/internal/model"
)

// watcher collects a rig's events.
type watcher struct {
	mu     sync.Mutex
	events []datapath.Event
	drops  []datapath.Drop
	stop   context.CancelFunc
	done   chan struct{}
	err    error // once done
}

func watchEvents(t *testing.T, r *dptest.Rig) *watcher {
	t.Helper()
	return watchThese(t, r, datapath.AllEvents)
}

func watchThese(t *testing.T, r *dptest.Rig, wanted datapath.Events) *watcher {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	w := &watcher{stop: stop, done: make(chan struct{})}
	go func() {
		defer close(w.done)
		w.err = r.Datapath.Watch(ctx, func() datapath.Events { return wanted }, func(e datapath.Event) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.events = append(w.events, e)
		}, func(d datapath.Drop) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.drops = append(w.drops, d)
		})
	}()
	t.Cleanup(func() { w.close(t) })
	wire.Eventually(t, "event watch", func() bool {
		var s kernel.Settings
		wire.Must(t, r.Datapath.Objects().Configuration.Lookup(uint32(0), &s))
		return s.WatchedUntil != 0
	})
	return w
}

// until waits for an event of an ID and returns all up to then.
func (w *watcher) until(t *testing.T, id event.ID, count int) []datapath.Event {
	t.Helper()
	var list []datapath.Event
	wire.Eventually(t, id.Name(), func() bool {
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
	wire.Must(t, w.err)
}

// plainEvents leaves out what differs from run to run.
var plainEvents = cmp.Options{
	cmpopts.IgnoreFields(event.Event{}, "Time", "Name", "Level", "Handshake"),
	cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b }),
}

func bindingEvent(id event.ID, external netip.AddrPort, sessions uint32) datapath.Event {
	return datapath.Event{NAT: wire.RigNAT, Network: wire.RigNetwork, Compartment: wire.RigCompartment, Event: event.Event{
		ID: id, Protocol: model.TCP, Internal: wire.Inside(0, 4000), External: external, SessionCount: sessions,
	}}
}

func sessionEvent(id event.ID, external netip.AddrPort, s model.TCPState, lifetime uint32) datapath.Event {
	return datapath.Event{NAT: wire.RigNAT, Network: wire.RigNetwork, Compartment: wire.RigCompartment, Event: event.Event{
		ID: id, Protocol: model.TCP, Internal: wire.Inside(0, 4000), External: external,
		InternalDestination: wire.Unanswered(7, 80), ExternalDestination: wire.Unanswered(7, 80),
		TCPState: s, LifetimeSeconds: lifetime,
	}}
}

// The order of the events is WinNAT's (reference nat-rfcs.md, 5.2 and 5.3).
func TestEventsOfTCPConnectionComeInWinNATsOrder(t *testing.T) {
	t.Parallel()
	r := dptest.NewRig(t, 1)
	n := r.Config.NATs[wire.RigNAT]
	n.Timeouts.TCPTransitory = 1
	r.Config.NATs[wire.RigNAT] = n
	r.Apply(t)
	r.Mute(t, 0)
	w := watchEvents(t, r)
	started := time.Now()
	r.FromEndpoint(t, 0, wire.Segment{Protocol: model.TCP, Flags: wire.Syn, From: wire.Inside(0, 4000), To: wire.Unanswered(7, 80)})
	r.Follow(t, wire.Inside(0, 4000), wire.Unanswered(7, 80), wire.TCPPaths[model.StateBothFIN][1:])
	external := r.External(t, model.TCP, wire.Inside(0, 4000))
	got := w.until(t, event.BindingDelete, 1)
	ended := sessionEvent(event.SessionDelete, external, model.StateBothFIN, 1)
	ended.Cause = model.EndTimeout
	want := []datapath.Event{
		bindingEvent(event.BindingCreate, external, 0),
		bindingEvent(event.BindingSessionCount, external, 1),
		sessionEvent(event.SessionCreate, external, model.StateNone, 6),
		sessionEvent(event.SessionTCPStateUpdate, external, model.StateInternalSYN, 1),
		sessionEvent(event.SessionTCPStateUpdate, external, model.StateEstablished, 7440),
		sessionEvent(event.SessionTCPStateUpdate, external, model.StateExternalFIN, 7440),
		sessionEvent(event.SessionTCPStateUpdate, external, model.StateBothFIN, 1),
		sessionEvent(event.SessionTimeout, external, model.StateBothFIN, 1),
		ended,
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
	r := dptest.NewRig(t, 1)
	r.Mute(t, 0)
	r.Config.Mappings[1] = dptest.Mapping(model.UDP, "203.0.113.1:8080", wire.Inside(0, 80))
	r.Apply(t)
	w := watchEvents(t, r)
	r.FromRemote(t, wire.Segment{Protocol: model.UDP, From: wire.Unanswered(7, 80), To: wire.Published})
	wire.Eventually(t, "session", func() bool { return len(r.Sessions(t)) == 1 })
	wire.Must(t, r.Datapath.EndSessions(func(datapath.Session) bool { return true }))
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

// What a log has no use for is not sent to who writes one: no states, no counts, no drops.
func TestLoggedEventsAreThoseOfBeginAndEnd(t *testing.T) {
	t.Parallel()
	r := dptest.NewRig(t, 1)
	r.Mute(t, 0)
	w := watchThese(t, r, datapath.LoggedEvents)
	r.FromEndpoint(t, 0, wire.Segment{Protocol: model.UDP, From: wire.Inside(0, 4000), To: netip.MustParseAddrPort("240.0.0.1:443")})
	r.Dropped(t, "martian-destination", 1)
	r.FromEndpoint(t, 0, wire.Segment{Protocol: model.UDP, From: wire.Inside(0, 4001), To: wire.Unanswered(7, 80)})
	wire.Eventually(t, "session", func() bool { return len(r.Sessions(t)) == 1 })
	wire.Must(t, r.Datapath.EndSessions(func(datapath.Session) bool { return true }))
	var got []event.ID
	for _, e := range w.until(t, event.BindingDelete, 1) {
		got = append(got, e.ID)
	}
	want := []event.ID{event.BindingCreate, event.SessionCreate, event.SessionDelete, event.BindingDelete}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.drops) > 0 {
		t.Errorf("drops: %v", w.drops)
	}
}

func TestNoEventsWhileNobodyWatches(t *testing.T) {
	t.Parallel()
	r := dptest.NewRig(t, 1)
	r.Mute(t, 0)
	flow := func(port uint16) {
		r.FromEndpoint(t, 0, wire.Segment{Protocol: model.UDP, From: wire.Inside(0, port), To: wire.Unanswered(7, 80)})
		r.External(t, model.UDP, wire.Inside(0, port))
	}
	flow(4000)
	ringIsEmpty(t, r, "before anybody watched")
	w := watchEvents(t, r)
	flow(4001)
	if got := w.until(t, event.SessionCreate, 1); got[0].Internal != wire.Inside(0, 4001) {
		t.Errorf("the first event is of %v, before the watch", got[0].Internal)
	}
	w.close(t)
	flow(4002)
	ringIsEmpty(t, r, "after the watch")
}

func ringIsEmpty(t *testing.T, r *dptest.Rig, when string) {
	t.Helper()
	reader, err := ringbuf.NewReader(r.Datapath.Objects().Events)
	wire.Must(t, err)
	defer reader.Close()
	reader.SetDeadline(time.Now())
	if record, err := reader.Read(); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("%s the ring holds %v, %v", when, record, err)
	}
}
