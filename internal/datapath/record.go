package datapath

import (
	"fmt"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hostnat/hostnat/internal/datapath/kernel"
	"github.com/hostnat/hostnat/internal/event"
	"github.com/hostnat/hostnat/internal/model"
)

// The flight recorder: bpf/record.h.

// Drop is a packet that was dropped, as it came, or several in a row that were
// alike: ids instead of names.
type Drop struct {
	First, Last          time.Time
	Packets              uint32
	Reason               event.Reason
	Program              string
	Interface            uint32
	Network, Compartment uint32 // that it came from
	FromOutside          bool
	EtherType            uint16
	MAC                  model.MAC // of its sender; empty where the link has none
	Protocol             uint8     // of IP; 0: not known
	From, To             netip.AddrPort
	TCPFlags             uint8
	ICMPType, ICMPCode   uint8
	Length               uint32 // of the last one's frame, bytes
}

// Ended is a session that has ended: Left is how long it would have lived on.
type Ended struct {
	Session
	Ended       time.Time
	Idle        time.Duration // since its last packet that counted
	Cause       model.EndCause
	FromOutside bool // a remote had opened it
}

var endCauses = map[kernel.EndCause]model.EndCause{
	kernel.EndTimeout: model.EndTimeout, kernel.EndByHand: model.EndByHand, kernel.EndConfiguration: model.EndConfiguration,
	kernel.EndAddressLost: model.EndAddressLost, kernel.EndRouteChanged: model.EndRouteChanged, kernel.EndPressure: model.EndPressure,
	kernel.EndTakenOver: model.EndTakenOver, kernel.EndNoMemory: model.EndNoMemory,
}

// RecordedDrops calls visit for the packets that were dropped since then, as far as
// the recorder has them, in no order.
func (d *Datapath) RecordedDrops(since time.Time, visit func(Drop)) error {
	clock := bootClock()
	err := kernel.EachDrop(&d.objects, func(r *kernel.DropRecord) {
		if drop := toDrop(r, clock); !drop.Last.Before(since) {
			visit(drop)
		}
	})
	if err != nil {
		return fmt.Errorf("reading which packets were dropped: %w", err)
	}
	return nil
}

// RecordedEnds calls visit for the sessions that have ended since then, as far as
// the recorder has them, in no order.
func (d *Datapath) RecordedEnds(since time.Time, visit func(Ended)) error {
	clock := bootClock()
	err := kernel.EachEnd(&d.objects, func(r *kernel.EndRecord) {
		if at := clock.time(r.Ended); !at.Before(since) {
			visit(toEnded(r, at))
		}
	})
	if err != nil {
		return fmt.Errorf("reading which sessions have ended: %w", err)
	}
	return nil
}

// bootClock is the clock of the recorder, which goes on while the machine sleeps.
func bootClock() clock {
	var ts unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts) // cannot fail on Linux
	return clock{wall: time.Now(), monotonic: ts.Nano()}
}

func toDrop(r *kernel.DropRecord, clock clock) Drop {
	const outside = ^uint32(0)
	d := Drop{
		First: clock.time(r.First), Last: clock.time(r.Last), Packets: r.Count,
		Reason: event.Reason(r.Reason), Program: kernel.Program(r.Program).String(), Interface: r.Ifindex,
		Network: r.Network, Compartment: r.Compartment, FromOutside: r.Compartment == outside,
		EtherType: kernel.ToPort(r.EthernetType), Protocol: r.Protocol, TCPFlags: r.TcpFlags, Length: r.Length,
	}
	if r.Mac != [6]uint8{} {
		d.MAC = toMAC(r.Mac)
	}
	if r.Source == 0 && r.Destination == 0 {
		return d
	}
	d.From, d.To = kernel.ToAddrPort(r.Source, r.SourcePort), kernel.ToAddrPort(r.Destination, r.DestinationPort)
	if model.Protocol(r.Protocol) == model.ICMP {
		typeCode := d.To.Port()
		d.ICMPType, d.ICMPCode = uint8(typeCode>>8), uint8(typeCode)
		d.To = netip.AddrPortFrom(d.To.Addr(), 0)
	}
	return d
}

func toEnded(r *kernel.EndRecord, at time.Time) Ended {
	return Ended{
		Session: Session{
			NAT: r.Nat, Network: r.Network, Compartment: r.Key.Compartment, Protocol: model.Protocol(r.Key.Protocol),
			Internal: kernel.ToAddrPort(r.Key.InternalAddress, r.Key.InternalPort),
			External: kernel.ToAddrPort(r.ExternalAddress, r.ExternalPort),
			Remote:   kernel.ToAddrPort(r.Key.RemoteAddress, r.Key.RemotePort),
			State:    model.TCPState(r.State), Created: at.Add(-time.Duration(r.Lived)),
			PacketsOut: r.PacketsOut, BytesOut: r.BytesOut, PacketsIn: r.PacketsIn, BytesIn: r.BytesIn,
			Handshake: kernel.ToHandshake(r.EndpointRtt, r.OutsideRtt, r.RepeatedSyns),
		},
		Ended: at, Idle: time.Duration(r.Idle), Cause: endCauses[kernel.EndCause(r.Cause)],
		FromOutside: r.Flags&kernel.SessionFromOutside != 0,
	}
}

// EndReader reads sessions that have ended one after the other, each once, from the flight
// recorder (bpf/record.h). It is for one goroutine.
type EndReader struct {
	datapath *Datapath
	room     uint64 // sessions in a part
	read     []uint64
	gap      []uint64 // of each part the serial of a session that was not there when it was looked for last; 0: none
}

// endsAtOnce is how many sessions a reading takes at most, which is some milliseconds' work. A
// flood of short connections shall not have each of them looked at while the machine
// is busy with the next ones.
const endsAtOnce = 4096

// NewEndReader begins with the sessions that end from now on.
func (d *Datapath) NewEndReader() (*EndReader, error) {
	parts := d.objects.EndRecordsWritten.MaxEntries()
	r := &EndReader{datapath: d, room: uint64(d.objects.EndRecords.MaxEntries() / parts), gap: make([]uint64, parts)}
	var err error
	r.read, err = r.written()
	return r, err
}

func (r *EndReader) written() ([]uint64, error) {
	written := make([]uint64, len(r.gap))
	for part := range written {
		if err := r.datapath.objects.EndRecordsWritten.Lookup(uint32(part), &written[part]); err != nil {
			return nil, fmt.Errorf("reading how many sessions have ended: %w", err)
		}
	}
	return written, nil
}

// Read calls visit for the sessions that have ended since it was called last, and returns
// how many others were written over before they could be read, or were too many: of each
// part it takes the last ones then, of all parts the same share.
func (r *EndReader) Read(visit func(Ended)) (missed uint64, err error) {
	written, err := r.written()
	if err != nil {
		return 0, err
	}
	missed = r.skip(written)
	clock := bootClock()
	for part, last := range written {
		for r.read[part] < last {
			serial := r.read[part] + 1
			record, is, err := r.record(part, serial)
			if err != nil {
				return missed, err
			}
			switch {
			case is == recordThere:
				visit(toEnded(&record, clock.time(record.Ended)))
			case is == recordOver:
				missed++
			case r.gap[part] != serial: // it is being written, or its session has not ended after all
				r.gap[part] = serial
				last = r.read[part]
				continue
			}
			r.read[part] = serial
		}
	}
	return missed, nil
}

// skip passes over what is too much to be read, and returns how much that is.
func (r *EndReader) skip(written []uint64) (missed uint64) {
	var all uint64
	for part, last := range written {
		if last < r.read[part] { // the tables are new ones
			r.read[part] = 0
		}
		all += min(last-r.read[part], r.room)
	}
	for part, last := range written {
		behind := last - r.read[part]
		take := min(behind, r.room)
		if all > endsAtOnce {
			take = take * endsAtOnce / all
		}
		missed += behind - take
		r.read[part] = last - take
	}
	return missed
}

const (
	recordThere = iota
	recordOver  // written over by a later one
	recordGap   // not there
)

func (r *EndReader) record(part int, serial uint64) (record kernel.EndRecord, is int, err error) {
	slot := uint64(part)*r.room + (serial-1)%r.room
	if err := r.datapath.objects.EndRecords.Lookup(uint32(slot), &record); err != nil {
		return record, recordGap, fmt.Errorf("reading a session that has ended: %w", err)
	}
	switch {
	case record.Serial == serial && record.Check == serial:
		return record, recordThere, nil
	case record.Check > serial || record.Serial > serial:
		return record, recordOver, nil
	}
	return record, recordGap, nil
}
