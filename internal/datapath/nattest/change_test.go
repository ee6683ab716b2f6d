package nattest

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/google/go-cmp/cmp"

	"github.com/hostnat/hostnat/internal/datapath"
	"github.com/hostnat/hostnat/internal/datapath/dptest"
	"github.com/hostnat/hostnat/internal/datapath/dptest/wire"
	"github.com/hostnat/hostnat/internal/datapath/kernel"
	"github.com/hostnat/hostnat/internal/model"
)

// However mappings come and go, what is in the tables is what Apply would have
// put there.
func TestChangedMappingsAreAsIfAllWasApplied(t *testing.T) {
	t.Parallel()
	r := dptest.NewRig(t, 2)
	r.SecondAddress(t)
	r.Apply(t)
	random := rand.New(rand.NewPCG(1, 7))
	for step := range 150 {
		for range 1 + random.IntN(3) {
			id := uint32(1 + random.IntN(12))
			if m, ok := randomMapping(random); ok && !overlapsAnother(id, m, r.Config.Mappings) {
				r.Config.Mappings[id] = m
			} else {
				delete(r.Config.Mappings, id)
			}
		}
		r.Apply(t)
		if random.IntN(3) > 0 {
			continue // several changes, one after the other
		}
		changed := mappingTables(t, r)
		r.ApplyAll(t)
		if diff := cmp.Diff(mappingTables(t, r), changed); diff != "" {
			t.Fatalf("step %d (-all applied +changed):\n%s\nmappings: %+v", step, diff, r.Config.Mappings)
		}
	}
}

// randomMapping is a mapping, mostly of few ports, so that they meet.
func randomMapping(random *rand.Rand) (datapath.Mapping, bool) {
	address := []string{"0.0.0.0", wire.HostAddress.String(), "203.0.113.10"}[random.IntN(3)]
	low, count := 7000+random.IntN(6), 1
	if random.IntN(3) == 0 {
		count = 1 + random.IntN(4)
	}
	m := datapath.Mapping{NAT: wire.RigNAT, Compartment: wire.RigCompartment, Protocol: []model.Protocol{model.TCP, model.UDP}[random.IntN(2)]}
	ports := func(low int) model.PortRange { return model.PortRange{Low: uint16(low), High: uint16(low + count - 1)} }
	m.External = model.AddrPorts{Address: netip.MustParseAddr(address), Ports: ports(low)}
	for i := range 1 + random.IntN(2) {
		inside := model.AddrPorts{Address: wire.EndpointAddress(i), Ports: ports(80 + random.IntN(3))}
		m.Targets = append(m.Targets, datapath.Target{Network: wire.RigNetwork, Internal: inside})
	}
	for i := range random.IntN(3) {
		m.From = append(m.From, netip.MustParsePrefix(fmt.Sprintf("198.51.100.%d/32", 1+i)))
	}
	return m, random.IntN(3) > 0
}

func overlapsAnother(id uint32, m datapath.Mapping, all map[uint32]datapath.Mapping) bool {
	for other, has := range all {
		if other != id && has.Protocol == m.Protocol && has.External.Address == m.External.Address && has.External.Ports.Overlaps(m.External.Ports) {
			return true
		}
	}
	return false
}

// mappingTables is what stands for mappings, as text.
func mappingTables(t *testing.T, r *dptest.Rig) map[string]string {
	t.Helper()
	o, all := r.Datapath.Objects(), make(map[string]string)
	maps.Copy(all, dump[kernel.BindingKey, kernel.Binding](t, "binding", o.Bindings))
	maps.Copy(all, dump[kernel.BindingIndexKey, kernel.WayOut](t, "index", o.BindingIndex))
	maps.Copy(all, dump[uint32, kernel.Mapping](t, "mapping", o.Mappings))
	maps.Copy(all, dump[kernel.RangeKey, uint32](t, "range", o.Ranges))
	maps.Copy(all, dump[kernel.InsideRangeKey, uint32](t, "inside", o.InsideRanges))
	maps.Copy(all, dump[kernel.AllowedKey, uint32](t, "allowed", o.Allowed))
	maps.Copy(all, dump[kernel.PortBitsKey, kernel.PortBits](t, "reserved", o.ReservedPorts))
	var settings kernel.Settings
	wire.Must(t, o.Configuration.Lookup(uint32(0), &settings))
	all["what to look for"] = fmt.Sprint(settings.Flags)
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
	wire.Must(t, entries.Err())
	return all
}

// A mapping that goes takes its sessions along, whichever way they are found: by
// its binding's count, and where that cannot know of them by looking at all.
func TestDeletedMappingsLeaveNoSessions(t *testing.T) {
	t.Parallel()
	r := dptest.NewRig(t, 1)
	r.Mute(t, 0)
	used, idle := dptest.Mapping(model.UDP, "0.0.0.0:7001", wire.Inside(0, 80)), dptest.Mapping(model.UDP, "0.0.0.0:7002", wire.Inside(0, 81))
	for round := range 3 { // the second time, the ports are known to have been others'
		r.Config.Mappings[1], r.Config.Mappings[2] = used, idle
		r.Apply(t)
		r.FromRemote(t, wire.Segment{Protocol: model.UDP, From: wire.Unanswered(7, 80), To: netip.AddrPortFrom(wire.HostAddress, 7001)})
		if n := len(r.Sessions(t)); n != 1 {
			t.Fatalf("round %d: %d sessions", round, n)
		}
		delete(r.Config.Mappings, 2)
		r.Apply(t)
		if n := len(r.Sessions(t)); n != 1 {
			t.Errorf("round %d: %d sessions after an idle mapping went", round, n)
		}
		delete(r.Config.Mappings, 1)
		r.Apply(t)
		if n := len(r.Sessions(t)); n != 0 {
			t.Errorf("round %d: %d sessions after their mapping went", round, n)
		}
	}
	r.Consistent(t)
}

// Two mappings lead to one internal port, and go together: its way out goes too,
// whichever of them it was, and a new flow gets a port of its own.
func TestTwoMappingsOfAPortGoTogether(t *testing.T) {
	t.Parallel()
	r := dptest.NewRig(t, 1)
	for round := range 8 { // which is looked at first is a matter of chance
		for id := range uint32(2) {
			r.Config.Mappings[1+id] = dptest.Mapping(model.UDP, fmt.Sprintf("%s:%d", wire.HostAddress, 7001+id), wire.Inside(0, 80))
		}
		r.Apply(t)
		clear(r.Config.Mappings)
		r.Apply(t)
		if left := dump[kernel.BindingIndexKey, kernel.WayOut](t, "way out", r.Datapath.Objects().BindingIndex); len(left) > 0 {
			t.Fatalf("round %d: %v is left", round, left)
		}
	}
	r.FromEndpoint(t, 0, wire.Segment{Protocol: model.UDP, From: wire.Inside(0, 80), To: wire.Unanswered(7, 80)})
	r.External(t, model.UDP, wire.Inside(0, 80))
	r.Consistent(t)
}
