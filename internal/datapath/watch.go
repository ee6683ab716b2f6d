package datapath

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"time"
	"unsafe"

	"github.com/cilium/ebpf/ringbuf"

	"github.com/hostnat/hostnat/internal/datapath/kernel"
	"github.com/hostnat/hostnat/internal/event"
	"github.com/hostnat/hostnat/internal/model"
)

// The data path sends events until a moment that Watch keeps moving: should
// this process die, it stops by itself.
const (
	watchAhead   = 5 * time.Second
	watchRefresh = 2 * time.Second
)

// gather is how long a ring that was read to its end is left alone, so that many events wake
// this process once: a waking each costs a connection more than the event does.
const gather = 5 * time.Millisecond

// Event is an event as the kernel sends it: ids instead of names. The embedded
// Event has everything else filled in.
type Event struct {
	event.Event
	NAT, Network, Compartment uint32
	OfDrops                   bool // of EventsLost: they were dropped packets
}

// Events says which events the data path sends.
type Events bool

// All, or those alone that are logged: without sessions' states, timers and counts, and
// without dropped packets.
const (
	LoggedEvents Events = false
	AllEvents    Events = true
)

// Watch calls sink for each event but drops, and dropped for each of these, until ctx
// ends; dropped is called from another goroutine. It asks every now and then which events are
// wanted; that more are is told by Expect at once. What was lost for want of room is an
// event too (event.EventsLost). One at a time for each data path, since a ring is read
// once.
func (d *Datapath) Watch(ctx context.Context, wanted func() Events, sink func(Event), dropped func(Drop)) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	drops := make(chan error, 1)
	go func() { drops <- d.watchDrops(ctx, stop, dropped) }()
	err := d.watchEvents(ctx, wanted, sink)
	stop()
	return errors.Join(err, <-drops)
}

func (d *Datapath) watchEvents(ctx context.Context, wanted func() Events, sink func(Event)) error {
	reader, err := ringbuf.NewReader(d.objects.Events)
	if err != nil {
		return fmt.Errorf("opening the event ring: %w", err)
	}
	defer reader.Close()
	defer d.setWatched(0, wanted)
	lost, err := d.lostEvents()
	if err != nil {
		return err
	}
	for ctx.Err() == nil {
		if err := d.setWatched(watchAhead, wanted); err != nil {
			return err
		}
		deadline, clock := time.Now().Add(watchRefresh), d.readClock()
		err := readRing(ctx, reader, deadline, func(sample []byte) {
			if e, ok := toEvent(sample, clock); ok {
				sink(e)
			}
		})
		if err != nil {
			return err
		}
		if lost, err = d.tellLost(lost, sink); err != nil {
			return err
		}
	}
	return nil
}

// watchDrops ends the watch if it cannot read.
func (d *Datapath) watchDrops(ctx context.Context, stop context.CancelFunc, sink func(Drop)) error {
	defer stop()
	reader, err := ringbuf.NewReader(d.objects.DropEvents)
	if err != nil {
		return fmt.Errorf("opening the ring of drops: %w", err)
	}
	defer reader.Close()
	for ctx.Err() == nil {
		clock := bootClock()
		err := readRing(ctx, reader, time.Now().Add(watchRefresh), func(sample []byte) {
			var raw kernel.DropRecord
			if _, err := binary.Decode(sample, binary.NativeEndian, &raw); err == nil {
				sink(toDrop(&raw, clock))
			}
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func readRing(ctx context.Context, reader *ringbuf.Reader, deadline time.Time, sink func([]byte)) error {
	// Not SetDeadline, which waits until the read is over.
	stop := context.AfterFunc(ctx, func() { _ = reader.Flush() })
	defer stop()
	reader.SetDeadline(deadline)
	var record ringbuf.Record
	for ctx.Err() == nil && time.Now().Before(deadline) {
		err := reader.ReadInto(&record)
		if errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, ringbuf.ErrFlushed) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("reading an event ring: %w", err)
		}
		sink(record.RawSample)
		if record.Remaining == 0 {
			time.Sleep(gather)
		}
	}
	return nil
}

// lost is how many events there was no room for in the kernel's rings.
type lost struct{ events, drops uint64 }

func (d *Datapath) lostEvents() (l lost, err error) {
	for kind, to := range map[uint32]*uint64{kernel.LostEvent: &l.events, kernel.LostDrop: &l.drops} {
		var perCPU []uint64
		if err := d.objects.LostEvents.Lookup(kind, &perCPU); err != nil {
			return l, fmt.Errorf("reading how many events were lost: %w", err)
		}
		for _, n := range perCPU {
			*to += n
		}
	}
	return l, nil
}

// tellLost sends what was lost since before.
func (d *Datapath) tellLost(before lost, sink func(Event)) (lost, error) {
	now, err := d.lostEvents()
	if err != nil {
		return before, err
	}
	tell := func(n uint64, ofDrops bool, what string) {
		if n > 0 {
			e := event.New(event.EventsLost, time.Now())
			e.Lost, e.Description = n, what
			sink(Event{Event: e, OfDrops: ofDrops})
		}
	}
	tell(now.events-before.events, false, "the kernel's ring of sessions and bindings was full")
	tell(now.drops-before.drops, true, "the kernel's ring of dropped packets was full")
	return now, nil
}

// Expect has the data path send events from now on, before Watch has begun to read
// them: who has called it misses nothing that happens afterwards.
func (d *Datapath) Expect(wanted func() Events) error { return d.setWatched(watchAhead, wanted) }

// setWatched tells the data path to send events for a while; 0 ends it. wanted is asked under
// the lock of the settings: the last who writes them has the last answer.
func (d *Datapath) setWatched(ahead time.Duration, wanted func() Events) error {
	return d.changeSettings(func(s *kernel.Settings) {
		s.WatchedUntil, s.WatchedAll = 0, 0
		if ahead == 0 {
			return
		}
		s.WatchedUntil = uint64(d.readClock().monotonic + ahead.Nanoseconds())
		if wanted() == AllEvents {
			s.WatchedAll = 1
		}
	})
}

func toEvent(sample []byte, clock clock) (Event, bool) {
	var raw kernel.Event
	if len(sample) < int(unsafe.Sizeof(raw)) {
		return Event{}, false
	}
	if _, err := binary.Decode(sample, binary.NativeEndian, &raw); err != nil {
		return Event{}, false
	}
	e := event.New(event.ID(raw.Id), clock.time(raw.Time))
	e.Protocol = model.Protocol(raw.Protocol)
	e.Internal = kernel.ToAddrPort(raw.InternalAddress, raw.InternalPort)
	if raw.ExternalAddress != 0 || raw.ExternalPort != 0 {
		e.External = kernel.ToAddrPort(raw.ExternalAddress, raw.ExternalPort)
	}
	if raw.RemoteAddress != 0 {
		remote := kernel.ToAddrPort(raw.RemoteAddress, raw.RemotePort)
		e.InternalDestination, e.ExternalDestination = remote, remote
	}
	e.LifetimeSeconds = raw.Lifetime
	e.TCPState = model.TCPState(raw.State)
	e.Handshake = kernel.ToHandshake(raw.EndpointRtt, raw.OutsideRtt, raw.RepeatedSyns)
	e.SessionCount = raw.Sessions
	e.Configured = raw.Configured != 0
	e.Cause = endCauses[kernel.EndCause(raw.Cause)]
	if e.ID == event.MemoryAllocationFailure {
		e.Description = "a table of the data path is full"
	}
	return Event{Event: e, NAT: raw.Nat, Network: raw.Network, Compartment: raw.Compartment}, true
}
