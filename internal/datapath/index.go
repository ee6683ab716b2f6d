package datapath

import (
	"errors"
	"fmt"

	"github.com/cilium/ebpf"
)

// ways are the mapping's keys in the index, which says each internal port that a
// mapping of one port leads to alone its way out: the external one. A mapping on
// one address is entered twice: under that, and under wherever for a flow that
// would leave by another.
func (m Mapping) ways() []bpfBindingIndexKey {
	if m.indirect() {
		return nil
	}
	internal := m.Targets[0].Internal.First()
	return indexKeys(bpfBindingIndexKey{
		Compartment:     m.Compartment,
		InternalAddress: addressOf(internal.Addr()),
		ExternalAddress: addressOf(m.External.Address),
		InternalPort:    portOf(internal.Port()),
		Protocol:        uint8(m.Protocol),
	})
}

// way is the external end of the oldest mapping that leads to an internal port.
func (t *mappingTable) way(index bpfBindingIndexKey) (bpfWayOut, bool) {
	ids := t.ways[index]
	if len(ids) == 0 {
		return bpfWayOut{}, false
	}
	return wayOut(bindingKey(t.all[ids[0]])), true
}

func wayOut(key bpfBindingKey) bpfWayOut { return bpfWayOut{Address: key.Address, Port: key.Port} }

// wherever stands for the address of a mapping in the index, as in bpf/types.h.
const wherever = ^uint32(0)

func indexKeys(here bpfBindingIndexKey) []bpfBindingIndexKey {
	if here.ExternalAddress == 0 {
		return []bpfBindingIndexKey{here}
	}
	anywhere := here
	anywhere.ExternalAddress = wherever
	return []bpfBindingIndexKey{here, anywhere}
}

// applyIndex makes the way out of each mapped internal port its external one.
func (d *Datapath) applyIndex(mappings *mappingTable, had map[bpfBindingKey]bpfBinding) error {
	forget := make(map[bpfBindingIndexKey]bpfWayOut)
	for key, value := range had {
		if value.Flags&bindingConfigured == 0 {
			continue
		}
		for _, index := range indexKeys(indexOf(key, value)) {
			if len(mappings.ways[index]) == 0 {
				forget[index] = wayOut(key)
			}
		}
	}
	if err := d.forgetWays(forget); err != nil || len(mappings.ways) == 0 {
		return err
	}
	now := make(map[bpfBindingIndexKey]bpfWayOut)
	err := each(d.objects.BindingIndex, func(index *bpfBindingIndexKey, way *bpfWayOut) error {
		now[*index] = *way
		return nil
	})
	if err != nil {
		return fmt.Errorf("reading the ways out of mappings: %w", err)
	}
	for index := range mappings.ways {
		way, _ := mappings.way(index)
		if has, ok := now[index]; ok && has == way {
			continue
		}
		if err := d.putWay(index, way); err != nil {
			return err
		}
	}
	return nil
}

// changeIndex is applyIndex for the entries of mappings that have changed.
func (d *Datapath) changeIndex(mappings *mappingTable, before, after []Mapping) error {
	forget := make(map[bpfBindingIndexKey]bpfWayOut)
	for _, m := range before {
		for _, index := range m.ways() {
			way, mapped := mappings.way(index)
			if !mapped {
				forget[index] = wayOut(bindingKey(m))
			} else if err := d.putWay(index, way); err != nil {
				return err
			}
		}
	}
	for _, m := range after {
		for _, index := range m.ways() {
			way, _ := mappings.way(index)
			if err := d.putWay(index, way); err != nil {
				return err
			}
		}
	}
	return d.forgetWays(forget)
}

func (d *Datapath) putWay(index bpfBindingIndexKey, way bpfWayOut) error {
	if err := d.objects.BindingIndex.Put(&index, &way); err != nil {
		return fmt.Errorf("adding the way out of a mapping: %w", err)
	}
	return nil
}

// forgetWays takes mappings' ways out away, and gives the internal ports those
// back that they have had beside them: new flows must go on with them (RFC 4787
// REQ-1).
func (d *Datapath) forgetWays(ways map[bpfBindingIndexKey]bpfWayOut) error {
	for index, way := range ways {
		var now bpfWayOut
		if err := d.objects.BindingIndex.Lookup(&index, &now); err != nil || now != way {
			delete(ways, index) // gone already, or another's
		}
	}
	if len(ways) == 0 {
		return nil
	}
	dynamic, err := d.dynamicWays(ways)
	if err != nil {
		return err
	}
	for index := range ways {
		live, beside := dynamic[index]
		if beside {
			if err := d.objects.BindingIndex.Put(&index, &live); err != nil {
				return fmt.Errorf("giving an internal port its own way out again: %w", err)
			}
			continue
		}
		if err := d.objects.BindingIndex.Delete(&index); err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
			return fmt.Errorf("removing the way out of a mapping: %w", err)
		}
	}
	return nil
}

// dynamicWays are the dynamic bindings of internal ports: those on an external
// address of the index, where alone there are any.
func (d *Datapath) dynamicWays(of map[bpfBindingIndexKey]bpfWayOut) (map[bpfBindingIndexKey]bpfWayOut, error) {
	on := make(map[uint32]bool)
	for index := range of {
		on[index.ExternalAddress] = index.ExternalAddress != 0 && index.ExternalAddress != wherever
	}
	if !hasTrue(on) {
		return nil, nil
	}
	dynamic := make(map[bpfBindingIndexKey]bpfWayOut)
	err := each(d.objects.Bindings, func(key *bpfBindingKey, value *bpfBinding) error {
		if on[key.Address] && value.Flags&bindingConfigured == 0 {
			if index := indexOf(*key, *value); of[index] != (bpfWayOut{}) {
				dynamic[index] = wayOut(*key)
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("reading the bindings: %w", err)
	}
	return dynamic, nil
}
