package natmodel

import (
	"net/netip"
	"slices"

	"github.com/hostnat/hostnat/internal/model"
)

// sender is who is told if a packet cannot go on.
type sender struct {
	network uint32
	Network
}

// fromEndpoint handles what a managed endpoint sends. It may speak for itself
// alone: its own MAC, its own address.
func (m *Model) fromEndpoint(p *packet, e Endpoint) Result {
	n := m.config.Networks[e.Network]
	if !e.hasMAC(MAC(p.frame[6:12])) {
		return dropped(SpoofedSource)
	}
	switch p.ether() {
	case etherIPv4:
	case etherARP:
		return checkARP(p, e, n)
	case etherIPv6:
		return dropped(IPv6)
	default:
		return dropped(Protocol)
	}
	if !p.parseIP() {
		return dropped(Malformed)
	}
	toGateway := MAC(p.frame[:6]) == n.GatewayMAC
	if !e.speaksFrom(p.source.Addr(), n, toGateway) { // BCP 38
		if p.fromDHCPClient() {
			return passed()
		}
		return dropped(SpoofedSource)
	}
	if !toGateway {
		if p.forDHCPClient() && !n.DHCPInside {
			return dropped(RogueServer)
		}
		return passed() // switched, not routed
	}
	return m.routed(p, sender{e.Network, n})
}

// speaksFrom: an endpoint may send from its own address and from what else it has, and
// one that forwards may send to its neighbours from any but the gateway's.
func (e Endpoint) speaksFrom(a netip.Addr, n Network, toGateway bool) bool {
	return a == e.Address || a != n.Gateway && (e.owns(a) || e.Forwards && !toGateway)
}

const dhcpServer, dhcpClient = 67, 68

var broadcast = netip.AddrFrom4([4]byte{255, 255, 255, 255})

// fromDHCPClient: it may have no address yet, or one of before (RFC 2131 section 4.1).
func (p *packet) fromDHCPClient() bool {
	return p.protocol == model.UDP && !p.isFragment() && p.parseL4() == "" &&
		p.source.Port() == dhcpClient && p.dest.Port() == dhcpServer
}

// forDHCPClient: nobody inside answers as a server.
func (p *packet) forDHCPClient() bool {
	return p.protocol == model.UDP && !p.isLaterFragment() && p.parseL4() == "" && p.dest.Port() == dhcpClient
}

// checkARP: an endpoint speaks of itself; RFC 5227 section 1.1's probe claims nothing.
func checkARP(p *packet, e Endpoint, n Network) Result {
	if len(p.frame) < ethernet+28 {
		return dropped(Malformed)
	}
	claims := p.address(ethernet + 14)
	if !e.hasMAC(MAC(p.frame[ethernet+8:ethernet+14])) || !e.speaksFrom(claims, n, true) && !claims.IsUnspecified() {
		return dropped(SpoofedSource)
	}
	return passed()
}

// staysOnLink: no destination beyond the link (RFC 1812 section 5.3.7, RFC 6890).
func staysOnLink(a netip.Addr) bool {
	return a.IsMulticast() || a.As4()[0] >= 240 || a.IsLoopback() || a.As4()[0] == 0
}

// nobodys: no honest destination of a packet on a wire (RFC 1122 section 3.2.1.3).
func nobodys(a netip.Addr) bool {
	first := a.As4()[0]
	return first == 0 || first == 127 || first >= 240 && a != broadcast
}

// isPublishedAtGateway: what is published on all addresses of the host answers at
// the gateway's too, but not in the place of the network's name server.
func (m *Model) isPublishedAtGateway(p *packet, n Network) bool {
	const dns = 53
	return (p.protocol == model.TCP || p.protocol == model.UDP) && !p.isLaterFragment() && p.parseL4() == "" &&
		!(n.Names && p.dest.Port() == dns) && m.isPublished(p)
}

// routed handles a packet from the inside whose source has been checked.
func (m *Model) routed(p *packet, from sender) Result {
	switch {
	case nobodys(p.dest.Addr()):
		return dropped(MartianDestination)
	case staysOnLink(p.dest.Addr()):
		return passed()
	case from.Subnet.Contains(p.dest.Addr()):
		if p.dest.Addr() == from.Gateway && from.NAT != 0 && m.isPublishedAtGateway(p, from.Network) {
			return m.outward(p, from)
		}
		if from.EndpointsIsolated && !m.config.isHost(p.dest.Addr()) {
			return m.refuse(p, from, Isolated)
		}
		return passed()
	case p.hasSourceRoute():
		return dropped(SourceRoute)
	case m.isRouted(from, p.dest.Addr()):
		return m.between(p, from)
	case from.NAT == 0:
		return m.refuse(p, from, NoNAT)
	case p.dest.Addr().IsLinkLocalUnicast() && !m.config.NATs[from.NAT].LinkLocal:
		return m.refuse(p, from, LinkLocal)
	case !p.hasPorts():
		return m.oneToOneOutward(p, from)
	case p.isLaterFragment():
		return m.laterOutward(p, from.Compartment)
	}
	if why := p.parseL4(); why != "" {
		return dropped(why)
	}
	if p.isICMPError() {
		if m.config.isHost(p.dest.Addr()) {
			return m.errorHairpin(p, from.Compartment)
		}
		return m.errorOutward(p, from.Compartment)
	}
	if p.protocol == model.ICMP && p.icmpType != echoRequest { // RFC 5508 REQ-11: of the rest, requests alone have sessions
		if m.config.isHost(p.dest.Addr()) {
			return passed()
		}
		return dropped(NoSession)
	}
	return m.outward(p, from)
}

func outwardKey(p *packet, compartment uint32) SessionKey {
	key := SessionKey{compartment, p.protocol, p.source, p.dest}
	if p.protocol == model.ICMP {
		key.Remote = netip.AddrPortFrom(p.dest.Addr(), 0)
	}
	return key
}

// outward translates a packet from the inside.
func (m *Model) outward(p *packet, from sender) Result {
	key := outwardKey(p, from.Compartment)
	s, known := m.sessions[key]
	if !known {
		hosts := m.config.isHost(p.dest.Addr())
		switch {
		case hosts && !m.isPublished(p):
			m.forgetFirst(p, from.Compartment)
			return passed()
		case !hosts && m.config.isolates(from.Compartment, p.dest.Addr()):
			return m.refuse(p, from, Isolated)
		case !p.isFirst() && m.isTransparent(p):
			return Result{Verdict: ToSocket, Frame: p.frame}
		case !p.isFirst():
			return m.refuse(p, from, NoSession)
		case p.ttl <= 1:
			return m.refuse(p, from, HopLimit)
		}
		if why := m.openOutward(key, from, hosts); why != "" {
			return m.refuse(p, from, why) // RFC 5508 REQ-8, RFC 6888 REQ-11
		}
		s = m.sessions[key]
	}
	// Before anything is rewritten, so that no answer shows what it must not.
	if p.ttl <= 1 {
		return m.refuse(p, from, HopLimit)
	}
	if s.hairpin {
		return m.hairpin(p, key, s)
	}
	if p.wireLength() > m.config.MTU {
		return m.tooBig(p, from)
	}
	m.track(key, s, p, true)
	if p.isFragment() {
		m.firstOutward(p, from.Compartment, s)
	} else if p.fragment&dontFragment == 0 { // a router may still fragment it: RFC 7857 section 10
		p.setID(m.choice.FragmentID)
	}
	p.translate(sourceSide, s.External)
	return Result{Verdict: Outward, Frame: p.frame}
}

func (m *Model) openOutward(key SessionKey, from sender, hairpin bool) Reason {
	if m.config.isInside(key.Remote.Addr()) {
		return NoExternalAddress // another network's gateway: not where the NAT has addresses
	}
	way, why := m.bind(key, from.network)
	if why != "" {
		return why
	}
	return m.open(key, Session{
		NAT: from.NAT, Network: from.network, External: way.external, binding: way.binding, dependent: way.dependent, hairpin: hairpin,
	})
}

// isTransparent: the answer to a program of ours that speaks to the endpoint
// under the address of a remote.
func (m *Model) isTransparent(p *packet) bool {
	return p.protocol == model.TCP && slices.Contains(m.config.Transparent, Transparent{Remote: p.dest, Internal: p.source})
}
