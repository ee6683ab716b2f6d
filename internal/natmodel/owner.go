package natmodel

import (
	"net/netip"

	"github.com/hostnat/hostnat/internal/model"
)

// owner is whose an external address and port is to one remote.
type owner struct {
	at                   BindingKey
	binding              *Binding // nil: a port of a range that nobody uses, or an endpoint-dependent session's
	mapping              uint32   // 0: none
	compartment, network uint32
	internal             netip.AddrPort
}

// isHoldDown: such a binding is as good as gone for whoever comes from outside.
func (o owner) isHoldDown() bool { return o.binding != nil && o.binding.HoldDown }

// ownerOf finds whose an external address and port is. The most specific wins:
// what has this address, a port before a range, then what has any.
func (m *Model) ownerOf(p model.Protocol, external, remote netip.AddrPort) (owner, bool) {
	anywhere := netip.AddrPortFrom(netip.IPv4Unspecified(), external.Port())
	if b := m.bindings[BindingKey{p, external}]; b != nil {
		return m.ownerBy(BindingKey{p, external}, b.mapping, external, remote), true
	}
	if key, has := m.dependentAt(p, external, remote); has {
		return owner{at: BindingKey{p, external}, compartment: key.Compartment, internal: key.Internal}, true
	}
	id := m.mappingOn(p, external)
	if id != 0 {
		if m.config.Mappings[id].External.Address.IsUnspecified() {
			return m.ownerBy(BindingKey{p, anywhere}, id, external, remote), true
		}
		return m.ownerBy(BindingKey{p, external}, id, external, remote), true
	}
	return owner{}, false
}

func (m *Model) ownerBy(at BindingKey, id uint32, external, remote netip.AddrPort) owner {
	o := owner{at: at, binding: m.bindings[at], mapping: id}
	if id == 0 {
		o.compartment, o.network, o.internal = o.binding.Compartment, o.binding.Network, o.binding.Internal
		return o
	}
	o.compartment = m.config.Mappings[id].Compartment
	o.network, o.internal = m.insideOf(id, at.Protocol, external, remote.Addr())
	return o
}

// insideOf is where a mapping leads a remote: with several targets to that which
// it has, as long as it has sessions there.
func (m *Model) insideOf(id uint32, p model.Protocol, external netip.AddrPort, remote netip.Addr) (network uint32, internal netip.AddrPort) {
	mapping := m.config.Mappings[id]
	if len(mapping.Targets) > 1 {
		for key, s := range m.sessions {
			if s.spread && key.Protocol == p && s.External == external && key.Remote.Addr() == remote {
				return s.Network, key.Internal
			}
		}
	}
	t := m.config.target(mapping.Targets, remote)
	offset := external.Port() - mapping.External.Ports.Low
	return t.Network, netip.AddrPortFrom(t.Internal.Address, t.Internal.Ports.Low+offset)
}

// dependentAt finds the endpoint-dependent session that a remote reaches at an
// external address and port.
func (m *Model) dependentAt(p model.Protocol, external, remote netip.AddrPort) (SessionKey, bool) {
	if p == model.ICMP {
		remote = netip.AddrPortFrom(remote.Addr(), 0)
	}
	for key, s := range m.sessions {
		if s.dependent && key.Protocol == p && s.External == external && key.Remote == remote {
			return key, true
		}
	}
	return SessionKey{}, false
}
