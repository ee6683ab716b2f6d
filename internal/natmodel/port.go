package natmodel

import (
	"net/netip"
	"slices"

	"github.com/hostnat/hostnat/internal/model"
)

// freePorts are those of a pool's address that nobody has: no other binding (RFC
// 4787 REQ-3), no mapping, no program of the host (design, rule 4), none in hold-down.
func (m *Model) freePorts(p model.Protocol, a PoolAddress) []netip.AddrPort {
	var free []netip.AddrPort
	for _, r := range a.Ports {
		for port := int(r.Low); port <= int(r.High); port++ {
			external := netip.AddrPortFrom(a.Address, uint16(port))
			at := BindingKey{p, external}
			_, waits := m.givenUp[at]
			if m.bindings[at] == nil && !waits && !m.isReserved(at) {
				free = append(free, external)
			}
		}
	}
	return free
}

// freeDependent are the ports that may be this flow's remote's.
func (m *Model) freeDependent(key SessionKey, a PoolAddress) []netip.AddrPort {
	var free []netip.AddrPort
	for port := int(a.Dependent.Low); port != 0 && port <= int(a.Dependent.High); port++ {
		external := netip.AddrPortFrom(a.Address, uint16(port))
		if _, taken := m.dependentAt(key.Protocol, external, key.Remote); !taken && !m.isReserved(BindingKey{key.Protocol, external}) {
			free = append(free, external)
		}
	}
	return free
}

// isReserved reports whether a port is a mapping's or the host's.
func (m *Model) isReserved(at BindingKey) bool {
	talked, hosts := m.hostPorts[at]
	return m.mappingOn(at.Protocol, at.External) != 0 || m.config.listens(at.Protocol, at.External) ||
		hosts && talked+hostPortMemory+hostPortPrecision > m.now
}

// chosen is the port that the data path took, if it might.
func (m *Model) chosen(key SessionKey, free []netip.AddrPort) netip.AddrPort {
	if slices.Contains(free, m.choice.External) {
		return m.choice.External
	}
	if m.choice.External.IsValid() {
		m.refuseChoice("%v %v went to %v: free is %v", key.Protocol, key.Internal, m.choice.External, free)
	}
	return free[0]
}
