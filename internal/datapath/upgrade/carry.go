package upgrade

import (
	"fmt"
	"unsafe"

	"github.com/cilium/ebpf"

	"github.com/hostnat/hostnat/internal/datapath/kernel"
)

// typed reads a hash map of an earlier layout as what it is now.
func typed[K comparable, V any](m *ebpf.Map, c carrier) (map[K]V, error) {
	list := make(map[K]V)
	var key K
	var value V
	if c.key.size != int(unsafe.Sizeof(key)) || c.value.size != int(unsafe.Sizeof(value)) {
		return nil, fmt.Errorf("these programs have other tables than this version of hostnat")
	}
	err := kernel.Rows(m, func(k, v []byte) error {
		c.key.apply(k, bytesOf(&key))
		c.value.apply(v, bytesOf(&value))
		list[key] = value
		return nil
	})
	return list, err
}

// bytesOf is the memory of a value, as the kernel reads it.
func bytesOf[T any](v *T) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(v)), unsafe.Sizeof(*v))
}

// carryMap copies what a map of configuration or hints holds. What it does not
// take (it is smaller now, say) comes with the first Apply.
func carryMap(from, to *ebpf.Map, c carrier) error {
	key, value := make([]byte, c.key.size), make([]byte, c.value.size)
	oldKey, oldValue := make([]byte, from.KeySize()), make([]byte, from.ValueSize())
	entries := from.Iterate()
	for entries.Next(&oldKey, &oldValue) {
		c.key.apply(oldKey, key)
		c.value.apply(oldValue, value)
		if err := kernel.Put(to, key, value); err != nil {
			return fmt.Errorf("carrying an element over: %w", err)
		}
	}
	return entries.Err()
}

// carryCounters copies a counter for each CPU.
func carryCounters(from, to *ebpf.Map) error {
	for i := range min(from.MaxEntries(), to.MaxEntries()) {
		var perCPU []uint64
		if err := from.Lookup(i, &perCPU); err != nil {
			return fmt.Errorf("reading a counter: %w", err)
		}
		if err := kernel.Put(to, i, perCPU); err != nil {
			return fmt.Errorf("carrying a counter over: %w", err)
		}
	}
	return nil
}
