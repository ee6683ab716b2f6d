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

// Event is an event as the kernel sends it: ids instead of names. The embedded
// Event has everything else filled in.
type Event struct {
	event.Event
	NAT, Network, Compartment uint32
}

// Watch calls sink for each event until ctx ends. One at a time for each data
// path, since the ring is read once.
func (d *Datapath) Watch(ctx context.Context, sink func(Event)) error {
	reader, err := ringbuf.NewReader(d.objects.Events)
	if err != nil {
		return fmt.Errorf("opening the event ring: %w", err)
	}
	defer reader.Close()
	defer d.setWatched(0)
	for ctx.Err() == nil {
		if err := d.setWatched(watchAhead); err != nil {
			return err
		}
		deadline := time.Now().Add(watchRefresh)
		if err := readEvents(ctx, reader, deadline, d.readClock(), sink); err != nil {
			return err
		}
	}
	return nil
}

func readEvents(ctx context.Context, reader *ringbuf.Reader, deadline time.Time, clock clock, sink func(Event)) error {
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
			return fmt.Errorf("reading the event ring: %w", err)
		}
		if e, ok := toEvent(record.RawSample, clock); ok {
			sink(e)
		}
	}
	return nil
}

// setWatched tells the data path to send events for a while; 0 ends it.
func (d *Datapath) setWatched(ahead time.Duration) error {
	return d.changeSettings(func(s *kernel.Settings) {
		s.WatchedUntil = 0
		if ahead > 0 {
			s.WatchedUntil = uint64(d.readClock().monotonic + ahead.Nanoseconds())
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
	e.SessionCount = raw.Sessions
	e.Configured = raw.Configured != 0
	if e.ID == event.MemoryAllocationFailure {
		e.Description = "a table of the data path is full"
	}
	return Event{Event: e, NAT: raw.Nat, Network: raw.Network, Compartment: raw.Compartment}, true
}
