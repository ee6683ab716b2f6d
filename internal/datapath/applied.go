package datapath

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/cilium/ebpf"

	"github.com/hostnat/hostnat/internal/datapath/kernel"
	"github.com/hostnat/hostnat/internal/model"
)

// errUnknown is ChangeMappings' answer where it does not know what it is to change.
var errUnknown = errors.New("what the data path has been told is not known")

// applied is what was told to the data path last, as far as a change of mappings
// or leases needs to know it. Sessions and bindings are the kernel's alone.
type applied struct {
	pools     []Pool
	local     model.PortRange // the host's ephemeral ports
	mappings  *mappingTable
	reserved  map[kernel.PortBitsKey]kernel.PortBits
	ranges    rangeValues
	announced uint32          // of the settings' flags, those that mappings are the reason for
	on        map[uint32]bool // addresses on which there may be bindings; 0: mappings on any
	leases    map[kernel.EndpointKey]kernel.Lease
	freed     []Mapping // that are gone: the sessions of their ports may not have ended
}

func newApplied(c Config, mappings *mappingTable, reserved map[kernel.PortBitsKey]kernel.PortBits, ranges rangeValues,
	have map[kernel.BindingKey]kernel.Binding,
) *applied {
	a := &applied{pools: c.Pools, local: c.LocalPorts, mappings: mappings, reserved: reserved, ranges: ranges, announced: mappings.settings(), on: map[uint32]bool{0: true}}
	for _, p := range c.Pools {
		for _, address := range p.Addresses {
			a.on[kernel.AddressOf(address.Address)] = true
		}
	}
	for key := range have {
		a.on[key.Address] = true
	}
	for owned := range mappings.owners {
		a.on[owned.Address] = true
	}
	return a
}

// ChangeMappings puts in mappings, new ones and others in the place of those
// with their ids, and takes some away. Everything else stays as Apply has told
// it, and is not looked at. It costs the same however many mappings there are.
//
// Apply has to come first, and again after an error.
func (d *Datapath) ChangeMappings(put map[uint32]Mapping, gone []uint32) error {
	a := d.applied
	if a == nil {
		return errUnknown
	}
	if err := checkFamily(put); err != nil {
		return err
	}
	d.applied = nil // until it has worked
	c := newMappingChange(a, put, gone)
	if err := d.changeMappings(a, c); err != nil {
		return err
	}
	a.freed = append(a.freed, c.before...)
	d.applied = a
	return nil
}

// mappingChange is what becomes of some mappings.
type mappingChange struct {
	ids           []uint32 // those that there are now
	before, after []Mapping
	was, is       map[uint32]Mapping // the same, by id
}

// newMappingChange changes the table.
func newMappingChange(a *applied, put map[uint32]Mapping, gone []uint32) mappingChange {
	c := mappingChange{was: make(map[uint32]Mapping), is: make(map[uint32]Mapping)}
	maps.Copy(c.is, put)
	keep := func(id uint32) {
		if m, ok := a.mappings.all[id]; ok {
			c.before = append(c.before, m)
			c.was[id] = m
		}
	}
	for _, id := range gone {
		keep(id)
		a.mappings.remove(id)
	}
	for id, m := range put {
		keep(id)
		a.mappings.put(id, m)
		c.ids = append(c.ids, id)
		c.after = append(c.after, m)
		a.on[kernel.AddressOf(m.External.Address)] = true
	}
	slices.Sort(c.ids)
	return c
}

// anyIs reports whether one of the mappings, as they were or as they are, is so.
func (c mappingChange) anyIs(is func(Mapping) bool) bool {
	return slices.ContainsFunc(c.before, is) || slices.ContainsFunc(c.after, is)
}

// touches reports whether a port is one that the mappings have or had, on
// whatever address.
func (c mappingChange) touches(key kernel.BindingKey) bool {
	port := kernel.ToPort(key.Port)
	return c.anyIs(func(m Mapping) bool { return uint8(m.Protocol) == key.Protocol && m.External.Ports.Contains(port) })
}

func (d *Datapath) changeMappings(a *applied, c mappingChange) error {
	if err := errors.Join(d.announceRanges(a), d.changeAllowed(c), d.changeReserved(a), d.publish(a.mappings)); err != nil {
		return err
	}
	read := func() (map[kernel.BindingKey]kernel.Binding, error) { return d.bindingsOf(a, c) }
	have, err := read()
	if err != nil {
		return err
	}
	elements, err := d.changeElements(a, c)
	if err != nil {
		return err
	}
	if c.anyIs(func(m Mapping) bool { return m.External.IsRange() }) {
		ranges := rangesOf(a.mappings)
		if err := d.changeRanges(a.ranges, ranges); err != nil {
			return err
		}
		a.ranges = ranges
	}
	changes := planMappings(a.mappings, c.ids, have, elements.changed)
	stray := a.wasFreed(c)
	dependent, err := d.hasDependent() // the ports are reserved: none can come now
	if err != nil {
		return err
	}
	if len(have) == 0 && !dependent {
		err = d.addBindings(a.mappings, changes) // nobody has these ports
		if stray {
			err = errors.Join(err, d.endStaleSessions(changes.fresh, a.mappings))
		}
	} else {
		err = errors.Join(
			d.replaceBindings(a.mappings, changes, replacement{have: have, read: read, look: stray || dependent}),
			d.endLostTargets(a.mappings, elements.changed),
		)
	}
	return errors.Join(err, d.changeIndex(a.mappings, c.before, c.after), d.deleteMappings(elements.gone), d.retractRanges(a))
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

// announceRanges has the data path look for ranges from now on.
func (d *Datapath) announceRanges(a *applied) error {
	flags := a.mappings.settings()
	if flags&^a.announced == 0 {
		return nil
	}
	a.announced |= flags
	return d.changeSettings(func(s *kernel.Settings) { s.Flags |= flags })
}

// retractRanges has it look no longer, once they are gone: each packet to a
// mapping on any address paid for that.
func (d *Datapath) retractRanges(a *applied) error {
	past := a.announced &^ a.mappings.settings()
	if past == 0 {
		return nil
	}
	a.announced &^= past
	return d.changeSettings(func(s *kernel.Settings) { s.Flags &^= past })
}

func (d *Datapath) changeAllowed(c mappingChange) error {
	return changeMap("allowed remotes", d.objects.Allowed, allowedValues(c.was), allowedValues(c.is), nil)
}

func (d *Datapath) changeReserved(a *applied) error {
	want := reservedValues(a.pools, a.mappings)
	if err := changeMap("reserved ports", d.objects.ReservedPorts, a.reserved, want, nil); err != nil {
		return err
	}
	a.reserved = want
	return nil
}

// changeElements is putMappings for some.
func (d *Datapath) changeElements(a *applied, c mappingChange) (mappingElements, error) {
	e := mappingElements{changed: make(map[uint32]bool)}
	for _, id := range c.ids {
		m := a.mappings.all[id]
		if !m.indirect() {
			continue
		}
		e.changed[id] = true
		if err := d.putMapping(id, mappingValue(m)); err != nil {
			return e, err
		}
	}
	for id, old := range c.was {
		if m, ok := a.mappings.all[id]; old.indirect() && (!ok || !m.indirect()) {
			e.gone = append(e.gone, id)
		}
	}
	return e, nil
}

// fewKeys is up to how many ports are looked up rather than all bindings read.
const fewKeys = 64

// bindingsOf reads the bindings on ports of the mappings, dynamic ones too.
func (d *Datapath) bindingsOf(a *applied, c mappingChange) (map[kernel.BindingKey]kernel.Binding, error) {
	ports := 0
	for _, m := range slices.Concat(c.before, c.after) {
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
	for _, m := range slices.Concat(c.before, c.after) {
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
