package datapath

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/cilium/ebpf"

	"github.com/hostnat/hostnat/internal/datapath/dptest/wire"
	"github.com/hostnat/hostnat/internal/datapath/kernel"
	"github.com/hostnat/hostnat/internal/event"
	"github.com/hostnat/hostnat/internal/model"
	"github.com/hostnat/hostnat/internal/natmodel"
)

// What the programs do with a packet, and what the tables have afterwards.

func (w *twin) clearDrops() error {
	drops, err := w.drops()
	if err != nil {
		return err
	}
	none := make([]uint64, ebpf.MustPossibleCPU())
	for reason := range drops {
		if err := w.dp.objects.Drops.Put(reason, none); err != nil {
			return err
		}
	}
	budget := make([]kernel.ErrorBudget, ebpf.MustPossibleCPU())
	return errors.Join(w.dp.objects.ErrorBudgets.Put(uint32(0), budget), w.dp.objects.ErrorBudgets.Put(uint32(1), budget))
}

// drops returns the counters that are not zero.
func (w *twin) drops() (map[uint32]uint64, error) {
	size := int(w.dp.objects.Drops.MaxEntries())
	cpus := ebpf.MustPossibleCPU()
	keys, values := make([]uint32, size), make([]uint64, size*cpus)
	var cursor ebpf.MapBatchCursor
	n, err := w.dp.objects.Drops.BatchLookup(&cursor, keys, values, nil)
	if err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
		return nil, err
	}
	drops := make(map[uint32]uint64)
	for i := range n {
		for _, v := range values[i*cpus : (i+1)*cpus] {
			if v > 0 {
				drops[keys[i]] += v
			}
		}
	}
	return drops, nil
}

func (w *twin) namedDrops() (map[natmodel.Reason]uint64, error) {
	drops, err := w.drops()
	named := make(map[natmodel.Reason]uint64, len(drops))
	for reason, n := range drops {
		named[natmodel.Reason(event.Reason(reason).String())] = n
	}
	return named, err
}

// ran is what a program made of a packet.
type ran struct {
	verdict uint32
	mark    uint32
	from    uint32 // interface
	frame   []byte
}

// run hands a packet to the program of its hook. To be called inside the host.
func (w *twin) run(a natmodel.Arrival) (ran, error) { return w.runOn(&w.dp.objects, a) }

func (w *twin) runOn(o *kernel.Objects, a natmodel.Arrival) (ran, error) {
	context := wire.Skbuff{Ifindex: w.outside, GSOSegments: uint32(a.Segments), GSOSize: uint32(a.Segment)}
	out := wire.Skbuff{}
	program := o.OutsideIngress
	switch a.Hook {
	case natmodel.FromEndpoint:
		program, context.Ifindex = o.InsideIngress, w.endpoints[a.Endpoint]
	case natmodel.FromBridge:
		program, context.Ifindex = o.BridgeIngress, w.bridges[a.Network]
	case natmodel.FromPort:
		program, context.Ifindex = o.PortIngress, w.plugged
	case natmodel.ToOutside:
		program = o.OutsideEgress
		if a.Marked {
			context.Mark = wire.TranslatedMark
		}
	}
	if a.Turns > 0 {
		context.Mark = wire.ReassembledMark | uint32(a.Turns)
	}
	options := &ebpf.RunOptions{Data: a.Frame, DataOut: w.buffer, Context: &context, ContextOut: &out}
	verdict, err := program.Run(options)
	if err != nil {
		return ran{}, fmt.Errorf("running a %d byte packet: %w", len(a.Frame), err)
	}
	return ran{verdict: verdict, mark: out.Mark, from: context.Ifindex, frame: append([]byte(nil), options.DataOut...)}, nil
}

// age lets time pass, and what is due ends by the program that user space has
// for it.
func (w *twin) age(by time.Duration) error {
	if err := w.endHoldDowns(by); err != nil {
		return err
	}
	sessions, err := contentsOf[kernel.SessionKey, kernel.Session](w.dp.objects.Sessions)
	if err != nil {
		return err
	}
	now := uint64(w.clock.Now())
	for key, s := range sessions {
		if key.Compartment == dummy || s.LastRefreshed()+uint64(s.Lifetime)*uint64(time.Second) > now {
			continue
		}
		if err := kernel.EndSession(&w.dp.objects, &key, kernel.EndTimeout); err != nil {
			return err
		}
	}
	return nil
}

// contentsOf reads a small map with one system call or two.
func contentsOf[K comparable, V any](m *ebpf.Map) (map[K]V, error) {
	const size = 64
	keys, values := make([]K, size), make([]V, size)
	all := make(map[K]V)
	var cursor ebpf.MapBatchCursor
	for {
		n, err := m.BatchLookup(&cursor, keys, values, nil)
		if err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
			return nil, err
		}
		for i := range n {
			all[keys[i]] = values[i]
		}
		if err != nil {
			return all, nil
		}
	}
}

// frameID is the identification of a frame's IP datagram.
func frameID(frame []byte) uint16 {
	if len(frame) < 20 {
		return 0
	}
	return binary.BigEndian.Uint16(frame[18:])
}

func toKey(k kernel.SessionKey) natmodel.SessionKey {
	return natmodel.SessionKey{
		Compartment: k.Compartment, Protocol: model.Protocol(k.Protocol),
		Internal: kernel.ToAddrPort(k.InternalAddress, k.InternalPort), Remote: kernel.ToAddrPort(k.RemoteAddress, k.RemotePort),
	}
}
