package datapath

import (
	"cmp"
	"errors"
	"slices"
	"time"

	"github.com/cilium/ebpf"

	"github.com/hostnat/hostnat/internal/datapath/kernel"
	"github.com/hostnat/hostnat/internal/model"
	"github.com/hostnat/hostnat/internal/natmodel"
)

// holdDown is a freed port that nobody else may have yet, by the world's clock.
type holdDown struct {
	at    kernel.SpareKey
	port  kernel.BindingKey
	until time.Duration
}

// readHolds reads the queues of ports in hold-down, each in its order.
func (w *twin) readHolds() ([]holdDown, error) {
	spares, err := contentsOf[kernel.SpareKey, kernel.Spare](w.dp.objects.SparePorts)
	var holds []holdDown
	for key, s := range spares {
		if key.Queue.Protocol != uint8(model.TCP) {
			port := kernel.BindingKey{Address: key.Queue.Address, Port: s.Port, Protocol: key.Queue.Protocol}
			holds = append(holds, holdDown{at: key, port: port})
		}
	}
	slices.SortFunc(holds, func(a, b holdDown) int { return cmp.Compare(a.at.Number, b.at.Number) })
	return holds, err
}

// orderHolds tells the model in which order ports came into hold-down.
func (p *pairOf) orderHolds() error {
	holds, err := p.readHolds()
	position := make(map[natmodel.BindingKey]int, len(holds))
	for i, h := range holds {
		position[natmodel.BindingKey{Protocol: model.Protocol(h.port.Protocol), External: kernel.ToAddrPort(h.port.Address, h.port.Port)}] = i
	}
	p.model.OrderHolds(position)
	return err
}

// endHoldDowns lets time pass for ports in hold-down, and does what release_step of
// bpf/spare_release.h does when the wheel turns.
func (w *twin) endHoldDowns(by time.Duration) error {
	var n kernel.Nat
	if err := w.dp.objects.Nats.Lookup(uint32(1), &n); err != nil {
		return err
	}
	known := make(map[kernel.SpareKey]time.Duration, len(w.holdDowns))
	for _, r := range w.holdDowns {
		known[r.at] = r.until
	}
	holds, err := w.readHolds()
	last := make(map[kernel.BindingKey]int) // a port that was taken up between has two: the one that its binding knows counts
	for i := range holds {
		h := &holds[i]
		until, before := known[h.at]
		if !before {
			until = w.clock.Now() + time.Duration(n.HoldDown)*time.Second
		}
		h.until, last[h.port] = until, i
	}
	err = errors.Join(err, w.clock.Set(w.clock.Now()+by))
	w.holdDowns = nil
	for i, h := range holds {
		if last[h.port] == i && h.until > w.clock.Now() {
			w.holdDowns = append(w.holdDowns, h)
			continue
		}
		err = errors.Join(err, w.dp.objects.SparePorts.Delete(&h.at))
		if last[h.port] == i {
			err = errors.Join(err, w.releaseHeld(h.port))
		}
	}
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
			err = kernel.RemoveWay(o, index)
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
