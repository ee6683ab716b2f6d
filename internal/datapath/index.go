package datapath

import (
	"errors"
	"fmt"

	"github.com/cilium/ebpf"

	"github.com/hostnat/hostnat/internal/datapath/kernel"
)

// ways are the mapping's keys in the index, which says each internal port that a
// mapping of one port leads to alone its way out: the external one. A mapping on
// one address is entered twice: under that, and under wherever for a flow that
// would leave by another.
func (m Mapping) ways() []kernel.BindingIndexKey {
	if m.indirect() {
		return nil
	}
	internal := m.Targets[0].Internal.First()
	return indexKeys(kernel.BindingIndexKey{
		Compartment:     m.Compartment,
		InternalAddress: kernel.AddressOf(internal.Addr()),
		ExternalAddress: kernel.AddressOf(m.External.Address),
		InternalPort:    kernel.PortOf(internal.Port()),
		Protocol:        uint8(m.Protocol),
	})
}

// way is the external end of the oldest mapping that leads to an internal port.
func (t *mappingTable) way(index kernel.BindingIndexKey) (kernel.WayOut, bool) {
	ids := t.ways[index]
	if len(ids) == 0 {
		return kernel.WayOut{}, false
	}
	return wayOut(bindingKey(t.all[ids[0]])), true
}

func wayOut(key kernel.BindingKey) kernel.WayOut {
	return kernel.WayOut{Address: key.Address, Port: key.Port}
}

// wherever stands for the address of a mapping in the index, as in bpf/types.h.
const wherever = ^uint32(0)

func indexKeys(here kernel.BindingIndexKey) []kernel.BindingIndexKey {
	if here.ExternalAddress == 0 {
		return []kernel.BindingIndexKey{here}
	}
	anywhere := here
	anywhere.ExternalAddress = wherever
	return []kernel.BindingIndexKey{here, anywhere}
}

// applyIndex makes the way out of each mapped internal port its external one.
func (d *Datapath) applyIndex(mappings *mappingTable, had map[kernel.BindingKey]kernel.Binding) error {
	forget := make(map[kernel.BindingIndexKey]kernel.WayOut)
	for key, value := range had {
		if value.Flags&kernel.BindingConfigured == 0 {
			continue
		}
		for _, index := range indexKeys(kernel.IndexOf(key, value)) {
			if len(mappings.ways[index]) == 0 {
				forget[index] = wayOut(key)
			}
		}
	}
	if err := d.forgetWays(forget); err != nil || len(mappings.ways) == 0 {
		return err
	}
	now := make(map[kernel.BindingIndexKey]kernel.WayOut)
	err := kernel.Each(d.objects.BindingIndex, func(index *kernel.BindingIndexKey, way *kernel.WayOut) error {
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
	forget := make(map[kernel.BindingIndexKey]kernel.WayOut)
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

func (d *Datapath) putWay(index kernel.BindingIndexKey, way kernel.WayOut) error {
	if err := kernel.Put(d.objects.BindingIndex, &index, &way); err != nil {
		return fmt.Errorf("adding the way out of a mapping: %w", err)
	}
	return nil
}

// forgetWays takes mappings' ways out away, and gives the internal ports those
// back that they have had beside them: new flows must go on with them (RFC 4787
// REQ-1).
func (d *Datapath) forgetWays(ways map[kernel.BindingIndexKey]kernel.WayOut) error {
	for index, way := range ways {
		var now kernel.WayOut
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
			if err := kernel.Put(d.objects.BindingIndex, &index, &live); err != nil {
				return fmt.Errorf("giving an internal port its own way out again: %w", err)
			}
			continue
		}
		if err := kernel.Delete(d.objects.BindingIndex, &index); err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
			return fmt.Errorf("removing the way out of a mapping: %w", err)
		}
	}
	return nil
}

// dynamicWays are the dynamic bindings of internal ports: those on an external
// address of the index, where alone there are any.
func (d *Datapath) dynamicWays(of map[kernel.BindingIndexKey]kernel.WayOut) (map[kernel.BindingIndexKey]kernel.WayOut, error) {
	on := make(map[uint32]bool)
	for index := range of {
		on[index.ExternalAddress] = index.ExternalAddress != 0 && index.ExternalAddress != wherever
	}
	if !hasTrue(on) {
		return nil, nil
	}
	dynamic := make(map[kernel.BindingIndexKey]kernel.WayOut)
	err := kernel.Each(d.objects.Bindings, func(key *kernel.BindingKey, value *kernel.Binding) error {
		if on[key.Address] && value.Flags&kernel.BindingConfigured == 0 {
			if index := kernel.IndexOf(*key, *value); of[index] != (kernel.WayOut{}) {
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
