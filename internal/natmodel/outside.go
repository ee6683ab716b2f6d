package natmodel

import (
	"net/netip"
	"slices"

	"github.com/hostnat/hostnat/internal/nat"
)

// fromOutside handles what arrives at the host.
func (m *Model) fromOutside(p *packet) Result {
	if p.ether() != etherIPv4 || p.toGroup() || !p.parseIP() || p.dest.Addr().IsLoopback() {
		return passed() // the host knows what to do with it
	}
	if p.isLaterFragment() {
		return m.laterInward(p)
	}
	if p.parseL4() != "" {
		return m.foreign(p)
	}
	if p.isICMPError() {
		return m.errorInward(p)
	}
	key, b := m.bindingTo(p.protocol, p.dest)
	if b == nil || p.protocol == nat.ICMP && p.icmpType != echoReply {
		return m.foreign(p)
	}
	return m.inward(p, key, b)
}

// foreign is the host's own, unless it claims to come from or to know the inside.
func (m *Model) foreign(p *packet) Result {
	if m.config.isInside(p.source.Addr()) || m.config.isInside(p.dest.Addr()) {
		return dropped(InsideFromOutside)
	}
	return passed()
}

func inwardKey(p *packet, b *Binding) SessionKey {
	key := SessionKey{b.Compartment, p.protocol, b.Internal, p.source}
	if p.protocol == nat.ICMP {
		key.Remote = netip.AddrPortFrom(p.source.Addr(), 0)
	}
	return key
}

// inward translates a packet for a binding.
func (m *Model) inward(p *packet, at BindingKey, b *Binding) Result {
	key := inwardKey(p, b)
	s, known := m.sessions[key]
	if !known {
		if m.isHosts(p, at, b) {
			return m.foreign(p)
		}
		if m.impossible(p.source.Addr()) {
			return dropped(InsideFromOutside)
		}
		if p.ttl <= 1 {
			return dropped(HopLimit)
		}
		if why := m.admit(p, at, b); why != "" {
			return dropped(why)
		}
		if !p.isFirst() {
			return dropped(NoSession)
		}
		if why := m.open(key, b.Network, at, p.dest); why != "" {
			return dropped(why)
		}
		s = m.sessions[key]
	}
	if s.External != p.dest { // the endpoint could not tell the two flows apart
		return dropped(SessionClash)
	}
	if p.ttl <= 1 {
		return dropped(HopLimit)
	}
	if p.isFragment() {
		m.firstInward(p, s, key)
	}
	m.track(key, s, p, false)
	p.translate(destSide, b.Internal)
	return m.deliver(p, key.Compartment, s.Network, b.Internal.Addr())
}

// impossible: an address that nobody outside can have: an inside one, ours, or
// none at all (RFC 1812 section 5.3.7, martian addresses).
func (m *Model) impossible(source netip.Addr) bool {
	return m.config.isInside(source) || m.config.isHost(source) || staysOnLink(source)
}

// isHosts: what no session expects may be for the host. A program of the host
// keeps a port that it binds while a NAT uses it; a mapping's port is the
// mapping's. A mapping on any address means the host's.
func (m *Model) isHosts(p *packet, at BindingKey, b *Binding) bool {
	if p.protocol == nat.ICMP {
		return true
	}
	if at.External.Addr().IsUnspecified() && !m.config.isHost(p.dest.Addr()) {
		return true
	}
	return !b.Configured && m.config.listens(p.protocol, p.dest)
}

// admit is RFC 4787 section 5 (REQ-8) and RFC 5382 REQ-3: who may open a
// session from outside.
func (m *Model) admit(p *packet, at BindingKey, b *Binding) Reason {
	if b.Configured {
		from := m.config.Mappings[b.mapping].From
		if len(from) > 0 && !slices.ContainsFunc(from, func(f netip.Prefix) bool { return f.Contains(p.source.Addr()) }) {
			return RemoteNotAllowed
		}
		return ""
	}
	switch m.config.NATs[b.NAT].filtering(p.protocol) {
	case nat.EndpointIndependent:
		return ""
	case nat.AddressDependent:
		for key, s := range m.sessions {
			if s.binding == at && key.Remote.Addr() == p.source.Addr() {
				return ""
			}
		}
	}
	return Filtered
}

// deliver addresses a frame to an endpoint; for others on the bridge the kernel
// writes the Ethernet header.
func (m *Model) deliver(p *packet, compartment, network uint32, to netip.Addr) Result {
	if e, managed := m.config.endpointAt(compartment, to); managed {
		gateway := m.config.Networks[e.Network].GatewayMAC
		copy(p.frame[:6], e.MAC[:])
		copy(p.frame[6:12], gateway[:])
	}
	return Result{Verdict: Inward, Frame: p.frame}
}

// toOutside is the leak guard, and notes from where the host talks.
func (m *Model) toOutside(p *packet, marked bool) Result {
	if marked || p.ether() != etherIPv4 || !p.parseIP() {
		return passed()
	}
	if m.config.isInside(p.source.Addr()) {
		return dropped(Untranslated)
	}
	if p.isLaterFragment() || p.parseL4() != "" {
		return passed()
	}
	port := p.source.Port()
	free := m.config.Ephemeral
	if p.protocol != nat.ICMP && (port < 1024 || port >= free.Low && port <= free.High) {
		return passed() // no NAT takes such a port by itself
	}
	key := BindingKey{p.protocol, p.source}
	if _, known := m.hostPorts[key]; known || m.bindings[key] == nil {
		m.hostPorts[key] = m.now
	}
	return passed()
}
