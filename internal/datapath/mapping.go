package datapath

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/cilium/ebpf"
)

// Flags of a binding, as in bpf/types.h.
const (
	bindingConfigured = 1
	bindingAllowList  = 4
)

// Flag of a session: its binding is for any address. As in bpf/types.h.
const sessionAnyAddress = 1

// applyMappings makes the configured bindings equal to want. A dynamic binding
// that has a wanted port gives way: its sessions end (design, rule 7).
func (d *Datapath) applyMappings(want map[uint32]Mapping) error {
	have, err := d.readBindings()
	if err != nil {
		return err
	}
	keep := make(map[bpfBindingKey]bool)
	ended := make(map[bpfBindingKey]bool) // bindings whose sessions must end
	indexed := make(map[bpfBindingIndexKey]uint16)
	var add []uint32
	for _, id := range slices.Sorted(maps.Keys(want)) {
		key, value, index := mappingKeys(id, want[id])
		keep[key] = true
		if _, taken := indexed[index]; !taken { // the oldest mapping is the way out
			indexed[index] = key.Port
		}
		if old, ok := have[key]; ok && sameTarget(old, value) {
			continue
		}
		ended[key] = true
		add = append(add, id)
	}
	for key, value := range have {
		if value.Flags&bindingConfigured != 0 && !keep[key] {
			ended[key] = true
		}
	}
	if err := d.replaceBindings(want, add, ended, have); err != nil {
		return err
	}
	return d.applyIndex(indexed, have)
}

func sameTarget(a, b bpfBinding) bool {
	a.Sessions, b.Sessions = 0, 0
	return a == b
}

// replaceBindings takes away what ended stands for, ends its sessions, and puts
// in the mappings add.
func (d *Datapath) replaceBindings(want map[uint32]Mapping, add []uint32, ended map[bpfBindingKey]bool, have map[bpfBindingKey]bpfBinding) error {
	if len(ended) == 0 {
		return nil
	}
	for key := range ended {
		if old, ok := have[key]; ok && old.Flags&bindingConfigured != 0 {
			if err := d.objects.Bindings.Delete(&key); err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
				return fmt.Errorf("removing the mapping of port %d: %w", toPort(key.Port), err)
			}
		}
	}
	if err := d.endSessionsOf(ended); err != nil {
		return err
	}
	for _, id := range add {
		key, value, _ := mappingKeys(id, want[id])
		if err := d.insertMapping(key, value); err != nil {
			return err
		}
	}
	// A packet between the deletion and the new entry may have opened a session to the old target.
	return d.endStaleSessions(add, want)
}

// insertMapping reserves the mapping's port as the data path would: a dynamic
// binding may have taken it since its predecessor ended, and ends too.
func (d *Datapath) insertMapping(key bpfBindingKey, value bpfBinding) error {
	const tries = 10
	var err error
	for range tries {
		err = d.objects.Bindings.Update(&key, &value, ebpf.UpdateNoExist)
		if !errors.Is(err, ebpf.ErrKeyExist) {
			break
		}
		if endErr := d.endSessionsOf(map[bpfBindingKey]bool{key: true}); endErr != nil {
			return endErr
		}
	}
	if err != nil {
		return fmt.Errorf("adding the mapping of port %d: %w", toPort(key.Port), err)
	}
	return nil
}

// applyIndex makes the way out of each mapped internal port its external one.
func (d *Datapath) applyIndex(want map[bpfBindingIndexKey]uint16, had map[bpfBindingKey]bpfBinding) error {
	for key, value := range had {
		if value.Flags&bindingConfigured == 0 {
			continue
		}
		index := indexOf(key, value)
		if _, ok := want[index]; ok {
			continue
		}
		var port uint16
		if err := d.objects.BindingIndex.Lookup(&index, &port); err != nil || port != key.Port {
			continue
		}
		if live, ok := d.dynamicPort(index, had); ok {
			if err := d.objects.BindingIndex.Put(&index, &live); err != nil {
				return fmt.Errorf("giving an internal port its own way out again: %w", err)
			}
			continue
		}
		if err := d.objects.BindingIndex.Delete(&index); err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
			return fmt.Errorf("removing the way out of a mapping: %w", err)
		}
	}
	for index, port := range want {
		if err := d.objects.BindingIndex.Put(&index, &port); err != nil {
			return fmt.Errorf("adding the way out of a mapping: %w", err)
		}
	}
	return nil
}

// dynamicPort finds the dynamic binding that an internal port has had beside its
// mapping and still has: new flows must go on with it (RFC 4787 REQ-1).
func (d *Datapath) dynamicPort(index bpfBindingIndexKey, had map[bpfBindingKey]bpfBinding) (uint16, bool) {
	for key, value := range had {
		if value.Flags&bindingConfigured != 0 || indexOf(key, value) != index {
			continue
		}
		var now bpfBinding
		if err := d.objects.Bindings.Lookup(&key, &now); err == nil {
			return key.Port, true
		}
	}
	return 0, false
}

func (d *Datapath) readBindings() (map[bpfBindingKey]bpfBinding, error) {
	all := make(map[bpfBindingKey]bpfBinding)
	err := each(d.objects.Bindings, func(k *bpfBindingKey, v *bpfBinding) error {
		all[*k] = *v
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("reading the bindings: %w", err)
	}
	return all, nil
}
