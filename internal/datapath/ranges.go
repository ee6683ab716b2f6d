package datapath

import (
	"maps"
	"math/bits"
	"slices"

	"github.com/hostnat/hostnat/internal/datapath/kernel"
	"github.com/hostnat/hostnat/internal/model"
)

// portPrefix is a run of ports that a longest-prefix match finds: all that
// share the first length bits of port.
type portPrefix struct {
	port   uint16
	length uint32
}

// portPrefixes splits a range into the fewest prefixes: 30 at the most.
func portPrefixes(r model.PortRange) []portPrefix {
	var list []portPrefix
	for low, high := uint32(r.Low), uint32(r.High); low <= high; {
		free := bits.TrailingZeros32(low | 1<<16) // the largest aligned block that starts here
		for uint32(1)<<free > high-low+1 {
			free--
		}
		list = append(list, portPrefix{uint16(low), 16 - uint32(free)})
		low += 1 << free
	}
	return list
}

// rangeValues are the two tries of mapped ranges.
type rangeValues struct {
	outside map[kernel.RangeKey]uint32
	inside  map[kernel.InsideRangeKey]uint32
}

func rangesOf(t *mappingTable) rangeValues {
	v := rangeValues{make(map[kernel.RangeKey]uint32), make(map[kernel.InsideRangeKey]uint32)}
	if t.ranges == 0 {
		return v
	}
	// The oldest mapping is an internal port's way out: it is written last.
	for _, id := range slices.Backward(slices.Sorted(maps.Keys(t.all))) {
		m := t.all[id]
		if !m.External.IsRange() {
			continue
		}
		for _, p := range portPrefixes(m.External.Ports) {
			v.outside[kernel.RangeKey{
				Length: 48 + p.length, Address: kernel.AddressOf(m.External.Address), Protocol: uint8(m.Protocol), Port: kernel.PortOf(p.port),
			}] = id
		}
		if len(m.Targets) > 1 {
			continue // which remote has which is not for the way out
		}
		for _, p := range portPrefixes(m.Targets[0].Internal.Ports) {
			v.inside[kernel.InsideRangeKey{
				Length: 80 + p.length, Compartment: m.Compartment, Address: kernel.AddressOf(m.Targets[0].Internal.Address),
				Protocol: uint8(m.Protocol), Port: kernel.PortOf(p.port),
			}] = id
		}
	}
	return v
}

// writeRanges makes the tries those of all mappings, if one that has changed is a
// range.
func (d *Datapath) writeRanges(a *applied, c mappingChange) error {
	if !c.all && !c.anyIs(func(m Mapping) bool { return m.External.IsRange() }) {
		return nil
	}
	want := rangesOf(a.mappings)
	outside := rows[kernel.RangeKey, uint32]{what: "ranges of external ports", in: d.objects.Ranges}
	inside := rows[kernel.InsideRangeKey, uint32]{what: "ranges of internal ports", in: d.objects.InsideRanges}
	if err := outside.replace(a.ranges.outside, want.outside); err != nil {
		return err
	}
	if err := inside.replace(a.ranges.inside, want.inside); err != nil {
		return err
	}
	a.ranges = want
	return nil
}

// reservedValues are the ports of mappings on each external address: no dynamic
// binding may have them. Loopback's are nobody's else.
func reservedValues(pools []Pool, mappings *mappingTable) map[kernel.PortBitsKey]kernel.PortBits {
	values := make(map[kernel.PortBitsKey]kernel.PortBits)
	for _, p := range pools {
		for _, a := range p.Addresses {
			for _, protocol := range []model.Protocol{model.TCP, model.UDP} {
				key := kernel.PortBitsKey{Address: kernel.AddressOf(a.Address), Protocol: uint8(protocol)}
				if _, known := values[key]; known {
					continue
				}
				if reserved, some := mappings.reserved(key); some {
					values[key] = reserved
				}
			}
		}
	}
	return values
}
