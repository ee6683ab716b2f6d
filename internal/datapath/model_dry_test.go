package datapath

import (
	"bytes"
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
	fixed(t, 300, 3)
	w, count := newDryTwin(t, 10), newTally()
	rapid.Check(t, func(t *rapid.T) { w.check(t, count) })
	t.Logf("%v; %s", count, w.explainedText())
	if w.explained == 0 {
		t.Error("no packet was one that explain can be asked of")
	}
}

// newDryTwin has each packet run dry before, and the tables summed up around one dry
// run of so many.
func newDryTwin(t *testing.T, sumEvery int) *twin {
	w := newTwin(t)
	spec, err := kernel.LoadSpec()
	check(t, err)
	w.dry, err = kernel.OpenDryRun(spec, w.clock.Rule(spec, w.dp.objects.Tables()))
	check(t, err)
	t.Cleanup(func() { w.dry.Close() })
	w.sumEvery = sumEvery
	return w
}

func (w *twin) explainedText() string {
	return fmt.Sprintf("%d as explain reads them, %d with a port that chance drew, %d that call themselves, %d with room made for them", w.explained, w.drawn, w.itself, w.room)
}

// decision is what a dry run says of a packet.
type decision struct {
	verdict uint32
	mark    uint32
	reason  natmodel.Reason
	frame   []byte
	key     kernel.SessionKey
	fate    *Fate // what explain makes of it; nil: it asks of no such packets
}

// decide runs a packet dry and looks whether that changed anything; nil if the
// twin is none that does.
func (w *twin) decide(a natmodel.Arrival) (*decision, error) {
	if w.dry == nil {
		return nil, nil
	}
	w.dryRuns++
	looks := w.dryRuns%max(w.sumEvery, 1) == 0
	before, err := w.sumsIf(looks)
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
	after, err := w.sumsIf(looks)
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
	d := &decision{verdict: got.verdict, mark: got.mark, frame: got.frame}
	for i := range flows {
		f := &flows[i]
		if f.Reason != 0 {
			d.reason = natmodel.Reason(event.Reason(f.Reason).String())
		}
		if f.Packet.Length == nobody {
			continue
		}
		d.key = f.Key
		if t, is := trialLike(a); is {
			fate := w.dp.fate(t, entry{}, got.verdict, got.frame, f)
			d.fate = &fate
		}
	}
	return d, nil
}

func (w *twin) sumsIf(looks bool) (map[string]uint64, error) {
	if !looks {
		return nil, nil
	}
	return w.sums()
}

// holds compares a decision with what has become of the packet.
func (p *pairOf) holds(d *decision, a natmodel.Arrival, got ran, want natmodel.Result, known bool) string {
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
	// Who calls itself by its outside address opens two sessions. In a dry run the first is
	// not there when the second is looked at: it counts for no limit, and lets nothing in.
	if want.Reason == "endpoint-limit" && callsItself(a.Frame, d.frame) || d.reason == "filtered-remote" && callsItself(a.Frame, got.frame) {
		p.itself++
		return ""
	}
	// A closed connection that makes room is there still in a dry run: it counts for the
	// endpoint's limits, and its port is not yet the sender's, who may have sent to just that one.
	makesRoom := a.Hook != natmodel.FromOutside && slices.ContainsFunc(want.Events, func(e natmodel.Event) bool { return e.ID == natmodel.SessionDelete })
	if makesRoom && (d.reason == "endpoint-limit" || d.verdict == got.verdict && want.Verdict == natmodel.Inward) {
		p.room++
		return ""
	}
	if d.verdict != got.verdict || d.mark != got.mark || want.Reason != "" && d.reason != want.Reason {
		return fmt.Sprintf("dry run: verdict %d, mark %#x, %q; then verdict %d, mark %#x, %q",
			int32(d.verdict), d.mark, d.reason, int32(got.verdict), got.mark, want.Reason)
	}
	if want.Verdict != natmodel.Dropped && !bytes.Equal(withoutID(d.frame), withoutID(got.frame)) {
		// A port that is taken by then, or of which there are few, is drawn at random: by each run for itself.
		if !a.Choice.External.IsValid() || !bytes.Equal(withoutSender(d.frame), withoutSender(got.frame)) {
			return fmt.Sprintf("dry run: frame %x\nthen           %x", d.frame, got.frame)
		}
		p.drawn++
	}
	if d.fate == nil || want.Verdict == natmodel.ToReassembly {
		return ""
	}
	p.explained++
	return d.explains(a, got, want, known)
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
