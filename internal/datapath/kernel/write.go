package kernel

import (
	"errors"
	"slices"
	"time"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"github.com/hostnat/hostnat/internal/model"
)

// What the kernel says of a table that can just not be written now, as is_busy() of
// bpf/maps.h has it: none of these tells of its room.
var busy = []error{unix.EBUSY, unix.ENOMEM, unix.EAGAIN, unix.EDEADLK, unix.ETIMEDOUT}

const (
	writeTries = 20
	writePause = 5 * time.Millisecond
)

// again calls write until its table is not busy, a bounded number of times.
func again(write func() error, pause time.Duration) error {
	for range writeTries {
		err := write()
		if !slices.ContainsFunc(busy, func(e error) bool { return errors.Is(err, e) }) {
			return err
		}
		time.Sleep(pause)
	}
	return model.Errorf(model.Unavailable, "a table of the data path could not be written: the kernel was busy with it, or had no memory at hand").
		WithHint("try again; nothing says that the table is full")
}

// Put writes an element of a table.
func Put(m *ebpf.Map, key, value any) error { return Update(m, key, value, ebpf.UpdateAny) }

// Update is Put with flags.
func Update(m *ebpf.Map, key, value any, flags ebpf.MapUpdateFlags) error {
	return again(func() error { return m.Update(key, value, flags) }, writePause)
}

// Delete removes an element. One that is not there is ebpf.ErrKeyNotExist.
func Delete(m *ebpf.Map, key any) error {
	return again(func() error { return m.Delete(key) }, writePause)
}

// Take reads an element under its lock and removes it.
func Take(m *ebpf.Map, key, value any) error {
	return again(func() error { return m.LookupAndDeleteWithFlags(key, value, ebpf.LookupLock) }, writePause)
}

// PutAll writes many elements with one system call, if none is in the way.
func PutAll[K, V any](m *ebpf.Map, keys []K, values []V) error {
	return again(func() error {
		n, err := m.BatchUpdate(keys, values, nil)
		if err != nil {
			keys, values = keys[n:], values[n:]
		}
		return err
	}, writePause)
}
