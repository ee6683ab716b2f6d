package test

import (
	"fmt"
	"hash/fnv"
	"maps"
	"os"
	"path/filepath"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/testscript"
)

// noTrace is the command that carries out another one and wants each table of the
// data path to hold then what it held before. Namespaces say something by themselves
// now and then, so it looks again if something has changed.
func noTrace(all map[string]command) command {
	return func(m *machine, ts *testscript.TestScript, args []string) error {
		var before, after map[string]uint64
		for range 5 {
			var err error
			if before, err = m.tableSums(); err != nil {
				return err
			}
			if err := all[args[0]](m, ts, args[1:]); err != nil {
				return err
			}
			if after, err = m.tableSums(); err != nil {
				return err
			}
			if maps.Equal(before, after) {
				return nil
			}
		}
		return fmt.Errorf("%s changes tables (-before +after):\n%s", strings.Join(args, " "), cmp.Diff(before, after))
	}
}

// tableSums are a number for what each pinned table holds, whatever the order. The
// clock's own, which turns by itself, is left out, and what cannot be read.
func (m *machine) tableSums() (map[string]uint64, error) {
	paths, err := filepath.Glob(filepath.Join(m.runDir(), "bpf", "maps", "*"))
	if err != nil || len(paths) == 0 {
		return nil, fmt.Errorf("no tables are pinned in %s: %v", m.runDir(), err)
	}
	sums := make(map[string]uint64)
	for _, path := range paths {
		name := filepath.Base(path)
		if name == "wheels" || name == "slots" {
			continue
		}
		sum, readable, err := tableSum(path)
		if err != nil {
			return nil, err
		}
		if readable {
			sums[name] = sum
		}
	}
	return sums, nil
}

func tableSum(path string) (sum uint64, readable bool, err error) {
	t, err := ebpf.LoadPinnedMap(path, &ebpf.LoadPinOptions{ReadOnly: true})
	if os.IsNotExist(err) {
		return 0, false, nil
	}
	if err != nil {
		return 0, false, fmt.Errorf("open %s: %w", path, err)
	}
	defer t.Close()
	add := func(key, value []byte) {
		h := fnv.New64a()
		h.Write(key)
		h.Write(value)
		sum += h.Sum64()
	}
	switch t.Type() {
	case ebpf.Hash, ebpf.LRUHash, ebpf.LPMTrie:
		key, value := make([]byte, t.KeySize()), make([]byte, t.ValueSize())
		all := t.Iterate()
		for all.Next(&key, &value) {
			add(key, value)
		}
		return sum, true, all.Err()
	case ebpf.Array, ebpf.PerCPUArray:
		for i := range t.MaxEntries() {
			value, err := t.LookupBytes(i)
			if err != nil {
				return 0, false, fmt.Errorf("read %s: %w", path, err)
			}
			add([]byte{byte(i), byte(i >> 8)}, value)
		}
		return sum, true, nil
	}
	return 0, false, nil // queues and rings, which cannot be read without taking
}
