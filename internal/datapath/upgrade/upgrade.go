// Package upgrade takes the tables of one version over into those of another.
//
// A new version of hostnat may have other tables. Those that are as they were
// go on in use; the others are made anew and get what the old ones hold, before
// any packet meets them. Where they are pinned:
//
//	maps       what the programs on the links use
//	maps-new   being made; means nothing yet
//	maps-old   what the programs before used, until all is carried over
//
// The change of names is the point of no return. Whoever is killed before it
// has changed nothing; the next Open after it goes on where this one was.
package upgrade

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/cilium/ebpf"

	"github.com/hostnat/hostnat/internal/datapath/kernel"
	"github.com/hostnat/hostnat/internal/model"
)

// MapDir is what the programs on the links use.
func MapDir(dir string) string { return filepath.Join(dir, "maps") }

// NewDir is being made; it means nothing yet.
func NewDir(dir string) string { return filepath.Join(dir, "maps-new") }

// OldDir is what the programs before used, until all is carried over.
func OldDir(dir string) string { return filepath.Join(dir, "maps-old") }

// Tables that are made anew together: what lives must fit together, and a
// session says when its timer expires.
var (
	LivingTables = []string{
		"sessions", "bindings", "binding_index", "index_counts", "filter_entries", "dependent_ports", "dependent_count", "usages", "spare_queues", "spare_ports",
		"port_bits",
	}
	ClockTables = []string{"timers", "slots", "wheels"}
	// What nobody misses: memory for a moment, and what lies in a ring.
	emptyTables = []string{"events", "drop_events", "flows"}
)

// Plan says what becomes of the tables.
type Plan struct {
	dir    string
	had    map[string]*ebpf.Map // as pinned
	Kept   map[string]*ebpf.Map // those of them that go on in use
	Made   []string             // the others
	Tables map[string]table     // as they shall be
	lost   []string             // what cannot be carried over, and why
}

// NewPlan compares what is pinned with what the programs need. It changes
// nothing.
func NewPlan(dir string, spec *ebpf.CollectionSpec) (*Plan, error) {
	had, err := PinnedMaps(MapDir(dir))
	if err != nil {
		return nil, err
	}
	u := &Plan{dir: dir, had: had, Kept: make(map[string]*ebpf.Map), Tables: make(map[string]table)}
	for name, m := range spec.Maps {
		if strings.HasPrefix(name, ".") {
			continue // the programs' own
		}
		same, err := u.compare(name, m)
		if err != nil {
			u.Close()
			return nil, fmt.Errorf("comparing the table %s with the one in use: %w", name, err)
		}
		if same {
			u.Kept[name] = had[name]
		}
	}
	u.remakeTogether()
	for name := range u.Tables {
		if u.Kept[name] == nil {
			u.Made = append(u.Made, name)
		}
	}
	slices.Sort(u.Made)
	u.checkLiving()
	return u, nil
}

func (u *Plan) compare(name string, m *ebpf.MapSpec) (same bool, err error) {
	if u.Tables[name], err = tableOfSpec(m); err != nil {
		return false, err
	}
	has := u.had[name]
	if has == nil || m.Compatible(has) != nil || hasFormerName(MapDir(u.dir), name) {
		return false, nil
	}
	was, err := tableOf(has)
	if err != nil {
		return false, err
	}
	if was.value.size == 0 { // a queue or a ring: the kernel keeps no layout of theirs
		return true, nil
	}
	return was.key.equal(u.Tables[name].key) && was.value.equal(u.Tables[name].value), nil
}

func (u *Plan) remakeTogether() {
	together := slices.Concat(LivingTables, ClockTables)
	if slices.ContainsFunc(together, func(name string) bool { return u.Kept[name] == nil }) {
		for _, name := range together {
			delete(u.Kept, name)
		}
	}
}

func (u *Plan) makes(name string) bool { return slices.Contains(u.Made, name) }

// checkLiving notes whether sessions and bindings can be carried over at all.
func (u *Plan) checkLiving() {
	for _, name := range []string{"sessions", "bindings"} {
		if u.had[name] == nil || u.Kept[name] != nil {
			continue
		}
		if _, err := u.carrier(name); err != nil {
			u.lost = append(u.lost, fmt.Sprintf("%d %s (%v)", count(u.had[name]), name, err))
		}
	}
}

func (u *Plan) carrier(name string) (carrier, error) {
	was, err := tableOf(u.had[name])
	if err != nil {
		return carrier{}, err
	}
	return newCarrier(was, u.Tables[name])
}

func count(m *ebpf.Map) (n int) {
	_ = kernel.Rows(m, func(_, _ []byte) error { n++; return nil }) // to be told to somebody
	return n
}

// Refusal says what would be lost, nil if nothing.
func (u *Plan) Refusal() error {
	if len(u.lost) == 0 {
		return nil
	}
	return model.Errorf(model.Conflict, "this version of hostnat keeps its tables in another way, and would lose %s; nothing was changed",
		strings.Join(u.lost, ", ")).
		WithHint("start it with `hostnat daemon --discard-sessions`: open connections end, the configuration stays; or go back to the version before")
}

// Close lets go of the tables as pinned.
func (u *Plan) Close() {
	for _, m := range u.had {
		m.Close()
	}
}

// PinnedMaps opens all that is pinned in a directory, by the names of today.
func PinnedMaps(dir string) (map[string]*ebpf.Map, error) {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("listing the data path's tables: %w", err)
	}
	list := make(map[string]*ebpf.Map)
	for _, e := range entries {
		m, err := ebpf.LoadPinnedMap(filepath.Join(dir, e.Name()), nil)
		if err != nil {
			for _, m := range list {
				m.Close()
			}
			return nil, fmt.Errorf("opening the data path's table %s: %w", e.Name(), err)
		}
		list[e.Name()] = m
	}
	byTodaysNames(list)
	return list, nil
}

// Carry fills the tables that were made anew with what their predecessors hold.
func (u *Plan) Carry(o *kernel.Objects, maps map[string]*ebpf.Map) (Known, error) {
	for _, name := range u.Made {
		if u.had[name] == nil || slices.Contains(LivingTables, name) || slices.Contains(ClockTables, name) ||
			slices.Contains(emptyTables, name) {
			continue
		}
		if err := u.carryTable(name, maps[name]); err != nil {
			return nil, fmt.Errorf("carrying the table %s over: %w", name, err)
		}
	}
	if len(u.lost) > 0 || !u.makes("sessions") || u.had["sessions"] == nil {
		return nil, nil
	}
	l, err := u.readLiving()
	if err != nil {
		return nil, fmt.Errorf("reading the sessions of the version before: %w", err)
	}
	seen := make(Known, len(l.sessions))
	l.settle()
	for key, s := range l.sessions {
		seen[key] = s.State
	}
	return seen, l.write(o)
}

// carryTable leaves a table empty that cannot be carried: Apply fills it.
func (u *Plan) carryTable(name string, to *ebpf.Map) error {
	from := u.had[name]
	if to.Type() == ebpf.PerCPUArray {
		return carryCounters(from, to)
	}
	c, err := u.carrier(name)
	if err != nil || from.Type() != to.Type() {
		return nil //nolint:nilerr // configuration and hints
	}
	return carryMap(from, to, c)
}

// Stage pins what the programs use, beside what is in use now.
func (u *Plan) Stage(maps map[string]*ebpf.Map) error {
	if err := os.Mkdir(NewDir(u.dir), 0o700); err != nil {
		return fmt.Errorf("making room for the new tables: %w", err)
	}
	for name := range u.Tables {
		if err := maps[name].Pin(filepath.Join(NewDir(u.dir), name)); err != nil {
			return fmt.Errorf("pinning the table %s: %w", name, err)
		}
	}
	return nil
}

// Commit makes the new tables the ones that count.
func (u *Plan) Commit() error {
	if err := os.Rename(MapDir(u.dir), OldDir(u.dir)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("putting the old tables aside: %w", err)
	}
	if err := os.Rename(NewDir(u.dir), MapDir(u.dir)); err != nil {
		return errors.Join(fmt.Errorf("putting the new tables in place: %w", err), Recover(u.dir))
	}
	return nil
}

// Recover makes good what a start that was cut off has left: before the
// change of names, all is as it was.
func Recover(dir string) error {
	if err := os.RemoveAll(NewDir(dir)); err != nil {
		return fmt.Errorf("removing tables half made: %w", err)
	}
	if _, err := os.Stat(MapDir(dir)); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if err := os.Rename(OldDir(dir), MapDir(dir)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("putting the tables back: %w", err)
	}
	return nil
}

// RollBack undoes commit.
func RollBack(dir string) error {
	if _, err := os.Stat(OldDir(dir)); err != nil {
		return nil //nolint:nilerr // there was nothing before
	}
	return errors.Join(os.RemoveAll(MapDir(dir)), os.Rename(OldDir(dir), MapDir(dir)))
}

// Count counts the elements of a table pinned in dir, whatever version's; 0 if there
// is none.
func Count(dir, table string) (uint64, error) {
	m, err := ebpf.LoadPinnedMap(filepath.Join(MapDir(dir), table), nil)
	if errors.Is(err, os.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("opening the data path's table %s: %w", table, err)
	}
	defer m.Close()
	return uint64(count(m)), nil
}
