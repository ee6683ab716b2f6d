package rerun

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"unsafe"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"github.com/hostnat/hostnat/internal/datapath/kernel"
	"github.com/hostnat/hostnat/internal/datapath/upgrade"
	"github.com/hostnat/hostnat/internal/model"
	"github.com/hostnat/hostnat/internal/recording"
)

// leftOut are tables that no verdict depends on, or that mean nothing elsewhere: what was
// counted and recorded, a packet's context, and the clock that ends sessions, in whose
// place Rerun looks which are due.
var leftOut = []string{
	"flows", "route_works", "drop_records", "end_records", "timers", "slots", "wheels", "index_counts",
	"tokens", "last_token", "passages", "claims",
}

// isRecorded reports whether a table is one of packets' matters. Rings and queues are not,
// nor what each CPU has for itself.
func isRecorded(name string, kind ebpf.MapType) bool {
	if slices.Contains(leftOut, name) {
		return false
	}
	switch kind {
	case ebpf.Hash, ebpf.LRUHash, ebpf.Array, ebpf.LPMTrie:
		return true
	}
	return false
}

// Read calls visit for parts of all tables that are recorded. Packets go on meanwhile.
func Read(o *kernel.Objects, visit func(recording.Rows) error) error {
	spec, err := kernel.LoadSpec()
	if err != nil {
		return fmt.Errorf("reading the embedded data path: %w", err)
	}
	tables := o.Tables()
	for _, name := range slices.Sorted(maps.Keys(tables)) {
		m := tables[name]
		if spec.Maps[name] == nil || !isRecorded(name, spec.Maps[name].Type) {
			continue
		}
		layout, err := upgrade.LayoutSum(spec.Maps[name])
		if err == nil {
			err = readTable(name, layout, m, visit)
		}
		if err != nil {
			return fmt.Errorf("reading the table %s: %w", name, err)
		}
	}
	return nil
}

func readTable(name, layout string, m *ebpf.Map, visit func(recording.Rows) error) error {
	part := recording.Rows{Table: name, Layout: layout, Room: m.MaxEntries()}
	err := kernel.Rows(m, func(key, value []byte) error {
		if m.Type() == ebpf.Array && !slices.ContainsFunc(value, func(b byte) bool { return b != 0 }) {
			return nil // as every element of a new one
		}
		row := [2][]byte{slices.Clone(key), slices.Clone(value)}
		if name == "insides" {
			clearStamp(row[1])
		}
		part.Rows = append(part.Rows, row)
		if len(part.Rows) < rowsAtOnce(m) {
			return nil
		}
		err := visit(part)
		part.Rows = nil
		return err
	})
	if err != nil || len(part.Rows) == 0 {
		return err
	}
	return visit(part)
}

// clearStamp takes away what frames carry that have been checked (bpf/stamp.h): a test run
// cannot give it to them, and nobody else is to know it. Without it all count as checked.
func clearStamp(inside []byte) {
	const at, size = unsafe.Offsetof(kernel.Inside{}.Stamp), unsafe.Sizeof(kernel.Inside{}.Stamp)
	clear(inside[at : at+size])
}

// rowsAtOnce keeps a line of the file short: a row of port bits has 8 KiB.
func rowsAtOnce(m *ebpf.Map) int {
	const most = 1 << 20 // bytes
	return max(1, min(recording.RowsOfLine, most/int(m.KeySize()+m.ValueSize())))
}

// fill puts the recorded rows in. A table of another layout is refused: what a row means
// is not known then.
func fill(spec *ebpf.CollectionSpec, o *kernel.Objects, all []recording.Rows, hostnat string) error {
	tables := o.Tables()
	for _, part := range all {
		s, m := spec.Maps[part.Table], tables[part.Table]
		if s == nil || m == nil || !isRecorded(part.Table, s.Type) {
			return otherTables(part.Table, hostnat)
		}
		layout, err := upgrade.LayoutSum(s)
		if err != nil {
			return err
		}
		if layout != part.Layout {
			return otherTables(part.Table, hostnat)
		}
		for _, row := range part.Rows {
			if len(row[0]) != int(m.KeySize()) || len(row[1]) != int(m.ValueSize()) {
				return otherTables(part.Table, hostnat)
			}
			if part.Table == "insides" {
				clearStamp(row[1])
			}
			if err := put(o, part.Table, m, row); errors.Is(err, unix.E2BIG) {
				return model.Errorf(model.Invalid, "the recording is damaged: the table %s has more rows than room", part.Table).
					WithHint("copy the file again, or record again")
			} else if err != nil {
				return fmt.Errorf("putting a recorded row into the table %s: %w", part.Table, err)
			}
		}
	}
	return nil
}

// put puts a row into a table; of the index by the program that counts its elements.
func put(o *kernel.Objects, name string, m *ebpf.Map, row [2][]byte) error {
	if name != "binding_index" {
		return m.Put(row[0], row[1])
	}
	return kernel.PutWay(o, valueOf[kernel.BindingIndexKey](row[0]), valueOf[kernel.WayOut](row[1]))
}

// valueOf is what the bytes of a row say.
func valueOf[T any](row []byte) (v T) {
	copy(unsafe.Slice((*byte)(unsafe.Pointer(&v)), unsafe.Sizeof(v)), row)
	return v
}

// remove takes a row away as put has put it in.
func remove(o *kernel.Objects, name string, m *ebpf.Map, key []byte) error {
	if name != "binding_index" {
		return m.Delete(key)
	}
	return kernel.RemoveWay(o, valueOf[kernel.BindingIndexKey](key))
}

func empty(o *kernel.Objects, name string, m *ebpf.Map) error {
	var keys [][]byte
	err := kernel.Rows(m, func(key, _ []byte) error {
		keys = append(keys, slices.Clone(key))
		return nil
	})
	for _, key := range keys {
		if err == nil {
			err = remove(o, name, m, key)
		}
	}
	return err
}
