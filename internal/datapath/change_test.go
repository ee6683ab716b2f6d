package datapath

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/google/go-cmp/cmp"

	"github.com/hostnat/hostnat/internal/nat"
)

// However mappings come and go, what is in the tables is what Apply would have
// put there.
func TestChangedMappingsAreAsIfAppliedWhole(t *testing.T) {
	t.Parallel()
	r := newRig(t, 2)
	r.secondAddress(t)
	r.apply(t)
	random := rand.New(rand.NewPCG(1, 7))
	for step := range 150 {
		for range 1 + random.IntN(3) {
			id := uint32(1 + random.IntN(12))
			if m, ok := randomMapping(random); ok && !overlapsAnother(id, m, r.config.Mappings) {
				r.config.Mappings[id] = m
			} else {
				delete(r.config.Mappings, id)
			}
		}
		r.apply(t)
		if random.IntN(3) > 0 {
			continue // several changes, one after the other
		}
		changed := r.mappingTables(t)
		must(t, r.dp.Apply(r.config))
		if diff := cmp.Diff(r.mappingTables(t), changed); diff != "" {
			t.Fatalf("step %d (-applied whole +changed):\n%s\nmappings: %+v", step, diff, r.config.Mappings)
		}
	}
}

// randomMapping is a mapping, mostly of few ports, so that they meet.
func randomMapping(random *rand.Rand) (Mapping, bool) {
	address := []string{"0.0.0.0", hostAddress.String(), "203.0.113.10"}[random.IntN(3)]
	low, count := 7000+random.IntN(6), 1
	if random.IntN(3) == 0 {
		count = 1 + random.IntN(4)
	}
	m := Mapping{NAT: rigNAT, Compartment: rigCompartment, Protocol: []nat.Protocol{nat.TCP, nat.UDP}[random.IntN(2)]}
	ports := func(low int) nat.PortRange { return nat.PortRange{Low: uint16(low), High: uint16(low + count - 1)} }
	m.External = nat.AddrPorts{Address: netip.MustParseAddr(address), Ports: ports(low)}
	for i := range 1 + random.IntN(2) {
		inside := nat.AddrPorts{Address: endpointAddress(i), Ports: ports(80 + random.IntN(3))}
		m.Targets = append(m.Targets, Target{Network: rigNetwork, Internal: inside})
	}
	for i := range random.IntN(3) {
		m.From = append(m.From, netip.MustParsePrefix(fmt.Sprintf("198.51.100.%d/32", 1+i)))
	}
	return m, random.IntN(3) > 0
}

func overlapsAnother(id uint32, m Mapping, all map[uint32]Mapping) bool {
	for other, has := range all {
		if other != id && has.Protocol == m.Protocol && has.External.Address == m.External.Address && has.External.Ports.Overlaps(m.External.Ports) {
			return true
		}
	}
	return false
}

// mappingTables is what stands for mappings, as text.
func (r *rig) mappingTables(t *testing.T) map[string]string {
	t.Helper()
	o, all := &r.dp.objects, make(map[string]string)
	maps.Copy(all, dump[bpfBindingKey, bpfBinding](t, "binding", o.Bindings))
	maps.Copy(all, dump[bpfBindingIndexKey, bpfWayOut](t, "index", o.BindingIndex))
	maps.Copy(all, dump[uint32, bpfMapping](t, "mapping", o.Mappings))
	maps.Copy(all, dump[bpfRangeKey, uint32](t, "range", o.Ranges))
	maps.Copy(all, dump[bpfInsideRangeKey, uint32](t, "inside", o.InsideRanges))
	maps.Copy(all, dump[bpfAllowedKey, uint32](t, "allowed", o.Allowed))
	maps.Copy(all, dump[bpfPortBitsKey, bpfPortBits](t, "reserved", o.ReservedPorts))
	return all
}

func dump[K, V any](t *testing.T, what string, m *ebpf.Map) map[string]string {
	t.Helper()
	all := make(map[string]string)
	var key K
	var value V
	entries := m.Iterate()
	for entries.Next(&key, &value) {
		all[fmt.Sprintf("%s %v", what, key)] = fmt.Sprint(value)
	}
	must(t, entries.Err())
	return all
}
