package datapath

import (
	"net/netip"

	"github.com/hostnat/hostnat/internal/datapath/kernel"
)

// maxTargets is how many targets a mapping has room for, as in bpf/session_types.h.
const maxTargets = len(kernel.Mapping{}.Target)

// indirect reports whether the mapping needs an element of its own beside its
// binding: it is a range, or has several targets.
func (m Mapping) indirect() bool { return m.External.IsRange() || len(m.Targets) > 1 }

// flags are those of the mapping's bindings.
func (m Mapping) flags() uint32 {
	var flags uint32
	if len(m.From) > 0 {
		flags |= kernel.BindingAllowList
	}
	if len(m.Targets) > 1 {
		flags |= kernel.BindingSpread
	}
	return flags
}

func bindingKey(m Mapping) kernel.BindingKey {
	first := m.External.First()
	return kernel.BindingKey{Address: kernel.AddressOf(first.Addr()), Port: kernel.PortOf(first.Port()), Protocol: uint8(m.Protocol)}
}

// bindingValue is the configured binding of a mapping of one port. With several
// targets it leads to none: its mapping's element says which a remote has.
func bindingValue(id uint32, m Mapping) kernel.Binding {
	value := kernel.Binding{
		Flags:       kernel.BindingConfigured | m.flags(),
		Compartment: m.Compartment,
		Nat:         m.NAT,
		Network:     m.Targets[0].Network,
		Mapping:     id,
	}
	if len(m.Targets) > 1 {
		value.Network = 0 // of the first, which may go
		return value
	}
	internal := m.Targets[0].Internal.First()
	value.InternalAddress, value.InternalPort = kernel.AddressOf(internal.Addr()), kernel.PortOf(internal.Port())
	return value
}

func mappingValue(m Mapping) kernel.Mapping {
	first := m.External.First()
	value := kernel.Mapping{
		Nat:             m.NAT,
		Compartment:     m.Compartment,
		ExternalAddress: kernel.AddressOf(first.Addr()),
		ExternalPort:    kernel.PortOf(first.Port()),
		Ports:           uint16(m.External.Count()),
		Flags:           m.flags(),
		Targets:         uint32(min(len(m.Targets), maxTargets)),
	}
	for i, t := range m.Targets {
		if i == maxTargets {
			break
		}
		internal := t.Internal.First()
		value.Target[i] = kernel.Target{Address: kernel.AddressOf(internal.Addr()), Port: kernel.PortOf(internal.Port()), Network: t.Network}
	}
	return value
}

// has reports whether an external address and port is the mapping's. An address
// of 0 is only a mapping's on any.
func (m Mapping) has(key kernel.BindingKey) bool {
	address := kernel.AddressOf(m.External.Address)
	return uint8(m.Protocol) == key.Protocol && (address == 0 || address == key.Address) && m.External.Ports.Contains(kernel.ToPort(key.Port))
}

// leadsTo reports whether the mapping takes an external port to an internal address and port.
func (m Mapping) leadsTo(compartment uint32, external uint16, address uint32, internal uint16) bool {
	offset := kernel.ToPort(external) - m.External.Ports.Low
	for _, t := range m.Targets {
		if m.Compartment == compartment && kernel.AddressOf(t.Internal.Address) == address &&
			t.Internal.Ports.Low+offset == kernel.ToPort(internal) {
			return true
		}
	}
	return false
}

// isPortOf reports whether a port's binding, made from a range, is as the range
// says now.
func isPortOf(key kernel.BindingKey, value kernel.Binding, m Mapping) bool {
	if !m.External.IsRange() || kernel.AddressOf(m.External.Address) != key.Address || !m.has(key) ||
		m.NAT != value.Nat || value.Flags != kernel.BindingConfigured|kernel.BindingOfRange|m.flags() {
		return false
	}
	return len(m.Targets) > 1 || m.leadsTo(value.Compartment, key.Port, value.InternalAddress, value.InternalPort)
}

// allowedValues are the remotes that mappings let in.
func allowedValues(mappings map[uint32]Mapping) map[kernel.AllowedKey]uint32 {
	values := make(map[kernel.AllowedKey]uint32)
	for id, m := range mappings {
		addAllowed(values, id, m.From)
	}
	return values
}

func addAllowed(values map[kernel.AllowedKey]uint32, id uint32, from []netip.Prefix) {
	for _, p := range from {
		values[kernel.AllowedKey{Length: 32 + uint32(p.Bits()), Mapping: id, Remote: kernel.AddressOf(p.Masked().Addr())}] = 1
	}
}

// allowed are the remotes that all of c lets in. Mappings and mappings of whole
// addresses are told apart by their ids.
func (c Config) allowed() map[kernel.AllowedKey]uint32 {
	values := allowedValues(c.Mappings)
	for id, w := range c.OneToOne {
		addAllowed(values, id, w.From)
	}
	return values
}
