package datapath

import (
	"fmt"
	"maps"
	"syscall"
	"testing"

	"github.com/cilium/ebpf"

	"github.com/hostnat/hostnat/internal/datapath/dptest/wire"
	"github.com/hostnat/hostnat/internal/datapath/kernel"
	"github.com/hostnat/hostnat/internal/model"
	"github.com/hostnat/hostnat/internal/natmodel"
)

const mapTries = 4 // MAP_TRIES of bpf/maps.h

// What the kernel says of a table that is busy says nothing of its room: whichever
// write of a new flow it is about, it is tried again, and at last the packet is
// dropped for that reason and for no other, without a trace of it. The next one works.
func TestBusyTablesAreNotFullOnes(t *testing.T) {
	t.Parallel()
	w := newTwinOf(t, func() (*ebpf.CollectionSpec, error) {
		spec, err := kernel.LoadSpec()
		if err == nil {
			wire.FailWrites(spec)
		}
		return spec, err
	})
	t.Cleanup(func() { w.failures.Close() })
	errnos := []syscall.Errno{syscall.EBUSY, syscall.ENOMEM, syscall.EAGAIN, syscall.EDEADLK, syscall.ETIMEDOUT}
	check(t, w.host.Do(func() error {
		for name, first := range firstPackets {
			for _, errno := range errnos {
				if err := w.busy(first, errno); err != nil {
					t.Errorf("%s, %v: %v", name, errno, err)
				}
			}
		}
		return nil
	}))
}

// firstPackets begin a flow.
var firstPackets = map[string]natmodel.Arrival{
	"UDP outbound":  firstInside(0, wire.Segment{Protocol: model.UDP, From: at(inside2, 1000), To: at(wire.RemoteAddress, 80)}),
	"TCP outbound":  firstInside(0, wire.Segment{Protocol: model.TCP, Flags: wire.Syn, From: at(inside2, 1000), To: at(wire.RemoteAddress, 80)}),
	"ICMP outbound": firstInside(0, wire.Segment{Protocol: model.ICMP, From: at(inside2, 1000), To: at(wire.RemoteAddress, 0)}),
	"UDP mapped":    firstOutside(wire.Segment{Protocol: model.UDP, From: at(wire.RemoteAddress, 80), To: at(wire.HostAddress, 8080)}),
}

func firstInside(party int, s wire.Segment) natmodel.Arrival {
	from := parties[party]
	frame := wire.Ethernet(natMAC(from.mac), twinNetworks[from.network].GatewayMAC, wire.EtherIPv4, s.IP())
	return natmodel.Arrival{Hook: from.hook, Endpoint: from.endpoint, Network: from.network, Frame: frame}
}

func firstOutside(s wire.Segment) natmodel.Arrival {
	return natmodel.Arrival{Hook: natmodel.FromOutside, Frame: wire.Ethernet(natMAC(twinMAC(0x31)), natMAC(outsideMAC), wire.EtherIPv4, s.IP())}
}

// busy has each write of a flow's first packet fail, one after the other.
func (w *twin) busy(first natmodel.Arrival, errno syscall.Errno) error {
	dropped := 0
	for write := 0; ; write++ {
		more, drops, err := w.busyAt(first, write, mapTries, errno)
		if err != nil || !more {
			needed := 3 // of the binding, of the session, of its timer
			if first.Hook == natmodel.FromOutside {
				needed = 2 // the mapping has a binding
			}
			if err == nil && dropped < needed {
				err = fmt.Errorf("of %d writes only %d are needed", write, dropped)
			}
			return err
		}
		dropped += drops
		if _, drops, err := w.busyAt(first, write, mapTries-1, errno); err != nil || drops > 0 {
			return fmt.Errorf("write %d works at the last try: %d dropped, %w", write, drops, err)
		}
	}
}

// busyAt reports whether there is such a write, and how many packets were dropped.
func (w *twin) busyAt(first natmodel.Arrival, write, fails int, errno syscall.Errno) (more bool, dropped int, err error) {
	p, err := w.begin(world{
		Rules: rules{TCP: model.AddressDependent, UDP: model.AddressDependent}, Mappings: map[uint32]bool{3: true},
		Sessions: twinSessions, Bindings: twinBindings,
	})
	if err != nil {
		return false, 0, err
	}
	before := w.counts()
	left, err := p.failing(first, wire.Fail(write, fails, errno))
	if err != nil || left.Fails == uint64(fails) {
		return false, 0, err
	}
	drops, err := w.drops()
	if err != nil || left.Fails > 0 {
		return false, 0, fmt.Errorf("write %d was not tried again: %d of %d failures left (%w)", write, left.Fails, fails, err)
	}
	if n := drops[busyReason]; n != 1 && len(drops) > 0 || len(drops) > 1 {
		return false, 0, fmt.Errorf("write %d: drops %v", write, drops)
	}
	if after := w.counts(); len(drops) > 0 && !maps.Equal(before, after) {
		return false, 0, fmt.Errorf("write %d: the tables held %v, and hold %v after the drop", write, before, after)
	}
	return true, len(drops), p.worksNow(first, len(drops))
}

const busyReason = 0x64 // REASON_TABLE_BUSY

// worksNow sends the packet once more, and ends its session although the table is busy.
func (p *pairOf) worksNow(first natmodel.Arrival, dropped int) error {
	if _, err := p.failing(first, &wire.Failures{}); err != nil {
		return err
	}
	drops, err := p.twin.drops()
	if err != nil || len(drops) != dropped {
		return fmt.Errorf("without failures: drops %v (%w)", drops, err)
	}
	sessions, err := contentsOf[kernel.SessionKey, kernel.Session](p.dp.objects.Sessions)
	if err != nil || len(sessions) != 1 {
		return fmt.Errorf("%d sessions, want 1 (%w)", len(sessions), err)
	}
	for key := range sessions {
		if err := p.failures.Put(uint32(0), wire.Fail(0, mapTries, syscall.EBUSY)); err != nil {
			return err
		}
		if err := kernel.EndSession(&p.dp.objects, &key, kernel.EndByHand); err != nil {
			return err
		}
	}
	if left := p.counts()["sessions"]; left != 0 {
		return fmt.Errorf("%d sessions are left", left)
	}
	return nil
}

// failing runs a packet while writes fail, and returns what is left of them.
func (p *pairOf) failing(a natmodel.Arrival, f *wire.Failures) (left wire.Failures, err error) {
	if err := p.failures.Put(uint32(0), f); err != nil {
		return left, err
	}
	if _, err := p.run(a); err != nil {
		return left, err
	}
	err = p.failures.Lookup(uint32(0), &left)
	return left, err
}

// counts is how many elements there are of what lives.
func (w *twin) counts() map[string]int {
	o, counts := &w.dp.objects, make(map[string]int)
	for name, m := range map[string]*ebpf.Map{
		"sessions": o.Sessions, "bindings": o.Bindings, "index": o.BindingIndex, "filter entries": o.FilterEntries, "usages": o.Usages,
	} {
		err := kernel.Rows(m, func(_, _ []byte) error { counts[name]++; return nil })
		if err != nil {
			counts[name+" unread"]++
		}
	}
	return counts
}
