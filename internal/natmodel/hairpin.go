package natmodel

import "github.com/hostnat/hostnat/internal/model"

// isPublished reports whether an address and port of the host leads to an
// endpoint. An echo to its address the host answers itself.
func (m *Model) isPublished(p *packet) bool {
	o, found := m.ownerOf(p.protocol, p.dest, p.source)
	return p.protocol != model.ICMP && found && !o.isHoldDown() && (o.mapping != 0 || !m.config.listens(p.protocol, p.dest))
}

// hairpin hands a packet to the endpoint that its destination leads to, which
// sees the sender's external address and port (RFC 4787 REQ-9a, RFC 5382 REQ-8).
// Each side has a session of its own, by its own rules.
func (m *Model) hairpin(p *packet, key SessionKey, s *Session) Result {
	far, o, found := m.farSide(key, s)
	if !found {
		return dropped(NoMapping)
	}
	if m.sessions[far] == nil {
		if o.isHoldDown() {
			return dropped(NoMapping)
		}
		if why := m.openInward(far, o, p, true); why != "" {
			return dropped(why)
		}
	}
	t := m.sessions[far]
	if t.External != p.dest {
		return dropped(SessionClash)
	}
	if p.isFragment() {
		m.firstAcross(p, key.Compartment, s, far, t)
	}
	m.track(key, s, p, true)
	m.track(far, t, p, false)
	p.translate(sourceSide, s.External)
	p.rewrite(destSide, o.internal)
	return m.deliver(p, far.Compartment, t.Network, o.internal.Addr())
}

// farSide is the other end of a hairpin: the key of its session, and whose it is.
func (m *Model) farSide(key SessionKey, s *Session) (SessionKey, owner, bool) {
	o, found := m.ownerOf(key.Protocol, key.Remote, s.External)
	return SessionKey{o.compartment, key.Protocol, o.internal, s.External}, o, found
}

// errorHairpin is an error to an address of the host: about a hairpinned packet
// it goes on to who sent that (RFC 5508 REQ-7), else it is the host's.
func (m *Model) errorHairpin(p *packet, compartment uint32) Result {
	q, ok := p.parseQuote()
	if !ok || q.dest.Addr() != p.source.Addr() || q.source.Addr() != p.dest.Addr() {
		return passed()
	}
	key := SessionKey{compartment, q.protocol, q.dest, q.source}
	s := m.sessions[key]
	if s == nil || !s.hairpin {
		return passed()
	}
	far, o, found := m.farSide(key, s)
	t := m.sessions[far]
	if !found || t == nil || t.External != q.source {
		return dropped(ICMPErrorNoSession)
	}
	if p.ttl <= 1 {
		return dropped(HopLimit)
	}
	q.translate(destSide, s.External, p.l4+2)
	q.translate(sourceSide, o.internal, p.l4+2)
	p.hop(sourceSide, s.External.Addr())
	p.readdress(destSide, o.internal.Addr())
	return m.deliver(p, far.Compartment, t.Network, o.internal.Addr())
}
