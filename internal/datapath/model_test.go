package datapath

import (
	"errors"
	flags "flag"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/hostnat/hostnat/internal/datapath/kernel"
	"github.com/hostnat/hostnat/internal/model"
)

// TestModel runs generated packet sequences through the data path and through
// package natmodel, which must agree byte for byte, entry for entry, reason for
// reason. Longer: make model, or -rapid.checks=100000 -rapid.seed=7 -timeout 0.
func TestModel(t *testing.T) {
	t.Parallel()
	fixed(t, 1500, 1)
	w, count := newTwin(t), newTally()
	rapid.Check(t, func(t *rapid.T) { w.check(t, count) })
	t.Log(count)
}

// TestModelObserved: the programs that are on the links while somebody captures do the
// same.
func TestModelObserved(t *testing.T) {
	t.Parallel()
	fixed(t, 300, 3)
	w, count := newTwinOf(t, kernel.LoadObservedSpec), newTally()
	rapid.Check(t, func(t *rapid.T) { w.check(t, count) })
	t.Log(count)
}

// fixing is held by the test that rapid's flags are set for: they are one for all tests of a process.
var fixing sync.Mutex

// fixed gives rapid's flags other defaults for this test: CI does the same work each
// time. Tests that run beside it wait.
func fixed(t *testing.T, checks, seed int) {
	t.Helper()
	fixing.Lock()
	t.Cleanup(fixing.Unlock)
	for name, value := range map[string]string{"rapid.checks": strconv.Itoa(checks), "rapid.seed": strconv.Itoa(seed), "rapid.nofailfile": "true"} {
		f := flags.Lookup(name)
		if f.Value.String() == f.DefValue {
			check(t, f.Value.Set(value))
			t.Cleanup(func() { _ = f.Value.Set(f.DefValue) })
		}
	}
}

// FuzzModel is TestModel guided by which parts of the model are reached.
func FuzzModel(f *testing.F) {
	w, count := newTwin(f), newTally()
	f.Fuzz(rapid.MakeFuzz(func(t *rapid.T) { w.check(t, count) }))
}

// tally is what was run, since when, and why some sequences ended early.
type tally struct {
	sequences, packets int
	early              map[string]int
	began              time.Time
}

func newTally() *tally { return &tally{early: make(map[string]int), began: time.Now()} }

func (c *tally) String() string {
	took := time.Since(c.began)
	return fmt.Sprintf("%d packets in %d sequences, %.0f s, %.0f packets/s; ended early: %v",
		c.packets, c.sequences, took.Seconds(), float64(c.packets)/took.Seconds(), c.early)
}

// check draws a world and a sequence, and runs it.
func (w *twin) check(t *rapid.T, count *tally) {
	start := worlds.Draw(t, "world")
	ops := sequences.Draw(t, "operations")
	steps, err := 0, error(nil)
	failed := w.host.Do(func() error {
		steps, err = w.sequence(start, ops, nil)
		return nil
	})
	count.sequences++
	count.packets += steps
	if name := knownOpen(err); name != "" {
		count.early[name]++
		return
	}
	if err = errors.Join(failed, err); err != nil {
		t.Fatalf("%v\nafter:\n%s", err, w.tell(start, ops))
	}
}

// sequence runs a world, and returns after how many packets and why it ended.
func (w *twin) sequence(start world, ops []operation, trace *strings.Builder) (int, error) {
	p, err := w.begin(start)
	if err != nil {
		return 0, err
	}
	mappings := make(map[uint32]bool)
	for id, set := range start.Mappings {
		mappings[id] = set
	}
	for i, o := range ops {
		if trace != nil && o.Kind >= kindWait {
			fmt.Fprintf(trace, "%d: %v %+v\n", i, o.Kind, o)
		}
		switch o.Kind {
		case kindWait:
			err = p.pass(waits[o.Pick%len(waits)])
		case kindSettings:
			err = p.setRules(p.rules.changed(o.Pick, o.Remote))
		case kindShort:
			err = p.shortConnection(o)
		case kindMapping:
			id := uint32((o.Pick+8*o.Port)%drawnMappings) + 1
			if !mappings[id] && len(p.model.Bindings()) >= start.Bindings {
				continue // no room: user space refuses it
			}
			mappings[id] = !mappings[id]
			err = p.setMappings(mappings)
		default:
			a := o.arrival(p.model)
			if o.Kind == kindFollow && len(p.firsts) > 0 {
				a = o.follow(p.firsts[o.Pick%len(p.firsts)])
			}
			if trace != nil {
				fmt.Fprintf(trace, "%d: %+v\n   hook %d: %x\n", i, o, a.Hook, a.Frame)
			}
			err = p.step(a)
		}
		if err != nil {
			return p.steps, fmt.Errorf("operation %d, %v: %w", i, o.Kind, err)
		}
	}
	return p.steps, p.finish()
}

// tell runs the sequence again and returns what was sent.
func (w *twin) tell(start world, ops []operation) string {
	var trace strings.Builder
	w.careful = true
	defer func() { w.careful = false }()
	fmt.Fprintf(&trace, "%+v\n", start)
	_ = w.host.Do(func() error {
		_, err := w.sequence(start, ops, &trace)
		fmt.Fprintf(&trace, "again: %v\n", err)
		return nil
	})
	return trace.String()
}

var worlds = rapid.Custom(func(t *rapid.T) world {
	filterings := []model.Filtering{model.AddressDependent, model.EndpointIndependent, model.AddressAndPortDependent}
	w := world{
		Rules: rules{
			TCP: rapid.SampledFrom(filterings).Draw(t, "TCP"), UDP: rapid.SampledFrom(filterings).Draw(t, "UDP"),
			Refresh: rapid.Bool().Draw(t, "refresh"), Arbitrary: rapid.Bool().Draw(t, "arbitrary"), EndpointDependent: rapid.Bool().Draw(t, "endpoint-dependent"),
			HoldDown:   rapid.SampledFrom([]model.Seconds{0, 25, 120}).Draw(t, "hold-down"),
			Exhaustion: rapid.SampledFrom([]model.Exhaustion{model.Prohibited, model.Unreachable, model.Silent}).Draw(t, "exhaustion"),
		},
		OneToOne: rapid.Bool().Draw(t, "one-to-one"), Open: rapid.Bool().Draw(t, "open"), Apart: rapid.IntRange(0, 3).Draw(t, "apart") == 3,
		Kept: rapid.Bool().Draw(t, "endpoints isolated"), Unrouted: rapid.Bool().Draw(t, "unrouted"), HostOverlap: rapid.Bool().Draw(t, "host overlap"), Socket: rapid.Bool().Draw(t, "socket"),
		Leases: rapid.IntRange(0, len(twinLeases)-1).Draw(t, "leases"), Allowances: rapid.IntRange(0, len(twinAllowances)-1).Draw(t, "allowances"),
		Mappings: make(map[uint32]bool), Sessions: twinSessions, Bindings: twinBindings,
	}
	for id := range uint32(drawnMappings) {
		w.Mappings[id+1] = rapid.Bool().Draw(t, "mapping")
	}
	if rapid.IntRange(0, 4).Draw(t, "cramped") == 4 {
		w.Sessions = rapid.IntRange(1, 6).Draw(t, "sessions")
		w.Bindings = rapid.IntRange(7, 10).Draw(t, "bindings")
	}
	if rapid.IntRange(0, 3).Draw(t, "limited") == 3 {
		w.Rules.Limits = model.Limits{
			Sessions: rapid.Uint32Range(0, 5).Draw(t, "max-sessions"), Ports: rapid.Uint32Range(0, 4).Draw(t, "max-ports"),
			Rate: rapid.Uint32Range(0, 4).Draw(t, "max-rate"),
		}
	}
	return w
})
