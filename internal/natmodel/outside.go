package natmodel

import (
	"net/netip"

	"github.com/hostnat/hostnat/internal/model"
)

const arpRequest = 1

// fromOutside handles what arrives at the host.
func (m *Model) fromOutside(p *packet) Result {
	if p.ether() == etherARP { // RFC 3022 section 5: nobody outside is told of inside addresses
		if len(p.frame) >= ethernet+28 && p.u16(ethernet+6) == arpRequest && m.config.isInside(p.address(ethernet+24)) {
			return dropped(InsideFromOutside)
		}
		return passed()
	}
	if p.ether() != etherIPv4 || !p.isTo(m.config.OutsideMAC) || !p.parseIP() || p.dest.Addr().IsLoopback() {
		return passed() // the host knows what to do with it
	}
	if !p.hasPorts() {
		return m.oneToOneInward(p)
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
	o, found := m.ownerOf(p.protocol, p.dest, p.source)
	if !found || p.protocol == model.ICMP && p.icmpType != echoReply {
		return m.foreign(p)
	}
	return m.inward(p, o)
}

// foreign is the host's own, unless it claims to come from or to know the inside.
func (m *Model) foreign(p *packet) Result {
	if p.isFragment() && p.turns > 0 { // the host has had the others
		return dropped(FirstFragmentOffset)
	}
	m.forgetFirst(p, outsideRealm)
	if m.config.isInside(p.source.Addr()) || m.config.isInside(p.dest.Addr()) {
		return dropped(InsideFromOutside)
	}
	return passed()
}

func inwardKey(p *packet, o owner) SessionKey {
	key := SessionKey{o.compartment, p.protocol, o.internal, p.source}
	if p.protocol == model.ICMP {
		key.Remote = netip.AddrPortFrom(p.source.Addr(), 0)
	}
	return key
}

// inward translates a packet for a binding.
func (m *Model) inward(p *packet, o owner) Result {
	key := inwardKey(p, o)
	s, known := m.sessions[key]
	if !known {
		if o.isHoldDown() || m.isHosts(p, o) {
			return m.foreign(p)
		}
		if m.impossible(p.source.Addr()) || m.config.isNear(key.Compartment, o.internal.Addr(), p.source.Addr()) || m.config.isInside(p.dest.Addr()) {
			return dropped(InsideFromOutside)
		}
		if p.ttl <= 1 {
			if open, mapped := m.config.Mappings[o.mapping]; mapped && len(open.From) == 0 {
				return m.refuse(p, outsider(p), HopLimit)
			}
			return dropped(HopLimit) // who may not come in is not told that there is anything
		}
		why := m.openInward(key, o, p, false)
		if _, mapped := m.config.Mappings[o.mapping]; why == NoSession && mapped {
			return m.refuse(p, outsider(p), NoSession) // as a host answers for a connection that it does not know
		}
		if why != "" {
			return dropped(why)
		}
		s = m.sessions[key]
	}
	if s.guest && m.isIdle(o.at) { // RFC 4787 REQ-6: outside alone keeps nothing
		return dropped(MappingIdle)
	}
	if s.hairpin { // both its ends are inside
		return dropped(InsideFromOutside)
	}
	if p.hasSourceRoute() {
		return dropped(SourceRoute)
	}
	if s.External != p.dest {
		if why := m.takeOver(key, o, p, s); why != "" {
			return dropped(why)
		}
		s = m.sessions[key]
	}
	if p.ttl <= 1 {
		return m.refuse(p, outsider(p), HopLimit)
	}
	if p.isFragment() {
		m.firstInward(p, s, key)
	}
	m.track(key, s, p, false)
	p.translate(destSide, o.internal)
	return m.deliver(p, key.Compartment, s.Network, o.internal.Addr())
}

// takeOver: the endpoint has a session with the same remote by another external
// port, and could not tell the two flows apart. One that it opened itself gives
// way to a mapping, but not with TCP: a forged SYN would cut a connection.
func (m *Model) takeOver(key SessionKey, o owner, p *packet, s *Session) Reason {
	other := m.bindings[s.binding]
	if o.mapping == 0 || key.Protocol == model.TCP || other != nil && other.Configured {
		return SessionClash
	}
	m.endSession(key)
	return m.openInward(key, o, p, false)
}

// openInward opens a session for a packet to an external address and port.
func (m *Model) openInward(key SessionKey, o owner, p *packet, hairpin bool) Reason {
	if why := m.admit(key, o); why != "" {
		return why
	}
	if !p.isFirst() {
		return NoSession
	}
	s := Session{Network: o.network, External: p.dest, binding: o.at, hairpin: hairpin}
	mapping, mapped := m.config.Mappings[o.mapping]
	if mapped && mapping.External.IsRange() {
		if !m.joinRange(o.mapping, o.at, o.internal) {
			return m.refused(TableFull, key, mapping.NAT, o.network)
		}
	} else {
		m.join(o.at)
	}
	b := m.bindings[o.at]
	s.NAT, s.spread = b.NAT, len(mapping.Targets) > 1
	s.guest = !b.Configured && !hairpin && !(key.Protocol == model.UDP && m.config.NATs[b.NAT].UDPInboundRefresh)
	return m.open(key, s)
}

// impossible: an address that nobody outside can have: an inside one, ours, or
// none at all (RFC 1812 section 5.3.7, martian addresses).
func (m *Model) impossible(source netip.Addr) bool {
	return m.config.isInside(source) || m.config.isHost(source) || staysOnLink(source)
}

// isHosts: what no session expects may be for the host. A program of the host
// keeps a port that it binds while a NAT uses it; a mapping's port is the
// mapping's. A mapping on any address means the host's.
func (m *Model) isHosts(p *packet, o owner) bool {
	if p.protocol == model.ICMP {
		return true
	}
	if o.at.External.Addr().IsUnspecified() && !m.config.isHost(p.dest.Addr()) {
		return true
	}
	return o.mapping == 0 && m.config.listens(p.protocol, p.dest)
}

// admit is RFC 4787 section 5 (REQ-8) and RFC 5382 REQ-3: who may open a
// session from outside.
func (m *Model) admit(key SessionKey, o owner) Reason {
	if o.mapping != 0 {
		if !m.config.Mappings[o.mapping].letsIn(key.Remote.Addr()) {
			return RemoteNotAllowed
		}
		return ""
	}
	if m.isIdle(o.at) {
		return MappingIdle
	}
	switch m.config.NATs[o.binding.NAT].filtering(key.Protocol) {
	case model.EndpointIndependent:
		return ""
	case model.AddressDependent:
		for known, s := range m.sessions {
			if s.binding == o.at && !s.guest && known.Remote.Addr() == key.Remote.Addr() {
				return ""
			}
		}
	}
	return Filtered
}

// deliver addresses a frame to an endpoint; for others on the bridge the kernel
// writes the Ethernet header.
func (m *Model) deliver(p *packet, compartment, network uint32, to netip.Addr) Result {
	e, managed := m.config.endpointAt(compartment, to)
	if !managed {
		e, managed = m.config.behind(compartment, to)
	}
	if managed {
		gateway := m.config.Networks[e.Network].GatewayMAC
		copy(p.frame[:6], e.MAC[:])
		copy(p.frame[6:12], gateway[:])
	} else if h, held := m.holders[place{compartment, to}]; held {
		gateway := m.config.Networks[network].GatewayMAC
		copy(p.frame[:6], h.mac[:])
		copy(p.frame[6:12], gateway[:])
	}
	return Result{Verdict: Inward, Frame: p.frame}
}

// toOutside is the leak guard, and notes from where the host talks.
func (m *Model) toOutside(p *packet, marked bool) Result {
	if marked {
		return passed()
	}
	if p.ether() == etherARP {
		if len(p.frame) >= ethernet+28 && m.config.isInside(p.address(ethernet+14)) {
			return dropped(Untranslated) // the host does not speak under its gateways' addresses
		}
		return passed()
	}
	if p.ether() != etherIPv4 || !p.parseIP() {
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
	if p.protocol != model.ICMP && (port < 1024 || port >= free.Low && port <= free.High) {
		return passed() // no NAT takes such a port by itself
	}
	key := BindingKey{p.protocol, p.source}
	noted, known := m.hostPorts[key]
	if known && noted+hostPortPrecision < m.now || !known && m.bindings[key] == nil {
		m.hostPorts[key] = m.now
	}
	return passed()
}
