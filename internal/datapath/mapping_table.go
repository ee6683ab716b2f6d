package datapath

import (
	"slices"

	"github.com/hostnat/hostnat/internal/datapath/kernel"
)

// mappingTable is all mappings, and how they are found. No two of them have one
// port of one protocol on the same address (config.Config refuses that); one on an
// address may be beside one on any.
type mappingTable struct {
	all     map[uint32]Mapping                  // by id
	owners  map[kernel.PortBitsKey]*portOwners  // of the external ports on an address; address 0: on any
	ways    map[kernel.BindingIndexKey][]uint32 // of mappings of one port that lead to an internal one alone: the oldest is its way out
	ranges  int                                 // how many are ranges
	shadows int                                 // how many of these are on one address
}

// portOwners are the mappings that have the ports of an address.
type portOwners struct {
	id    [1 << 16]uint32 // 0: none
	taken kernel.PortBits
	count int // of ports that are taken
}

func (o *portOwners) set(port int, id uint32) {
	bit := uint64(1) << (port % 64)
	switch {
	case o.id[port] == 0 && id != 0:
		o.taken.Word[port/64] |= bit
		o.count++
	case o.id[port] != 0 && id == 0:
		o.taken.Word[port/64] &^= bit
		o.count--
	}
	o.id[port] = id
}

func newMappingTable(all map[uint32]Mapping) *mappingTable {
	t := &mappingTable{
		all:    make(map[uint32]Mapping, len(all)),
		owners: make(map[kernel.PortBitsKey]*portOwners),
		ways:   make(map[kernel.BindingIndexKey][]uint32, len(all)),
	}
	for id, m := range all {
		t.put(id, m)
	}
	return t
}

// put adds a mapping, or puts another in its place.
func (t *mappingTable) put(id uint32, m Mapping) {
	t.remove(id)
	t.all[id] = m
	owners := t.owners[m.owned()]
	if owners == nil {
		owners = new(portOwners)
		t.owners[m.owned()] = owners
	}
	for port := int(m.External.Ports.Low); port <= int(m.External.Ports.High); port++ {
		owners.set(port, id)
	}
	if m.External.IsRange() {
		t.ranges++
	}
	if m.shadows() {
		t.shadows++
	}
	for _, way := range m.ways() {
		ids := t.ways[way]
		at, _ := slices.BinarySearch(ids, id)
		t.ways[way] = slices.Insert(ids, at, id)
	}
}

func (t *mappingTable) remove(id uint32) {
	m, ok := t.all[id]
	if !ok {
		return
	}
	delete(t.all, id)
	owners := t.owners[m.owned()]
	for port := int(m.External.Ports.Low); port <= int(m.External.Ports.High); port++ {
		if owners.id[port] == id {
			owners.set(port, 0)
		}
	}
	if m.External.IsRange() {
		t.ranges--
	}
	if m.shadows() {
		t.shadows--
	}
	for _, way := range m.ways() {
		ids := t.ways[way]
		if ids = slices.DeleteFunc(ids, func(has uint32) bool { return has == id }); len(ids) > 0 {
			t.ways[way] = ids
		} else {
			delete(t.ways, way)
		}
	}
}

// shadows reports whether the mapping goes before others on any address, which
// cannot be told from their bindings.
func (m Mapping) shadows() bool {
	return m.External.IsRange() && !m.External.Address.IsUnspecified()
}

// settings are the flags that tell the data path to look for what mappings need.
func (t *mappingTable) settings() uint32 {
	flags := flagIf(len(t.all) > 0, kernel.SettingMappings)
	if t.ranges > 0 {
		flags |= kernel.SettingRanges
	}
	if t.shadows > 0 {
		flags |= kernel.SettingShadows
	}
	return flags
}

// owner is the mapping that has an external port on an address, 0 for any; 0 if
// there is none.
func (t *mappingTable) owner(address uint32, protocol uint8, port uint16) uint32 {
	if owners := t.owners[kernel.PortBitsKey{Address: address, Protocol: protocol}]; owners != nil {
		return owners.id[port]
	}
	return 0
}

// isInTheWay reports whether a dynamic binding has a port of one of the mappings ids.
func (t *mappingTable) isInTheWay(key kernel.BindingKey, ids map[uint32]bool) bool {
	port := kernel.ToPort(key.Port)
	return ids[t.owner(0, key.Protocol, port)] || ids[t.owner(key.Address, key.Protocol, port)]
}

// responsible returns the mapping that an external address and port is of: the
// most specific one. As find_mapped of bpf/mapping.h.
func (t *mappingTable) responsible(key kernel.BindingKey) (Mapping, bool) {
	port := kernel.ToPort(key.Port)
	id := t.owner(key.Address, key.Protocol, port)
	if id == 0 {
		id = t.owner(0, key.Protocol, port)
	}
	m, ok := t.all[id]
	return m, ok
}

// owned is the key of the mapping's ports among the owners.
func (m Mapping) owned() kernel.PortBitsKey {
	return kernel.PortBitsKey{Address: kernel.AddressOf(m.External.Address), Protocol: uint8(m.Protocol)}
}

// reserved are the ports of mappings on an external address: no dynamic binding
// may have them.
func (t *mappingTable) reserved(key kernel.PortBitsKey) (reserved kernel.PortBits, some bool) {
	for _, address := range []uint32{0, key.Address} {
		owners := t.owners[kernel.PortBitsKey{Address: address, Protocol: key.Protocol}]
		if owners == nil || owners.count == 0 {
			continue
		}
		some = true
		for i, word := range owners.taken.Word {
			reserved.Word[i] |= word
		}
	}
	return reserved, some
}
