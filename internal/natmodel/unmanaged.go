package natmodel

import (
	"net/netip"
	"slices"

	"github.com/hostnat/hostnat/internal/model"
)

// fromBridge handles what comes up a bridge from a port that is not managed.
func (m *Model) fromBridge(p *packet, network uint32) Result {
	n := m.config.Networks[network]
	if p.ether() != etherIPv4 || !p.isTo(n.GatewayMAC) {
		return passed()
	}
	if !p.parseIP() {
		return dropped(Malformed)
	}
	result := m.unmanaged(p, sender{network, n})
	lost := n.Apart || len(n.Elsewhere) > 0 && m.config.isElsewhere(p.source.Addr())
	if lost && result.Verdict == Passed {
		return m.toHostApart(p, sender{network, n})
	}
	return result
}

// toHostApart: the host's answer would go by its routing tables, and so perhaps
// to another network, but for what needs no route. Sockets that are bound to the
// bridge there are none here.
func (m *Model) toHostApart(p *packet, from sender) Result {
	switch {
	case staysOnLink(p.dest.Addr()):
		return passed()
	case p.isFragment() || p.parseL4() != "":
		return m.refuse(p, from, Isolated)
	case p.protocol == model.ICMP && p.icmpType == echoRequest && m.config.isHost(p.dest.Addr()):
		return Result{Verdict: Answered, Frame: p.echoed()}
	case p.protocol == model.ICMP && p.icmpType == echoReply, p.fromDHCPClient():
		return passed()
	}
	return m.refuse(p, from, Isolated)
}

// echoed is the answer to an echo request (RFC 1122 section 3.2.2.6).
func (p *packet) echoed() []byte {
	from, to := p.source.Addr(), p.dest.Addr()
	p.readdress(sourceSide, to)
	p.readdress(destSide, from)
	p.put16(p.l4+2, adjust(p.u16(p.l4+2), []byte{echoRequest, 0}, []byte{echoReply, 0}))
	p.frame[p.l4] = echoReply
	return slices.Concat(p.frame[6:12], p.frame[:6], p.frame[12:])
}

// fromPort handles what comes by a port that some tool plugged into a network's
// bridge: it may not speak for the gateway, an endpoint, who else has an address
// by DHCP, or as a DHCP server.
func (m *Model) fromPort(p *packet, network uint32) Result {
	n := m.config.Networks[network]
	if MAC(p.frame[6:12]) == n.GatewayMAC {
		return dropped(SpoofedSource)
	}
	switch p.ether() {
	case etherIPv4:
	case etherARP:
		return m.checkUnmanagedARP(p, n)
	default:
		return passed()
	}
	if !p.parseIP() {
		return dropped(Malformed)
	}
	if m.config.isAnothersLease(n, p.source.Addr(), MAC(p.frame[6:12])) && !p.fromDHCPClient() {
		return dropped(SpoofedSource)
	}
	if p.isTo(n.GatewayMAC) {
		return m.unmanaged(p, sender{network, n})
	}
	if p.forDHCPClient() {
		return dropped(RogueServer)
	}
	if from := p.source.Addr(); n.Subnet.Contains(from) && !m.isUnmanaged(n, from) {
		return dropped(SpoofedSource)
	}
	return passed() // switched, not routed
}

func (m *Model) checkUnmanagedARP(p *packet, n Network) Result {
	if len(p.frame) < ethernet+28 {
		return dropped(Malformed)
	}
	claims := p.address(ethernet + 14)
	if _, managed := m.config.endpointAt(n.Compartment, claims); managed || claims == n.Gateway ||
		m.config.isAnothersLease(n, claims, MAC(p.frame[ethernet+8:])) {
		return dropped(SpoofedSource)
	}
	return passed()
}

// isUnmanaged: an address of the subnet that is nobody's whom we know.
func (m *Model) isUnmanaged(n Network, a netip.Addr) bool {
	_, managed := m.config.endpointAt(n.Compartment, a)
	return n.Subnet.Contains(a) && a != n.Gateway && !managed
}

// unmanaged handles a packet for the gateway from somebody who is no endpoint. It
// needs an address of the subnet that is nobody else's.
func (m *Model) unmanaged(p *packet, from sender) Result {
	if nobodys(p.dest.Addr()) {
		return dropped(MartianDestination)
	}
	if staysOnLink(p.dest.Addr()) {
		return passed()
	}
	if !m.isUnmanaged(from.Network, p.source.Addr()) {
		if m.config.isHost(p.dest.Addr()) { // a managed endpoint's, looked at on its own link
			return passed()
		}
		if p.fromDHCPClient() { // to the server, which goes by the MAC, and to nobody else
			return passed()
		}
		return dropped(SpoofedSource)
	}
	return m.routed(p, from)
}
