package datapath

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/cilium/ebpf/ringbuf"

	"github.com/hostnat/hostnat/internal/datapath/kernel"
	"github.com/hostnat/hostnat/internal/model"
	"github.com/hostnat/hostnat/internal/natmodel"
)

// watch opens the ring; a reader whose deadline has passed never waits.
func (w *twin) watch(t testing.TB) error {
	reader, err := ringbuf.NewReader(w.dp.objects.Events)
	if err != nil {
		return err
	}
	t.Cleanup(func() { reader.Close() })
	reader.SetDeadline(time.Now().Add(-time.Second))
	w.events = reader
	return nil
}

// readEvents returns what the ring has.
func (w *twin) readEvents() ([]natmodel.Event, error) {
	var events []natmodel.Event
	var record ringbuf.Record
	for w.events.AvailableBytes() > 0 {
		err := w.events.ReadInto(&record)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			continue
		}
		if err != nil {
			return nil, err
		}
		var raw kernel.Event
		if _, err := binary.Decode(record.RawSample, binary.NativeEndian, &raw); err != nil {
			return nil, err
		}
		events = append(events, modelEvent(raw))
	}
	return events, nil
}

func modelEvent(raw kernel.Event) natmodel.Event {
	return natmodel.Event{
		ID: natmodel.EventID(raw.Id), NAT: raw.Nat, Network: raw.Network, Compartment: raw.Compartment, Protocol: model.Protocol(raw.Protocol),
		Internal: kernel.ToAddrPort(raw.InternalAddress, raw.InternalPort), External: kernel.ToAddrPort(raw.ExternalAddress, raw.ExternalPort),
		Remote: kernel.ToAddrPort(raw.RemoteAddress, raw.RemotePort), State: model.TCPState(raw.State),
		Lifetime: time.Duration(raw.Lifetime) * time.Second, Sessions: int(raw.Sessions), Configured: raw.Configured != 0,
	}
}

// compareEvents: the same ones, in the same order.
func compareEvents(want, got []natmodel.Event) string {
	want = slices.Clone(want)
	for i := range want {
		for _, end := range []*netip.AddrPort{&want[i].Internal, &want[i].External, &want[i].Remote} {
			if !end.IsValid() {
				*end = netip.AddrPortFrom(netip.IPv4Unspecified(), 0)
			}
		}
	}
	if slices.Equal(want, got) {
		return ""
	}
	return fmt.Sprintf("events\n got %+v\nwant %+v", got, want)
}
