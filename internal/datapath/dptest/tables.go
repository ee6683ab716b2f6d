package dptest

import (
	mathbits "math/bits"
	"net/netip"
	"slices"
	"testing"

	"github.com/cilium/ebpf"

	"github.com/hostnat/hostnat/internal/datapath"
	"github.com/hostnat/hostnat/internal/datapath/dptest/wire"
	"github.com/hostnat/hostnat/internal/datapath/kernel"
	"github.com/hostnat/hostnat/internal/model"
)

func (r *Rig) Sessions(t *testing.T) []datapath.Session {
	t.Helper()
	var list []datapath.Session
	wire.Must(t, r.Datapath.Sessions(func(s datapath.Session) error { list = append(list, s); return nil }))
	return list
}

func (r *Rig) Bindings(t *testing.T) []datapath.Binding {
	t.Helper()
	var list []datapath.Binding
	wire.Must(t, r.Datapath.Bindings(func(b datapath.Binding) error { list = append(list, b); return nil }))
	return list
}

func (r *Rig) Drops(t *testing.T) map[string]uint64 {
	t.Helper()
	drops, err := r.Datapath.Drops()
	wire.Must(t, err)
	return drops
}

// Session returns the one session between internal and remote.
func (r *Rig) Session(t *testing.T, p model.Protocol, internal, remote netip.AddrPort) (datapath.Session, bool) {
	t.Helper()
	list := r.Sessions(t)
	i := slices.IndexFunc(list, func(s datapath.Session) bool {
		return s.Protocol == p && s.Internal == internal && s.Remote == remote
	})
	if i < 0 {
		return datapath.Session{}, false
	}
	return list[i], true
}

// External waits for the binding of an internal address and port, and returns
// its outside.
func (r *Rig) External(t *testing.T, p model.Protocol, internal netip.AddrPort) netip.AddrPort {
	t.Helper()
	var found netip.AddrPort
	wire.Eventually(t, "binding of "+p.String()+" "+internal.String(), func() bool {
		for _, b := range r.Bindings(t) {
			if b.Protocol == p && b.Internal == internal {
				found = b.External
			}
		}
		return found.IsValid()
	})
	return found
}

// Dropped waits until a reason has been counted so often, and fails if it is more.
func (r *Rig) Dropped(t *testing.T, reason string, want uint64) {
	t.Helper()
	wire.Eventually(t, "drops for "+reason, func() bool { return r.Drops(t)[reason] >= want })
	if got := r.Drops(t)[reason]; got != want {
		t.Errorf("%d drops for %s, want %d", got, reason, want)
	}
}

// Consistent checks that bindings and sessions tell the same.
func (r *Rig) Consistent(t *testing.T) {
	t.Helper()
	var counted int
	for _, b := range r.Bindings(t) {
		counted += int(b.Sessions)
		if b.Sessions == 0 && !b.Configured {
			t.Errorf("dynamic binding %v without sessions", b)
		}
	}
	if sessions := len(r.Sessions(t)); counted != sessions {
		t.Errorf("bindings count %d sessions, there are %d", counted, sessions)
	}
	want, atHome := 0, 0 // dynamic ones may be at home, without an entry
	for _, b := range r.Bindings(t) {
		if b.Configured && b.Internal.Port() == 0 {
			continue // several targets: nobody's way out
		}
		want++
		if !b.Configured {
			atHome++
		}
		if b.Configured && !b.External.Addr().IsUnspecified() {
			want++ // a mapping on one address is entered twice: see indexKeys
		}
	}
	if index := Size(t, r.Datapath.Objects().BindingIndex); index > want || index < want-atHome {
		t.Errorf("%d entries in the index of %d bindings, want %d, or up to %d less", index, len(r.Bindings(t)), want, atHome)
	}
	counted = 0
	wire.Must(t, kernel.Each(r.Datapath.Objects().IndexCounts, func(_, count *uint32) error { counted += int(*count); return nil }))
	if index := Size(t, r.Datapath.Objects().BindingIndex); counted != index {
		t.Errorf("%d elements of the index are counted, there are %d", counted, index)
	}
	all := make(map[kernel.BindingKey]kernel.Binding)
	wire.Must(t, kernel.Each(r.Datapath.Objects().Bindings, func(k *kernel.BindingKey, v *kernel.Binding) error { all[*k] = *v; return nil }))
	taken := r.portBits(t)
	for key, binding := range all {
		if dynamic := binding.Flags&kernel.BindingConfigured == 0; dynamic && !taken[key] {
			t.Errorf("port %d has a binding and no bit", kernel.ToPort(key.Port))
		}
		delete(taken, key)
	}
	if len(taken) > 0 {
		t.Errorf("%d ports have a bit and no binding", len(taken))
	}
}

// Empty reports whether nothing dynamic is left in any table.
func (r *Rig) Empty(t *testing.T) bool {
	t.Helper()
	o := r.Datapath.Objects()
	return Size(t, o.Sessions)+Size(t, o.Bindings)+Size(t, o.BindingIndex)+Size(t, o.FilterEntries) == 0 && len(r.portBits(t)) == 0
}

// portBits returns the ports that the bitmap has as taken. It may have fewer
// than there are bindings for a moment, never more for good.
func (r *Rig) portBits(t *testing.T) map[kernel.BindingKey]bool {
	t.Helper()
	taken := make(map[kernel.BindingKey]bool)
	var key kernel.PortBitsKey
	var bits kernel.PortBits
	entries := r.Datapath.Objects().PortBits.Iterate()
	for entries.Next(&key, &bits) {
		for i, word := range bits.Word {
			for ; word != 0; word &= word - 1 {
				port := uint16(i*64 + mathbits.TrailingZeros64(word))
				taken[kernel.BindingKey{Address: key.Address, Protocol: key.Protocol, Port: kernel.PortOf(port)}] = true
			}
		}
	}
	wire.Must(t, entries.Err())
	return taken
}

// Size counts a map's elements.
func Size(t *testing.T, m *ebpf.Map) int {
	t.Helper()
	key, value := make([]byte, m.KeySize()), make([]byte, m.ValueSize())
	count := 0
	entries := m.Iterate()
	for entries.Next(&key, &value) {
		count++
	}
	wire.Must(t, entries.Err())
	return count
}

func target(network uint32, internal netip.AddrPort) []datapath.Target {
	return []datapath.Target{{Network: network, Internal: model.SinglePort(internal)}}
}

// Mapping is a mapping of the rig's first network.
func Mapping(p model.Protocol, external string, internal netip.AddrPort, from ...string) datapath.Mapping {
	m := datapath.Mapping{
		NAT: wire.RigNAT, Compartment: wire.RigCompartment, Protocol: p,
		External: model.SinglePort(netip.MustParseAddrPort(external)), Targets: target(wire.RigNetwork, internal),
	}
	for _, f := range from {
		m.From = append(m.From, netip.MustParsePrefix(f))
	}
	return m
}
