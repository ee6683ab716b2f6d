package datapath

import (
	"errors"
	"fmt"
	"maps"

	"github.com/cilium/ebpf"

	"github.com/hostnat/hostnat/internal/datapath/kernel"
)

// mappingElements are the differences of the map of ranges and spread mappings.
type mappingElements struct {
	changed map[uint32]bool // new ones too
	gone    []uint32
}

// putMappings writes the elements of mappings that need one. Those that went
// are still there afterwards: their ranges must go first.
func (d *Datapath) putMappings(mappings *mappingTable, c mappingChange) (mappingElements, error) {
	e := mappingElements{changed: make(map[uint32]bool)}
	have, err := d.elementsOf(c)
	if err != nil {
		return e, err
	}
	for _, id := range c.ids {
		m := mappings.all[id]
		if !m.indirect() {
			continue
		}
		value := mappingValue(m)
		if old, ok := have[id]; ok && old == value {
			continue
		}
		e.changed[id] = true
		if err := kernel.Put(d.objects.Mappings, &id, &value); err != nil {
			return e, fmt.Errorf("adding mapping %d: %w", id, err)
		}
	}
	for id := range have {
		if m, ok := mappings.all[id]; !ok || !m.indirect() {
			e.gone = append(e.gone, id)
		}
	}
	return e, nil
}

// elementsOf are those that there are of the mappings.
func (d *Datapath) elementsOf(c mappingChange) (map[uint32]kernel.Mapping, error) {
	if c.all {
		return readRows[uint32, kernel.Mapping]("mappings of ranges", d.objects.Mappings)
	}
	have := make(map[uint32]kernel.Mapping)
	for id, m := range c.was {
		if m.indirect() {
			have[id] = mappingValue(m)
		}
	}
	return have, nil
}

func (d *Datapath) deleteMappings(ids []uint32) error {
	for _, id := range ids {
		if err := kernel.Delete(d.objects.Mappings, &id); err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
			return fmt.Errorf("removing mapping %d: %w", id, err)
		}
	}
	return nil
}

// mappingChanges is what has to happen to the bindings.
type mappingChanges struct {
	add   []uint32                   // mappings of one port whose binding is to be put in
	fresh map[uint32]bool            // mappings that are new or lead elsewhere, ranges too
	ended map[kernel.BindingKey]bool // bindings whose sessions must end
}

// planMappings compares bindings that there are with the wanted mappings: with
// those of the given ids, and with all what they are of.
func planMappings(mappings *mappingTable, ids []uint32, have map[kernel.BindingKey]kernel.Binding, changed map[uint32]bool) mappingChanges {
	c := mappingChanges{fresh: make(map[uint32]bool), ended: make(map[kernel.BindingKey]bool)}
	for _, id := range ids {
		m := mappings.all[id]
		if m.External.IsRange() {
			c.fresh[id] = changed[id]
			continue
		}
		key, value := bindingKey(m), bindingValue(id, m)
		if old, ok := have[key]; ok && sameTarget(old, value) {
			continue
		}
		c.ended[key], c.fresh[id] = true, true
		c.add = append(c.add, id)
	}
	for key, value := range have {
		m, mapped := mappings.all[value.Mapping]
		switch {
		case value.Flags&kernel.BindingOfRange != 0:
			c.ended[key] = c.ended[key] || !mapped || !isPortOf(key, value, m)
		case value.Flags&kernel.BindingConfigured != 0:
			c.ended[key] = c.ended[key] || !mapped || m.External.IsRange() || bindingKey(m) != key
		default:
			c.ended[key] = c.ended[key] || mappings.isInTheWay(key, c.fresh)
		}
	}
	maps.DeleteFunc(c.ended, func(_ kernel.BindingKey, ends bool) bool { return !ends })
	return c
}

func sameTarget(a, b kernel.Binding) bool {
	a.Sessions, b.Sessions = 0, 0
	a.Hosts, b.Hosts = 0, 0
	a.Contacts, b.Contacts, a.Contact, b.Contact = 0, 0, 0, 0
	return a == b
}

// replacement is what replaceBindings needs to know of the bindings.
type replacement struct {
	have map[kernel.BindingKey]kernel.Binding
	read func() (map[kernel.BindingKey]kernel.Binding, error) // reads them again
	look bool                                                 // there may be sessions that no binding counts
}

// replaceBindings takes away what has ended, ends its sessions, and puts in
// what is new.
func (d *Datapath) replaceBindings(mappings *mappingTable, c mappingChanges, r replacement) error {
	inUse, err := d.takeAway(c.ended, r.have)
	if err != nil {
		return err
	}
	if len(c.ended) > 0 && (inUse || r.look) {
		if err := d.endSessionsOf(c.ended); err != nil {
			return err
		}
	}
	if len(c.add) == 0 && !hasTrue(c.fresh) {
		return nil
	}
	if err := d.addBindings(mappings, c); err != nil {
		return err
	}
	again, err := r.read()
	if err != nil {
		return err
	}
	if err := d.dropHeld(mappings, c.fresh, again); err != nil {
		return err
	}
	// A packet between the deletion and the new entry may have opened a session to the old target.
	return d.endStaleSessions(c.fresh, mappings)
}

// takeAway removes the bindings of mappings that have ended, and reports whether
// there are sessions to look for. To look takes as long as the table of sessions
// is large, and most mappings that go have none.
func (d *Datapath) takeAway(ended map[kernel.BindingKey]bool, have map[kernel.BindingKey]kernel.Binding) (inUse bool, err error) {
	for key := range ended {
		old, there := have[key]
		if !there || old.Flags&(kernel.BindingConfigured|kernel.BindingOfRange) != kernel.BindingConfigured {
			inUse = true // the port is a dynamic binding's, or not known
			continue
		}
		var last kernel.Binding // with the sessions that were opened until now
		err := kernel.Take(d.objects.Bindings, &key, &last)
		if err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
			return false, fmt.Errorf("removing the mapping of port %d: %w", kernel.ToPort(key.Port), err)
		}
		inUse = inUse || err != nil || last.Sessions > 0
	}
	return inUse, nil
}

func (d *Datapath) addBindings(mappings *mappingTable, c mappingChanges) error {
	for _, id := range c.add {
		m := mappings.all[id]
		if err := d.insertMapping(bindingKey(m), bindingValue(id, m)); err != nil {
			return err
		}
	}
	return nil
}

func hasTrue(m map[uint32]bool) bool {
	for _, v := range m {
		if v {
			return true
		}
	}
	return false
}

// insertMapping reserves the mapping's port as the data path would: a dynamic
// binding may have taken it since its predecessor ended, and ends too.
func (d *Datapath) insertMapping(key kernel.BindingKey, value kernel.Binding) error {
	const tries = 10
	var err error
	for range tries {
		err = kernel.Update(d.objects.Bindings, &key, &value, ebpf.UpdateNoExist)
		if !errors.Is(err, ebpf.ErrKeyExist) {
			break
		}
		if endErr := errors.Join(d.endSessionsOf(map[kernel.BindingKey]bool{key: true}), d.dropHeldAt(key)); endErr != nil {
			return endErr
		}
	}
	if err != nil {
		return fmt.Errorf("adding the mapping of port %d: %w", kernel.ToPort(key.Port), err)
	}
	return nil
}

// dropHeld takes away the dynamic bindings that rest on ports of mappings: a
// mapping need not wait for them.
func (d *Datapath) dropHeld(mappings *mappingTable, fresh map[uint32]bool, have map[kernel.BindingKey]kernel.Binding) error {
	for key, value := range have {
		if value.Flags&kernel.BindingHoldDown == 0 || !mappings.isInTheWay(key, fresh) {
			continue
		}
		if err := d.dropHeldAt(key); err != nil {
			return err
		}
	}
	return nil
}

func (d *Datapath) dropHeldAt(key kernel.BindingKey) error {
	var value kernel.Binding
	if err := d.objects.Bindings.Lookup(&key, &value); err != nil || value.Flags&kernel.BindingHoldDown == 0 {
		return nil //nolint:nilerr // gone meanwhile
	}
	for _, err := range []error{kernel.Delete(d.objects.Bindings, &key), kernel.RemoveWay(&d.objects, kernel.IndexOf(key, value))} {
		if err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
			return fmt.Errorf("freeing port %d: %w", kernel.ToPort(key.Port), err)
		}
	}
	return nil
}
