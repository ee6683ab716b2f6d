package datapath

import (
	"errors"
	"time"

	"github.com/cilium/ebpf"

	"github.com/hostnat/hostnat/internal/datapath/kernel"
)

// rest is a freed port that the data path lets rest, by the world's clock.
type rest struct {
	held  kernel.HoldDown
	until time.Duration
}

// drainHeld empties the queue that the wheel would read.
func (w *twin) drainHeld(sink func(kernel.HoldDown)) error {
	for {
		var h kernel.HoldDown
		err := w.dp.objects.HoldDowns.LookupAndDelete(nil, &h)
		if errors.Is(err, ebpf.ErrKeyNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		sink(h)
	}
}

// drainClosed empties the queue of closed connections.
func (w *twin) drainClosed() error {
	for {
		var c kernel.Closed
		if err := w.dp.objects.ClosedSessions.LookupAndDelete(nil, &c); err != nil {
			if errors.Is(err, ebpf.ErrKeyNotExist) {
				return nil
			}
			return err
		}
	}
}

// endRests lets time pass for resting ports, and does what release_step of
// bpf/binding.h does when the wheel turns.
func (w *twin) endRests(by time.Duration) error {
	var n kernel.Nat
	if err := w.dp.objects.Nats.Lookup(uint32(1), &n); err != nil {
		return err
	}
	known := make(map[kernel.HoldDown]time.Duration, len(w.rests))
	for _, r := range w.rests {
		known[r.held] = r.until
	}
	w.rests = nil
	err := w.drainHeld(func(h kernel.HoldDown) {
		until, before := known[h]
		if !before {
			until = w.clock.Now() + time.Duration(n.HoldDown)*time.Second
		}
		w.rests = append(w.rests, rest{h, until})
	})
	err = errors.Join(err, w.clock.Set(w.clock.Now()+by))
	last := make(map[kernel.BindingKey]int) // a port that was taken up between has two: the one that its binding knows counts
	for i, r := range w.rests {
		last[r.held.Binding] = i
	}
	var left []rest
	for i, r := range w.rests {
		switch {
		case last[r.held.Binding] != i:
		case r.until > w.clock.Now():
			left = append(left, r)
			err = errors.Join(err, w.dp.objects.HoldDowns.Update(nil, &r.held, ebpf.UpdateAny))
		default:
			err = errors.Join(err, w.releaseHeld(r.held.Binding))
		}
	}
	w.rests = left
	return err
}

func (w *twin) releaseHeld(key kernel.BindingKey) error {
	o := &w.dp.objects
	var b kernel.Binding
	err := o.Bindings.Lookup(&key, &b)
	if err == nil && b.Flags&(kernel.BindingHoldDown|kernel.BindingConfigured) == 0 {
		return nil // taken up again
	}
	if err == nil && b.Flags&kernel.BindingHoldDown != 0 {
		index := kernel.IndexOf(key, b)
		var way kernel.WayOut
		if o.BindingIndex.Lookup(&index, &way) == nil && way.Port == key.Port {
			err = o.BindingIndex.Delete(&index)
		}
		err = errors.Join(err, o.Bindings.Delete(&key))
	}
	if errors.Is(err, ebpf.ErrKeyNotExist) {
		err = nil
	}
	bitsKey, bits := kernel.PortBitsKey{Address: key.Address, Protocol: key.Protocol}, kernel.PortBits{}
	if o.PortBits.Lookup(&bitsKey, &bits) == nil {
		port := kernel.ToPort(key.Port)
		if bits.Word[port/64]>>(port%64)&1 != 0 {
			bits.Used--
		}
		bits.Word[port/64] &^= 1 << (port % 64)
		err = errors.Join(err, o.PortBits.Put(&bitsKey, &bits))
	}
	return err
}
