package kernel

import (
	"errors"
	"fmt"
	"reflect"

	"github.com/cilium/ebpf"
)

// BatchSize is how many elements are read with one system call.
const BatchSize = 1024

// Each calls visit for every element of a hash map. Elements that come or go
// meanwhile may be seen or not.
func Each[K, V any](m *ebpf.Map, visit func(*K, *V) error) error {
	n := batchOf(m.MaxEntries(), m.KeySize(), m.ValueSize())
	keys, values := make([]K, n), make([]V, n)
	var cursor ebpf.MapBatchCursor
	for {
		n, err := m.BatchLookup(&cursor, keys, values, nil)
		if err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
			return err
		}
		for i := range n {
			if visitErr := visit(&keys[i], &values[i]); visitErr != nil {
				return visitErr
			}
		}
		if err != nil {
			return nil // ErrKeyNotExist: that was the end
		}
	}
}

// Rows calls visit for every element of a hash map, as bytes that are valid
// during the call.
func Rows(m *ebpf.Map, visit func(key, value []byte) error) error {
	n := batchOf(m.MaxEntries(), m.KeySize(), m.ValueSize())
	keys, values := rowBuffer(n, m.KeySize()), rowBuffer(n, m.ValueSize())
	var cursor ebpf.MapBatchCursor
	for {
		n, err := m.BatchLookup(&cursor, keys.Interface(), values.Interface(), nil)
		if err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
			return err
		}
		for i := range n {
			if visitErr := visit(keys.Index(i).Bytes(), values.Index(i).Bytes()); visitErr != nil {
				return visitErr
			}
		}
		if err != nil {
			return nil // ErrKeyNotExist: that was the end
		}
	}
}

// batchOf is how many elements of a map are read with one system call, by the map's limit
// and the sizes of its elements: to make a buffer that is far larger than what there is
// costs more than the reading.
func batchOf(limit, key, value uint32) int {
	const most = 1 << 18 // bytes
	return max(1, min(BatchSize, int(limit), most/int(max(key, value, 1))))
}

// rowBuffer is a slice of arrays of bytes, which BatchLookup can count.
func rowBuffer(n int, size uint32) reflect.Value {
	row := reflect.ArrayOf(int(size), reflect.TypeFor[byte]())
	return reflect.MakeSlice(reflect.SliceOf(row), n, n)
}

// EachSession calls do for the key of every session that the predicate picks, once
// all are read: do may end it.
func EachSession(o *Objects, picks func(*SessionKey, *Session) bool, do func(*Objects, *SessionKey) error) error {
	var keys []SessionKey
	err := Each(o.Sessions, func(k *SessionKey, v *Session) error {
		if picks(k, v) {
			keys = append(keys, *k)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("reading the sessions: %w", err)
	}
	for i := range keys {
		if err := do(o, &keys[i]); err != nil {
			return err
		}
	}
	return nil
}
