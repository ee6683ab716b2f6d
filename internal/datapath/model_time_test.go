package datapath

import (
	"errors"
	"time"

	"github.com/cilium/ebpf"
)

// rest is a freed port that the data path lets rest, by the world's clock.
type rest struct {
	held  bpfHoldDown
	until time.Duration
}

// second is the one by which rates are counted. The data path's clock is a tick
// behind ours: it may be in the one before.
func second(behind time.Duration) int64 {
	return (readClock().monotonic - int64(behind)) / int64(time.Second)
}

// drainHeld empties the queue that the wheel would read.
func (w *twin) drainHeld(sink func(bpfHoldDown)) error {
	for {
		var h bpfHoldDown
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

// endRests lets time pass for resting ports, and does what release_step of
// bpf/binding.h does when the wheel turns.
func (w *twin) endRests(by time.Duration) error {
	var n bpfNat
	if err := w.dp.objects.Nats.Lookup(uint32(1), &n); err != nil {
		return err
	}
	err := w.drainHeld(func(h bpfHoldDown) {
		w.rests = append(w.rests, rest{h, w.clock + time.Duration(n.HoldDown)*time.Second})
	})
	w.clock += by
	last := make(map[bpfBindingKey]int) // a port that was taken up between has two: the one that its binding knows counts
	for i, r := range w.rests {
		last[r.held.Binding] = i
	}
	var left []rest
	for i, r := range w.rests {
		switch {
		case last[r.held.Binding] != i:
		case r.until > w.clock:
			left = append(left, r)
		default:
			err = errors.Join(err, w.releaseHeld(r.held.Binding))
		}
	}
	w.rests = left
	return err
}

func (w *twin) releaseHeld(key bpfBindingKey) error {
	o := &w.dp.objects
	var b bpfBinding
	err := o.Bindings.Lookup(&key, &b)
	if err == nil && b.Flags&(bindingHoldDown|bindingConfigured) == 0 {
		return nil // taken up again
	}
	if err == nil && b.Flags&bindingHoldDown != 0 {
		index := indexOf(key, b)
		var way bpfWayOut
		if o.BindingIndex.Lookup(&index, &way) == nil && way.Port == key.Port {
			err = o.BindingIndex.Delete(&index)
		}
		err = errors.Join(err, o.Bindings.Delete(&key))
	}
	if errors.Is(err, ebpf.ErrKeyNotExist) {
		err = nil
	}
	bitsKey, bits := bpfPortBitsKey{Address: key.Address, Protocol: key.Protocol}, bpfPortBits{}
	if o.PortBits.Lookup(&bitsKey, &bits) == nil {
		port := toPort(key.Port)
		bits.Word[port/64] &^= 1 << (port % 64)
		err = errors.Join(err, o.PortBits.Put(&bitsKey, &bits))
	}
	return err
}

// ageRates moves the second that an endpoint's new sessions are counted in.
func (w *twin) ageRates(by time.Duration) error {
	usages, err := contentsOf[bpfEndpointKey, bpfUsage](w.dp.objects.Usages)
	for key, u := range usages {
		u.Second -= uint32(by / time.Second)
		err = errors.Join(err, w.dp.objects.Usages.Put(&key, &u))
	}
	return err
}
