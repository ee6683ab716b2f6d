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
	lost := n.Unrouted || len(n.HostOverlap) > 0 && m.config.isHostOverlap(p.source.Addr())
	if lost && result.Verdict == Passed {
		return m.toHostUnrouted(p, sender{network, n})
	}
	return result
}

// toHostUnrouted: the host's answer would go by its routing tables, and so perhaps
// to another network, but for what needs no route. Sockets that are bound to the
// bridge there are none here.
func (m *Model) toHostUnrouted(p *packet, from sender) Result {
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
// bridge: what good switches call port security, dynamic ARP inspection, IP source
// guard, DHCP snooping, router advertisement guard and BPDU guard.
func (m *Model) fromPort(p *packet, network uint32) Result {
	n, from := m.config.Networks[network], MAC(p.frame[6:12])
	if reason := m.checkFrame(p, network, n, from); reason != "" {
		return dropped(reason)
	}
	switch p.ether() {
	case etherIPv4:
		return m.portIP(p, network, n, from)
	case etherARP:
		return verdictOf(m.checkPortARP(p, n, from))
	case etherIPv6:
		return verdictOf(checkIPv6(p))
	}
	return passed()
}

func verdictOf(reason Reason) Result {
	if reason != "" {
		return dropped(reason)
	}
	return passed()
}

// checkFrame looks at the Ethernet header alone.
func (m *Model) checkFrame(p *packet, network uint32, n Network, from MAC) Reason {
	to := MAC(p.frame[:6])
	switch {
	case [5]byte(to[:5]) == [5]byte{1, 0x80, 0xc2} && to[5] < 0x10, [5]byte(to[:5]) == [5]byte{1, 0, 0x0c, 0xcc, 0xcc}:
		return BridgeProtocol
	case isEncapsulation(p.ether()):
		return Encapsulated
	case from[0]&1 != 0, from == MAC{}, from == n.GatewayMAC:
		return SpoofedSource
	}
	return m.checkStation(network, from)
}

// isEncapsulation: VLAN tags, 802.1ah, MPLS, PPPoE, and lengths, behind which is LLC.
func isEncapsulation(ether uint16) bool {
	return ether < 0x0600 || slices.Contains([]uint16{0x8100, 0x88a8, 0x88e7, 0x9100, 0x8847, 0x8848, 0x8863, 0x8864}, ether)
}

// checkStation: each network of the model has one plugged-in port, so that a MAC
// is elsewhere only if it is an attached endpoint's.
func (m *Model) checkStation(network uint32, from MAC) Reason {
	for _, e := range m.config.Endpoints {
		if e.Network == network && e.MAC == from {
			return MACElsewhere
		}
	}
	return ""
}

func (m *Model) portIP(p *packet, network uint32, n Network, from MAC) Result {
	if !p.parseIP() {
		return dropped(Malformed)
	}
	source, toGateway := p.source.Addr(), p.isTo(n.GatewayMAC)
	if !source.IsUnspecified() || toGateway {
		reason := m.checkSource(n, source, from)
		if reason != "" && p.fromDHCPClient() { // to the server, and to nobody behind the host's routing
			return passed()
		}
		if reason != "" {
			return dropped(reason)
		}
	}
	switch {
	case !toGateway && p.forDHCPClient() && !n.DHCPInside:
		return dropped(RogueServer)
	case !toGateway:
		return passed() // switched, not routed
	case nobodys(p.dest.Addr()):
		return dropped(MartianDestination)
	case staysOnLink(p.dest.Addr()):
		return passed()
	}
	return m.routed(p, sender{network, n})
}

// checkPortARP: who speaks says so by its own MAC, and has the address or is the first to use it.
func (m *Model) checkPortARP(p *packet, n Network, from MAC) Reason {
	if len(p.frame) < ethernet+28 || [6]byte(p.frame[ethernet:]) != [6]byte{0, 1, 8, 0, 6, 4} {
		return Malformed
	}
	if MAC(p.frame[ethernet+8:]) != from {
		return SpoofedSource
	}
	claims := p.address(ethernet + 14)
	if claims.IsUnspecified() {
		return ""
	}
	return m.checkSource(n, claims, from)
}

// checkSource says whether a MAC may speak for an address.
func (m *Model) checkSource(n Network, a netip.Addr, from MAC) Reason {
	first, last := n.Subnet.Masked().Addr(), lastOf(n.Subnet)
	if !m.isUnmanaged(n, a) || a == first || a == last || m.config.isAnothersLease(n, a, from) {
		return SpoofedSource
	}
	key := place{n.Compartment, a}
	h, held := m.holders[key]
	if held && h.mac != from {
		return AddressElsewhere
	}
	m.holders[key] = holder{from}
	return ""
}

// lastOf is the subnet's broadcast address.
func lastOf(subnet netip.Prefix) netip.Addr {
	b := subnet.Masked().Addr().As4()
	for bit := subnet.Bits(); bit < 32; bit++ {
		b[bit/8] |= 0x80 >> (bit % 8)
	}
	return netip.AddrFrom4(b)
}

// Extension headers and messages of IPv6 (RFC 8200, RFC 4861, RFC 8415).
const (
	ipv6Header      = 40
	ipv6Headers     = 8 // that are looked through
	hopByHop        = 0
	routing         = 43
	fragmentHeader  = 44
	authentication  = 51
	icmpv6          = 58
	destOptions     = 60
	routerAdvert    = 134
	redirect        = 137
	dhcpv6Server    = 547
	fragmentOffsets = 0xfff8
)

// checkIPv6: nobody at a port is a router or a DHCPv6 server (RFC 6105). A chain
// of headers that hides what is behind it is refused (RFC 7113 section 2).
func checkIPv6(p *packet) Reason {
	at := ethernet + ipv6Header
	if len(p.frame) < at {
		return Malformed
	}
	next := p.frame[ethernet+6]
	for range ipv6Headers {
		switch next {
		case icmpv6:
			if len(p.frame) <= at || p.frame[at] == routerAdvert || p.frame[at] == redirect {
				return RogueRouter
			}
			return ""
		case uint8(model.UDP):
			if len(p.frame) < at+4 || p.u16(at) == dhcpv6Server {
				return RogueServer
			}
			return ""
		case hopByHop, routing, destOptions, fragmentHeader, authentication:
		default:
			return ""
		}
		if len(p.frame) < at+4 {
			return RogueRouter
		}
		is, size := next, (int(p.frame[at+1])+1)*8
		next = p.frame[at]
		switch is {
		case fragmentHeader:
			if p.u16(at+2)&fragmentOffsets != 0 {
				return ""
			}
			size = 8
		case authentication:
			size = (int(p.frame[at+1]) + 2) * 4
		}
		at += size
	}
	return RogueRouter
}

// isUnmanaged: an address of the subnet that is nobody's whom we know.
func (m *Model) isUnmanaged(n Network, a netip.Addr) bool {
	_, managed := m.config.endpointAt(n.Compartment, a)
	_, behind := m.config.behind(n.Compartment, a)
	return n.Subnet.Contains(a) && a != n.Gateway && !managed && !behind
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
