package nattest

import (
	"maps"
	"math/rand/v2"
	"path/filepath"
	"reflect"
	"slices"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/hostnat/hostnat/internal/datapath"
	"github.com/hostnat/hostnat/internal/datapath/dptest"
	"github.com/hostnat/hostnat/internal/datapath/dptest/wire"
	"github.com/hostnat/hostnat/internal/datapath/upgrade"
	"github.com/hostnat/hostnat/internal/model"
)

// changedTables are those that a change of networks, endpoints, leases and mappings
// writes to, by their names in the programs.
var changedTables = []string{
	"allowed", "behind", "binding_index", "bindings", "configuration", "endpoints", "host_addresses", "inside_prefixes", "inside_ranges",
	"insides", "leases", "managed_macs", "mappings", "networks", "outsides", "pools", "published", "ranges", "reserved_ports", "sources", "subnets",
}

// A change that the kernel refuses to write, whichever table it is, is an error.
// Nothing is taken for known then: no part can be changed until all was applied, and
// that puts back what was there before, or goes on to what was wanted.
func TestChangeThatCannotBeWritten(t *testing.T) {
	t.Parallel()
	r := dptest.NewRig(t, 2)
	random := rand.New(rand.NewPCG(7, 11))
	left := slices.Clone(changedTables)
	for range 200 {
		if len(left) == 0 {
			break
		}
		was := r.Config
		is := randomMappings(random, randomInside(random, was))
		before := allTables(t, r)
		name := left[0]
		left = left[1:]
		restore := refuseWrites(t, r, name)
		_, err := r.Datapath.Change(partOf(was, is))
		restore()
		if err == nil {
			left = append(left, name) // it had nothing to write there
		} else {
			if _, err := r.Datapath.Change(datapath.Part{}); err == nil {
				t.Fatalf("%s: a part was changed though it is not known of what", name)
			}
			r.ApplyAll(t)
			if diff := cmp.Diff(before, allTables(t, r)); diff != "" {
				t.Fatalf("%s: not put back (-before +after):\n%s", name, diff)
			}
			r.Change(t, partOf(was, is))
		}
		r.Config = is
		changed := allTables(t, r)
		r.ApplyAll(t)
		if diff := cmp.Diff(allTables(t, r), changed); diff != "" {
			t.Fatalf("%s (-all applied +changed):\n%s", name, diff)
		}
	}
	if len(left) > 0 {
		t.Errorf("no change has written to %s", left)
	}
}

// refuseWrites has the data path use a descriptor of a table that cannot be written
// through.
func refuseWrites(t *testing.T, r *dptest.Rig, name string) (restore func()) {
	t.Helper()
	if name == "binding_index" {
		return refuseIndex(t, r)
	}
	read, err := ebpf.LoadPinnedMap(filepath.Join(upgrade.MapDir(r.Dir), name), &ebpf.LoadPinOptions{ReadOnly: true})
	wire.Must(t, err)
	field := tableField(t, r, name)
	had := *field
	*field = read
	return func() {
		*field = had
		wire.Must(t, read.Close())
	}
}

// refuseIndex has the program that changes the index say that the table cannot be written.
func refuseIndex(t *testing.T, r *dptest.Rig) (restore func()) {
	t.Helper()
	no, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Type: ebpf.SchedCLS, License: "GPL",
		Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, int32(unix.EPERM)), asm.Return()},
	})
	wire.Must(t, err)
	objects := r.Datapath.Objects()
	had := objects.ChangeIndex
	objects.ChangeIndex = no
	return func() {
		objects.ChangeIndex = had
		wire.Must(t, no.Close())
	}
}

// tableField is where the data path has a table.
func tableField(t *testing.T, r *dptest.Rig, name string) **ebpf.Map {
	t.Helper()
	v := reflect.ValueOf(r.Datapath.Objects()).Elem()
	for _, f := range reflect.VisibleFields(v.Type()) {
		if f.Tag.Get("ebpf") == name && f.Type == reflect.TypeFor[*ebpf.Map]() {
			return v.FieldByIndex(f.Index).Addr().Interface().(**ebpf.Map)
		}
	}
	t.Fatalf("no table %s", name)
	return nil
}

// randomMappings puts mappings into the place of some, or takes them away.
func randomMappings(random *rand.Rand, is datapath.Config) datapath.Config {
	is.Mappings = maps.Clone(is.Mappings)
	for range 1 + random.IntN(3) {
		id := uint32(1 + random.IntN(12))
		if m, ok := randomMapping(random); ok && !overlapsAnother(id, m, is.Mappings) {
			is.Mappings[id] = m
		} else {
			delete(is.Mappings, id)
		}
	}
	return is
}

func allTables(t *testing.T, r *dptest.Rig) map[string]string {
	t.Helper()
	all := insideTables(t, r)
	maps.Copy(all, mappingTables(t, r))
	return all
}

// What somebody else has done to the tables is put right by the next Apply, and not
// before: a part is compared with what was applied.
func TestRowsThatSomebodyElseChanged(t *testing.T) {
	t.Parallel()
	r := dptest.NewRig(t, 2)
	random := rand.New(rand.NewPCG(13, 17))
	for range 8 {
		r.Config = randomMappings(random, randomInside(random, r.Config))
	}
	run := dptest.Mapping(model.TCP, "0.0.0.0:5000", wire.Inside(0, 80))
	run.External.Ports.High, run.Targets[0].Internal.Ports.High = 5009, 89
	r.Config.Mappings[50] = run
	r.Config.Mappings[51] = dptest.Mapping(model.UDP, "0.0.0.0:5020", wire.Inside(1, 80))
	r.ApplyAll(t)
	want := allTables(t, r)
	for _, name := range slices.DeleteFunc(slices.Clone(changedTables), func(name string) bool { return name == "configuration" || name == "published" }) {
		table := *tableField(t, r, name)
		broken := breakRows(t, table)
		if broken == 0 {
			continue
		}
		r.Change(t, datapath.Part{Leases: &r.Config.Leases})
		if cmp.Equal(want, allTables(t, r)) {
			t.Errorf("%s: a part has put right %d rows that it is not about", name, broken)
		}
		r.ApplyAll(t)
		if diff := cmp.Diff(want, allTables(t, r)); diff != "" {
			t.Errorf("%s (-as applied +put right):\n%s", name, diff)
		}
	}
}

// breakRows takes one row away, gives another the value of a third, and returns how
// many it broke.
func breakRows(t *testing.T, m *ebpf.Map) (broken int) {
	t.Helper()
	var keys, values [][]byte
	var key, value []byte
	rows := m.Iterate()
	for rows.Next(&key, &value) {
		keys, values = append(keys, slices.Clone(key)), append(values, slices.Clone(value))
	}
	wire.Must(t, rows.Err())
	if len(keys) > 0 {
		wire.Must(t, m.Delete(keys[0]))
		broken++
	}
	if len(keys) > 2 && !slices.Equal(values[1], values[2]) {
		wire.Must(t, m.Put(keys[1], values[2]))
		broken++
	}
	return broken
}
