package datapath

import "net/netip"

// maxTargets is how many targets a mapping has room for, as in bpf/types.h.
const maxTargets = len(bpfMapping{}.Target)

// indirect reports whether the mapping needs an element of its own beside its
// binding: it is a range, or has several targets.
func (m Mapping) indirect() bool { return m.External.IsRange() || len(m.Targets) > 1 }

// flags are those of the mapping's bindings.
func (m Mapping) flags() uint32 {
	var flags uint32
	if len(m.From) > 0 {
		flags |= bindingAllowList
	}
	if len(m.Targets) > 1 {
		flags |= bindingSpread
	}
	return flags
}

func bindingKey(m Mapping) bpfBindingKey {
	first := m.External.First()
	return bpfBindingKey{Address: addressOf(first.Addr()), Port: portOf(first.Port()), Protocol: uint8(m.Protocol)}
}

// bindingValue is the configured binding of a mapping of one port. With several
// targets it leads to none: its mapping's element says which a remote has.
func bindingValue(id uint32, m Mapping) bpfBinding {
	value := bpfBinding{
		Flags:       bindingConfigured | m.flags(),
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
	value.InternalAddress, value.InternalPort = addressOf(internal.Addr()), portOf(internal.Port())
	return value
}

func mappingValue(m Mapping) bpfMapping {
	first := m.External.First()
	value := bpfMapping{
		Nat:             m.NAT,
		Compartment:     m.Compartment,
		ExternalAddress: addressOf(first.Addr()),
		ExternalPort:    portOf(first.Port()),
		Ports:           uint16(m.External.Count()),
		Flags:           m.flags(),
		Targets:         uint32(min(len(m.Targets), maxTargets)),
	}
	for i, t := range m.Targets {
		if i == maxTargets {
			break
		}
		internal := t.Internal.First()
		value.Target[i] = bpfTarget{Address: addressOf(internal.Addr()), Port: portOf(internal.Port()), Network: t.Network}
	}
	return value
}

// has reports whether an external address and port is the mapping's. An address
// of 0 is only a mapping's on any.
func (m Mapping) has(key bpfBindingKey) bool {
	address := addressOf(m.External.Address)
	return uint8(m.Protocol) == key.Protocol && (address == 0 || address == key.Address) && m.External.Ports.Contains(toPort(key.Port))
}

// leadsTo reports whether the mapping takes an external port to an internal address and port.
func (m Mapping) leadsTo(compartment uint32, external uint16, address uint32, internal uint16) bool {
	offset := toPort(external) - m.External.Ports.Low
	for _, t := range m.Targets {
		if m.Compartment == compartment && addressOf(t.Internal.Address) == address &&
			t.Internal.Ports.Low+offset == toPort(internal) {
			return true
		}
	}
	return false
}

// isPortOf reports whether a port's binding, made from a range, is as the range
// says now.
func isPortOf(key bpfBindingKey, value bpfBinding, m Mapping) bool {
	if !m.External.IsRange() || addressOf(m.External.Address) != key.Address || !m.has(key) ||
		m.NAT != value.Nat || value.Flags != bindingConfigured|bindingOfRange|m.flags() {
		return false
	}
	return len(m.Targets) > 1 || m.leadsTo(value.Compartment, key.Port, value.InternalAddress, value.InternalPort)
}

// indexOf is a binding's key in the index: its inside on its external address.
func indexOf(key bpfBindingKey, value bpfBinding) bpfBindingIndexKey {
	return bpfBindingIndexKey{
		Compartment:     value.Compartment,
		InternalAddress: value.InternalAddress,
		ExternalAddress: key.Address,
		InternalPort:    value.InternalPort,
		Protocol:        key.Protocol,
	}
}

// allowedValues are the remotes that mappings let in.
func allowedValues(mappings map[uint32]Mapping) map[bpfAllowedKey]uint32 {
	values := make(map[bpfAllowedKey]uint32)
	for id, m := range mappings {
		addAllowed(values, id, m.From)
	}
	return values
}

func addAllowed(values map[bpfAllowedKey]uint32, id uint32, from []netip.Prefix) {
	for _, p := range from {
		values[bpfAllowedKey{Length: 32 + uint32(p.Bits()), Mapping: id, Remote: addressOf(p.Masked().Addr())}] = 1
	}
}

// allowed are the remotes that all of c lets in. Mappings and mappings of whole
// addresses are told apart by their ids.
func (c Config) allowed() map[bpfAllowedKey]uint32 {
	values := allowedValues(c.Mappings)
	for id, w := range c.Wholes {
		addAllowed(values, id, w.From)
	}
	return values
}
