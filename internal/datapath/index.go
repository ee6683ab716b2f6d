package datapath

import (
	"errors"
	"fmt"
	"maps"
	"slices"

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

// formerWays are ways out that are to go, if they are still there.
type formerWays map[kernel.BindingIndexKey][]kernel.WayOut

func (f formerWays) add(index kernel.BindingIndexKey, way kernel.WayOut) {
	f[index] = append(f[index], way)
}

// writeIndex makes the way out of each mapped internal port its external one. had are
// the bindings that there were.
func (d *Datapath) writeIndex(mappings *mappingTable, c mappingChange, had map[kernel.BindingKey]kernel.Binding) error {
	was, is, err := d.waysOf(mappings, c, had)
	if err != nil {
		return err
	}
	maps.DeleteFunc(was, func(index kernel.BindingIndexKey, _ []kernel.WayOut) bool { return len(mappings.ways[index]) > 0 })
	for index, has := range is {
		if way, mapped := mappings.way(index); mapped && way != has {
			if err := d.putWay(index, way); err != nil {
				return err
			}
		}
	}
	return d.forgetWays(was)
}

// waysOf are the ways out that mappings have had, each of several to one internal port,
// and those that are looked at, as far as it is known what they are.
func (d *Datapath) waysOf(mappings *mappingTable, c mappingChange, had map[kernel.BindingKey]kernel.Binding) (was formerWays, is map[kernel.BindingIndexKey]kernel.WayOut, err error) {
	was, is = make(formerWays), make(map[kernel.BindingIndexKey]kernel.WayOut)
	if !c.all {
		for _, m := range c.was {
			for _, index := range m.ways() {
				was.add(index, wayOut(bindingKey(m)))
				is[index] = kernel.WayOut{}
			}
		}
		for _, m := range c.is {
			for _, index := range m.ways() {
				is[index] = kernel.WayOut{}
			}
		}
		return was, is, nil
	}
	for key, value := range had {
		if value.Flags&kernel.BindingConfigured != 0 {
			for _, index := range indexKeys(kernel.IndexOf(key, value)) {
				was.add(index, wayOut(key))
			}
		}
	}
	if len(mappings.ways) == 0 && !c.doubt {
		return was, nil, nil
	}
	there, err := readRows[kernel.BindingIndexKey, kernel.WayOut]("ways out of mappings", d.objects.BindingIndex)
	for index := range mappings.ways {
		is[index] = there[index]
	}
	for index, way := range there {
		if c.doubt && !d.leadsBack(index, way) {
			was.add(index, way)
		}
	}
	return was, is, err
}

// leadsBack reports whether a way out is that of a binding of the internal port. The
// binding is there before the way, and goes after it.
func (d *Datapath) leadsBack(index kernel.BindingIndexKey, way kernel.WayOut) bool {
	key := kernel.BindingKey{Address: way.Address, Port: way.Port, Protocol: index.Protocol}
	var b kernel.Binding
	return d.objects.Bindings.Lookup(&key, &b) == nil && b.Compartment == index.Compartment &&
		b.InternalAddress == index.InternalAddress && b.InternalPort == index.InternalPort
}

func (d *Datapath) putWay(index kernel.BindingIndexKey, way kernel.WayOut) error {
	if err := kernel.PutWay(&d.objects, index, way); err != nil {
		return fmt.Errorf("adding the way out of a mapping: %w", err)
	}
	return nil
}

// forgetWays takes mappings' ways out away, and gives the internal ports those
// back that they have had beside them: new flows must go on with them (RFC 4787
// REQ-1).
func (d *Datapath) forgetWays(ways formerWays) error {
	for index, former := range ways {
		var now kernel.WayOut
		if err := d.objects.BindingIndex.Lookup(&index, &now); err != nil || !slices.Contains(former, now) {
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
			if err := kernel.PutWay(&d.objects, index, live); err != nil {
				return fmt.Errorf("giving an internal port its own way out again: %w", err)
			}
			continue
		}
		if err := kernel.RemoveWay(&d.objects, index); err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
			return fmt.Errorf("removing the way out of a mapping: %w", err)
		}
	}
	return nil
}

// dynamicWays are the dynamic bindings of internal ports: those on an external
// address of the index, where alone there are any.
func (d *Datapath) dynamicWays(of formerWays) (map[kernel.BindingIndexKey]kernel.WayOut, error) {
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
			if index := kernel.IndexOf(*key, *value); len(of[index]) > 0 {
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
