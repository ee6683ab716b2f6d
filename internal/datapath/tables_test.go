package datapath

import (
	mathbits "math/bits"
	"net/netip"
	"slices"
	"testing"

	"github.com/cilium/ebpf"

	"github.com/hostnat/hostnat/internal/model"
)

func (r *rig) sessions(t *testing.T) []Session {
	t.Helper()
	var list []Session
	must(t, r.dp.Sessions(func(s Session) error { list = append(list, s); return nil }))
	return list
}

func (r *rig) bindings(t *testing.T) []Binding {
	t.Helper()
	var list []Binding
	must(t, r.dp.Bindings(func(b Binding) error { list = append(list, b); return nil }))
	return list
}

func (r *rig) drops(t *testing.T) map[string]uint64 {
	t.Helper()
	drops, err := r.dp.Drops()
	must(t, err)
	return drops
}

// session returns the one session between internal and remote.
func (r *rig) session(t *testing.T, p model.Protocol, internal, remote netip.AddrPort) (Session, bool) {
	t.Helper()
	list := r.sessions(t)
	i := slices.IndexFunc(list, func(s Session) bool {
		return s.Protocol == p && s.Internal == internal && s.Remote == remote
	})
	if i < 0 {
		return Session{}, false
	}
	return list[i], true
}

// external waits for the binding of an internal address and port, and returns
// its outside.
func (r *rig) external(t *testing.T, p model.Protocol, internal netip.AddrPort) netip.AddrPort {
	t.Helper()
	var found netip.AddrPort
	eventually(t, "binding of "+p.String()+" "+internal.String(), func() bool {
		for _, b := range r.bindings(t) {
			if b.Protocol == p && b.Internal == internal {
				found = b.External
			}
		}
		return found.IsValid()
	})
	return found
}

// dropped waits until a reason has been counted so often, and fails if it is more.
func (r *rig) dropped(t *testing.T, reason string, want uint64) {
	t.Helper()
	eventually(t, "drops for "+reason, func() bool { return r.drops(t)[reason] >= want })
	if got := r.drops(t)[reason]; got != want {
		t.Errorf("%d drops for %s, want %d", got, reason, want)
	}
}

// consistent checks that bindings and sessions tell the same.
func (r *rig) consistent(t *testing.T) {
	t.Helper()
	var counted int
	for _, b := range r.bindings(t) {
		counted += int(b.Sessions)
		if b.Sessions == 0 && !b.Configured {
			t.Errorf("dynamic binding %v without sessions", b)
		}
	}
	if sessions := len(r.sessions(t)); counted != sessions {
		t.Errorf("bindings count %d sessions, there are %d", counted, sessions)
	}
	want := 0
	for _, b := range r.bindings(t) {
		if b.Configured && b.Internal.Port() == 0 {
			continue // several targets: nobody's way out
		}
		want++
		if b.Configured && !b.External.Addr().IsUnspecified() {
			want++ // a mapping on one address is entered twice: see indexKeys
		}
	}
	if index := size(t, r.dp.objects.BindingIndex); index != want {
		t.Errorf("%d entries in the index of %d bindings, want %d", index, len(r.bindings(t)), want)
	}
	all, err := r.dp.readBindings()
	must(t, err)
	taken := r.portBits(t)
	for key, binding := range all {
		if dynamic := binding.Flags&bindingConfigured == 0; dynamic && !taken[key] {
			t.Errorf("port %d has a binding and no bit", toPort(key.Port))
		}
		delete(taken, key)
	}
	if len(taken) > 0 {
		t.Errorf("%d ports have a bit and no binding", len(taken))
	}
}

// empty reports whether nothing dynamic is left in any table.
func (r *rig) empty(t *testing.T) bool {
	t.Helper()
	o := &r.dp.objects
	return size(t, o.Sessions)+size(t, o.Bindings)+size(t, o.BindingIndex)+size(t, o.FilterEntries) == 0 && len(r.portBits(t)) == 0
}

// portBits returns the ports that the bitmap has as taken. It may have fewer
// than there are bindings for a moment, never more for good.
func (r *rig) portBits(t *testing.T) map[bpfBindingKey]bool {
	t.Helper()
	taken := make(map[bpfBindingKey]bool)
	var key bpfPortBitsKey
	var bits bpfPortBits
	entries := r.dp.objects.PortBits.Iterate()
	for entries.Next(&key, &bits) {
		for i, word := range bits.Word {
			for ; word != 0; word &= word - 1 {
				port := uint16(i*64 + mathbits.TrailingZeros64(word))
				taken[bpfBindingKey{Address: key.Address, Protocol: key.Protocol, Port: portOf(port)}] = true
			}
		}
	}
	must(t, entries.Err())
	return taken
}

// size counts a map's elements.
func size(t *testing.T, m *ebpf.Map) int {
	t.Helper()
	key, value := make([]byte, m.KeySize()), make([]byte, m.ValueSize())
	count := 0
	entries := m.Iterate()
	for entries.Next(&key, &value) {
		count++
	}
	must(t, entries.Err())
	return count
}

func target(network uint32, internal netip.AddrPort) []Target {
	return []Target{{Network: network, Internal: model.SinglePort(internal)}}
}

// mapping is a mapping of the rig's first network.
func mapping(p model.Protocol, external string, internal netip.AddrPort, from ...string) Mapping {
	m := Mapping{
		NAT: rigNAT, Compartment: rigCompartment, Protocol: p,
		External: model.SinglePort(netip.MustParseAddrPort(external)), Targets: target(rigNetwork, internal),
	}
	for _, f := range from {
		m.From = append(m.From, netip.MustParsePrefix(f))
	}
	return m
}
