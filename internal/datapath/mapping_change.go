package datapath

import (
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"

	"github.com/cilium/ebpf"

	"github.com/hostnat/hostnat/internal/datapath/kernel"
)

// mappingChange is what becomes of some mappings, or of all.
type mappingChange struct {
	all     bool               // what there is of mappings is found in the tables
	doubt   bool               // a change may have been cut off before
	ids     []uint32           // those that there are now, in order
	was, is map[uint32]Mapping // was: nothing where all is set
}

func allMappings(t *mappingTable) mappingChange {
	return mappingChange{all: true, ids: slices.Sorted(maps.Keys(t.all)), is: t.all}
}

// newMappingChange changes the table.
func newMappingChange(a *applied, put map[uint32]Mapping, gone []uint32) mappingChange {
	c := mappingChange{ids: slices.Sorted(maps.Keys(put)), was: make(map[uint32]Mapping), is: maps.Clone(put)}
	for _, id := range slices.Concat(gone, c.ids) {
		if m, ok := a.mappings.all[id]; ok {
			c.was[id] = m
			a.mappings.remove(id)
		}
	}
	for id, m := range put {
		a.mappings.put(id, m)
		a.on[kernel.AddressOf(m.External.Address)] = true
	}
	return c
}

// each yields the mappings as they were and as they are.
func (c mappingChange) each() iter.Seq[Mapping] {
	return func(yield func(Mapping) bool) {
		for _, list := range []map[uint32]Mapping{c.was, c.is} {
			for _, m := range list {
				if !yield(m) {
					return
				}
			}
		}
	}
}

// anyIs reports whether one of the mappings, as they were or as they are, is so.
func (c mappingChange) anyIs(is func(Mapping) bool) bool {
	for m := range c.each() {
		if is(m) {
			return true
		}
	}
	return false
}

// touches reports whether a port is one that the mappings have or had, on
// whatever address.
func (c mappingChange) touches(key kernel.BindingKey) bool {
	port := kernel.ToPort(key.Port)
	return c.anyIs(func(m Mapping) bool { return uint8(m.Protocol) == key.Protocol && m.External.Ports.Contains(port) })
}

// writeMappings makes the configured bindings, and what stands for ranges and
// for several targets, equal to the mappings. A dynamic binding that has a
// wanted port gives way: its sessions end (design, rule 7).
func (d *Datapath) writeMappings(a *applied, c mappingChange) error {
	if !c.all && len(c.was)+len(c.is) == 0 {
		return nil
	}
	if err := errors.Join(d.writeReserved(a), d.publish(a.mappings)); err != nil {
		return err
	}
	read := func() (map[kernel.BindingKey]kernel.Binding, error) { return d.bindingsOf(a, c) }
	have, err := read()
	if err != nil {
		return err
	}
	elements, err := d.putMappings(a.mappings, c)
	if err != nil {
		return err
	}
	if err := d.writeRanges(a, c); err != nil {
		return err
	}
	changes := planMappings(a.mappings, c.ids, have, elements.changed)
	stray := a.wasFreed(c)
	dependent, err := d.hasDependent() // the ports are reserved: none can come now
	if err != nil {
		return err
	}
	if len(have) == 0 && !c.all && !dependent {
		err = d.addBindings(a.mappings, changes) // nobody has these ports
		if stray {
			err = errors.Join(err, d.endStaleSessions(changes.fresh, a.mappings))
		}
	} else {
		err = errors.Join(
			d.replaceBindings(a.mappings, changes, replacement{have: have, read: read, look: c.all || stray || dependent}),
			d.endLostTargets(a.mappings, elements.changed),
		)
	}
	a.note(c, have)
	return errors.Join(err, d.writeIndex(a.mappings, c, have), d.deleteMappings(elements.gone))
}

// note is for the next change.
func (a *applied) note(c mappingChange, have map[kernel.BindingKey]kernel.Binding) {
	a.freed = slices.AppendSeq(a.freed, maps.Values(c.was))
	for key := range have {
		a.on[key.Address] = true
	}
}

// wasFreed reports whether a mapping that went since the last Apply has had one of
// the ports, before or after the change. A packet that was on its way then may have opened a session that
// nobody has looked for yet.
func (a *applied) wasFreed(c mappingChange) bool {
	return slices.ContainsFunc(a.freed, func(old Mapping) bool {
		return c.anyIs(func(m Mapping) bool {
			return old.Protocol == m.Protocol && old.External.Ports.Overlaps(m.External.Ports)
		})
	})
}

func (d *Datapath) writeReserved(a *applied) error {
	want := reservedValues(a.config.Pools, a.mappings)
	r := rows[kernel.PortBitsKey, kernel.PortBits]{what: "reserved ports", in: d.objects.ReservedPorts}
	if err := r.replace(a.reserved, want); err != nil {
		return err
	}
	a.reserved = want
	return nil
}

// fewKeys is up to how many ports are looked up rather than all bindings read.
const fewKeys = 64

// bindingsOf reads the bindings on ports of the mappings, dynamic ones too.
func (d *Datapath) bindingsOf(a *applied, c mappingChange) (map[kernel.BindingKey]kernel.Binding, error) {
	if c.all {
		return readRows[kernel.BindingKey, kernel.Binding]("bindings", d.objects.Bindings)
	}
	ports := 0
	for m := range c.each() {
		ports += m.External.Count()
	}
	have := make(map[kernel.BindingKey]kernel.Binding)
	if ports*len(a.on) > fewKeys {
		err := kernel.Each(d.objects.Bindings, func(key *kernel.BindingKey, value *kernel.Binding) error {
			if c.touches(*key) {
				have[*key] = *value
			}
			return nil
		})
		if err != nil {
			return nil, fmt.Errorf("reading the bindings: %w", err)
		}
		return have, nil
	}
	for m := range c.each() {
		for port := int(m.External.Ports.Low); port <= int(m.External.Ports.High); port++ {
			for address := range a.on {
				key := kernel.BindingKey{Address: address, Port: kernel.PortOf(uint16(port)), Protocol: uint8(m.Protocol)}
				var value kernel.Binding
				err := d.objects.Bindings.Lookup(&key, &value)
				if err == nil {
					have[key] = value
				} else if !errors.Is(err, ebpf.ErrKeyNotExist) {
					return nil, fmt.Errorf("reading the bindings of port %d: %w", port, err)
				}
			}
		}
	}
	return have, nil
}
