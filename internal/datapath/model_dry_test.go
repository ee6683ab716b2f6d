package datapath

import (
	"errors"
	"fmt"
	"hash/maphash"
	"slices"
	"testing"

	"github.com/cilium/ebpf"
	"pgregory.net/rapid"

	"github.com/hostnat/hostnat/internal/datapath/kernel"
	"github.com/hostnat/hostnat/internal/event"
	"github.com/hostnat/hostnat/internal/natmodel"
)

// TestDryRun runs each generated packet dry before it is run: that changes no
// table, and says what becomes of the packet then.
func TestDryRun(t *testing.T) {
	t.Parallel()
	fixed(t, 40, 3)
	w, count := newTwin(t), newTally()
	spec, err := kernel.LoadSpec()
	check(t, err)
	w.dry, err = kernel.OpenDryRun(spec, w.clock.Rule(spec, w.dp.objects.Tables()))
	check(t, err)
	t.Cleanup(func() { w.dry.Close() })
	rapid.Check(t, func(t *rapid.T) { w.check(t, count) })
	t.Log(count)
}

// decision is what a dry run says of a packet.
type decision struct {
	verdict uint32
	mark    uint32
	reason  natmodel.Reason
}

// decide runs a packet dry and looks whether that changed anything; nil if the
// twin is none that does.
func (w *twin) decide(a natmodel.Arrival) (*decision, error) {
	if w.dry == nil {
		return nil, nil
	}
	before, err := w.sums()
	if err != nil {
		return nil, err
	}
	const nobody = ^uint32(0) // no context has this length
	flows := make([]kernel.Flow, ebpf.MustPossibleCPU())
	for i := range flows {
		flows[i].Packet.Length = nobody
	}
	if err := w.dry.Flows.Put(uint32(0), flows); err != nil {
		return nil, err
	}
	for i := range flows {
		flows[i].Reason = 0
	}
	got, err := w.runOn(&w.dry.Objects, a)
	if err != nil {
		return nil, err
	}
	after, err := w.sums()
	if err != nil {
		return nil, err
	}
	for name, sum := range before {
		if after[name] != sum {
			return nil, fmt.Errorf("a dry run has changed the table %s; the packet at hook %d: %x", name, a.Hook, a.Frame)
		}
	}
	if err := w.dry.Flows.Lookup(uint32(0), &flows); err != nil {
		return nil, err
	}
	d := &decision{verdict: got.verdict, mark: got.mark}
	for _, f := range flows {
		if f.Reason != 0 {
			d.reason = natmodel.Reason(event.Reason(f.Reason).String())
		}
	}
	return d, nil
}

// holds compares a decision with what has become of the packet.
func (d *decision) holds(a natmodel.Arrival, got ran, want natmodel.Result) string {
	full := []natmodel.Reason{"session-table-full", "binding-table-full"} // only a write finds this out
	if d == nil || slices.Contains(full, want.Reason) {
		return ""
	}
	// Where an address is short of ports, chance decides which address a hairpin comes
	// from, and each of the two runs has its own. A mapping may let in one of them alone.
	const byAddress = "remote-not-allowed"
	if a.Hook != natmodel.FromOutside && (d.reason == byAddress) != (want.Reason == byAddress) {
		return ""
	}
	if d.verdict != got.verdict || d.mark != got.mark || want.Reason != "" && d.reason != want.Reason {
		return fmt.Sprintf("dry run: verdict %d, mark %#x, %q; then verdict %d, mark %#x, %q",
			int32(d.verdict), d.mark, d.reason, int32(got.verdict), got.mark, want.Reason)
	}
	return ""
}

var sumSeed = maphash.MakeSeed()

// sums are a number for what each table holds, whatever the order.
func (w *twin) sums() (map[string]uint64, error) {
	sums := make(map[string]uint64)
	for name, m := range w.dp.objects.Tables() {
		var sum uint64
		add := func(key, value []byte) error {
			sum += (maphash.Bytes(sumSeed, key) | 1) * (maphash.Bytes(sumSeed, value) | 1) // odd: no factor hides another
			return nil
		}
		var err error
		switch {
		case name == "flows" || name == "route_works" || m.Type() == ebpf.RingBuf || m.Type() == ebpf.Queue || name == "tokens":
			continue // the programs' own; what the others cannot reach without a session or the reassembly programs
		case name == "drop_records" || name == "end_records":
			continue // many; how many were written is in tables of their own
		case m.Type() == ebpf.PerCPUArray:
			err = perCPURows(m, add)
		default:
			err = kernel.Rows(m, add)
		}
		if err != nil {
			return nil, fmt.Errorf("reading %s: %w", name, err)
		}
		sums[name] = sum
	}
	return sums, nil
}

func perCPURows(m *ebpf.Map, visit func(key, value []byte) error) error {
	var err error
	for i := range m.MaxEntries() {
		value, lookupErr := m.LookupBytes(i)
		err = errors.Join(err, lookupErr, visit([]byte{byte(i)}, value))
	}
	return err
}
