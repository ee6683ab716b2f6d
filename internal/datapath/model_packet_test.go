package datapath

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"net/netip"
	"slices"

	"github.com/hostnat/hostnat/internal/datapath/dptest/wire"
	"github.com/hostnat/hostnat/internal/datapath/kernel"
	"github.com/hostnat/hostnat/internal/model"
	"github.com/hostnat/hostnat/internal/natmodel"
)

// party is somebody inside who sends.
type party struct {
	hook        natmodel.Hook
	endpoint    int
	network     uint32
	compartment uint32
	address     netip.Addr
	mac         natmodel.MAC
}

var parties = []party{
	{natmodel.FromEndpoint, 0, 1, 1, inside2, twinMAC(0x21)},
	{natmodel.FromEndpoint, 1, 2, 2, inside2, twinMAC(0x22)},
	{natmodel.FromBridge, 0, 1, 1, unplugged, twinMAC(0x29)},
	{natmodel.FromEndpoint, 2, 3, 1, inside3, twinMAC(0x23)},
	{natmodel.FromPort, 0, 1, 1, plugged, twinMAC(0x28)},
	{natmodel.FromBridge, 0, 2, 2, unplugged, twinMAC(0x2a)},
	{natmodel.FromEndpoint, 0, 1, 1, behind2, twinMAC(0x21)}, // if it is allowed
	{natmodel.FromEndpoint, 0, 1, 1, shared2, groupMAC},
}

var (
	insidePorts = []uint16{1000, 1001, 1002, 53}
	remotePorts = []uint16{80, 7777, 1000}
	remotes     = []netip.Addr{wire.RemoteAddress, netip.MustParseAddr("198.51.100.7"), netip.MustParseAddr("198.51.100.8")}
	// What a session may be asked for from outside: the pools' and others.
	externalPorts = []uint16{2000, 2001, 2002, 2003, 2004, 2005, 2006, 3000, 3001, 4000, 4001, 8080, 8081, 9000, 9100, 9101, 40000, 9200}
	hostTalks     = []uint16{2000, 2002, 2003, 3000, 53, 40000}
)

func (o operation) remote() netip.AddrPort {
	return netip.AddrPortFrom(remotes[o.Remote], remotePorts[o.RemotePort])
}

// arrival makes the packet that the operation stands for now.
func (o operation) arrival(m *natmodel.Model) natmodel.Arrival {
	switch o.Kind {
	case kindReply, kindIn, kindNear, kindErrorIn, kindErrorOut:
		if key, s, has := o.session(m); has {
			return o.onSession(key, s)
		}
	case kindPort:
		to := []netip.Addr{wire.HostAddress, secondAddress, netip.MustParseAddr("203.0.113.77"), inside2}[min(o.Who, o.Port, 3)]
		return o.fromOutside(o.remote(), netip.AddrPortFrom(to, externalPorts[(o.Pick+8*o.Bit)%len(externalPorts)]))
	case kindHairpin:
		return o.hairpin(m)
	case kindEgress:
		return o.egress()
	case kindOther:
		return o.other()
	}
	return o.fromInside(parties[o.Who], netip.AddrPortFrom(parties[o.Who].address, insidePorts[o.Port]), o.remote())
}

// session picks one that lives, in an order that does not depend on chance.
func (o operation) session(m *natmodel.Model) (natmodel.SessionKey, *natmodel.Session, bool) {
	keys := make([]natmodel.SessionKey, 0, len(m.Sessions()))
	for k := range m.Sessions() {
		keys = append(keys, k)
	}
	if len(keys) == 0 {
		return natmodel.SessionKey{}, nil, false
	}
	slices.SortFunc(keys, func(a, b natmodel.SessionKey) int {
		return cmp.Or(cmp.Compare(a.Compartment, b.Compartment), cmp.Compare(a.Protocol, b.Protocol),
			a.Internal.Compare(b.Internal), a.Remote.Compare(b.Remote))
	})
	key := keys[o.Pick%len(keys)]
	return key, m.Sessions()[key], true
}

func (o operation) onSession(key natmodel.SessionKey, s *natmodel.Session) natmodel.Arrival {
	o.Protocol = key.Protocol
	owner := parties[0] // who has further addresses
	if i := slices.IndexFunc(parties, func(p party) bool { return p.compartment == key.Compartment && p.address == key.Internal.Addr() }); i >= 0 {
		owner = parties[i]
	}
	switch o.Kind {
	case kindReply:
		return o.fromInside(owner, key.Internal, key.Remote)
	case kindNear:
		return o.fromOutside(o.remote(), s.External)
	case kindErrorIn:
		from := netip.AddrPortFrom(remotes[o.Remote], 0)
		sent := o.quoted(s.External, key.Remote, false)
		return o.errorFrom(o.fromOutside(from, netip.AddrPortFrom(s.External.Addr(), 0)), from.Addr(), s.External.Addr(), sent)
	case kindErrorOut:
		received := o.quoted(key.Remote, key.Internal, true)
		a := o.fromInside(owner, key.Internal, key.Remote)
		return o.errorFrom(a, key.Internal.Addr(), key.Remote.Addr(), received)
	}
	return o.fromOutside(key.Remote, s.External)
}

func (o operation) fromInside(p party, from, to netip.AddrPort) natmodel.Arrival {
	gateway := kernel.MACOf(twinNetworks[p.network].GatewayMAC)
	if o.turns() > 0 && p.hook == natmodel.FromEndpoint {
		p.mac = twinEndpoints[p.endpoint].MAC // what else comes from the reassembly namespace is for the endpoint
	}
	switch o.Odd {
	case oddSource:
		from = netip.AddrPortFrom([]netip.Addr{unplugged, inside2, inside3, wire.HostAddress, gateway1, wire.RemoteAddress, behind2, shared2}[o.Value%8], from.Port())
	case oddDestination:
		to = netip.AddrPortFrom(oddDestinations[o.Value%len(oddDestinations)], to.Port())
		if o.Bit == 1 {
			from, to = netip.AddrPortFrom(from.Addr(), 68), netip.AddrPortFrom(to.Addr(), 67)
		}
	case oddMAC:
		if o.Bit == 1 {
			to = netip.AddrPortFrom(to.Addr(), 68)
		}
		switch o.Value % 5 {
		case 4:
			p.mac = groupMAC
		case 0:
			p.mac = twinMAC(0x77)
		case 1:
			gateway = twinMAC(0x29)
		case 2:
			gateway = natmodel.MAC{255, 255, 255, 255, 255, 255}
		case 3:
			p.mac = gateway
		}
	}
	a := natmodel.Arrival{Hook: p.hook, Endpoint: p.endpoint, Network: p.network, Turns: o.turns()}
	a.Frame = o.frame(p.mac, gateway, from, to, o.Protocol == model.ICMP && o.Kind == kindIn)
	return o.segmented(a)
}

var oddDestinations = []netip.Addr{
	inside2, unplugged, gateway1, inside3, netip.MustParseAddr("224.0.0.251"), netip.MustParseAddr("255.255.255.255"),
	netip.MustParseAddr("0.0.0.0"), netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("169.254.1.1"), netip.MustParseAddr("240.0.0.1"),
	netip.MustParseAddr("172.16.3.77"), netip.MustParseAddr("203.0.113.77"), behind2, shared2, netip.MustParseAddr("10.50.0.255"),
}

var oddSources = []netip.Addr{
	inside2, inside3, gateway1, netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("0.0.0.0"), netip.MustParseAddr("224.0.0.1"),
	netip.MustParseAddr("255.255.255.255"), wire.HostAddress, secondAddress, netip.MustParseAddr("203.0.113.77"), behind2,
}

func (o operation) fromOutside(from, to netip.AddrPort) natmodel.Arrival {
	if o.Odd == oddSource {
		from = netip.AddrPortFrom(oddSources[o.Value%len(oddSources)], from.Port())
	}
	if o.Odd == oddDestination {
		to = netip.AddrPortFrom([]netip.Addr{inside2, inside3, netip.MustParseAddr("203.0.113.77")}[o.Value%3], to.Port())
	}
	host := outsideMAC
	if o.Odd == oddMAC {
		host = []natmodel.MAC{{255, 255, 255, 255, 255, 255}, twinMAC(0x77)}[o.Value%2]
	}
	return o.segmented(natmodel.Arrival{Hook: natmodel.FromOutside, Turns: o.turns(), Frame: o.frame(twinMAC(0x31), host, from, to, o.Protocol == model.ICMP)})
}

// shortestFrame is the least of IPv4 that a test run takes: both headers.
const shortestFrame = 14 + 20

// shortConnection is a TCP connection from the inside that is over at once.
func (p *pairOf) shortConnection(o operation) error {
	o.Protocol, o.Odd = model.TCP, plain
	who := parties[o.Who]
	from, to := netip.AddrPortFrom(who.address, insidePorts[o.Port]), o.remote()
	for _, o.Flags = range []byte{wire.Syn, wire.SynAck, wire.Rst} {
		a := o.fromInside(who, from, to)
		if o.Flags == wire.SynAck {
			session := p.model.Sessions()[natmodel.SessionKey{Compartment: who.compartment, Protocol: model.TCP, Internal: from, Remote: to}]
			if session == nil {
				return nil // refused
			}
			a = o.fromOutside(to, session.External)
		}
		if err := p.step(a); err != nil {
			return err
		}
	}
	return nil
}

// turns: fragments and what is big may have been in the reassembly namespace.
func (o operation) turns() int {
	if o.Odd == oddFirstFragment || o.Odd == oddLaterFragment || o.Odd == oddBig {
		return []int{0, 0, 1, 2}[o.Byte%4]
	}
	return 0
}

// segmented makes a packet one that the kernel cuts up later.
func (o operation) segmented(a natmodel.Arrival) natmodel.Arrival {
	if o.Odd == oddGSO && o.Protocol != model.ICMP && o.Kind != kindErrorIn && o.Kind != kindErrorOut {
		a.Segments = 1 + o.Bit
		a.Segment = []int{500, twinMTU - 40, twinMTU - 39, twinMTU - 28, twinMTU - 27}[o.Value%5]
	}
	return a
}

// follow is a later fragment of a datagram, by its first one.
func (o operation) follow(first natmodel.Arrival) natmodel.Arrival {
	header := min(max(shortestFrame, 14+int(first.Frame[14]&15)*4), len(first.Frame)) // a damaged one's may be said to be less
	a := first
	a.Turns = []int{0, 0, 0, 1, 2}[o.Size%5]
	payload := bytes.Repeat([]byte{byte(o.Size)}, []int{8, 24, 560, 580, 588}[o.Port+o.RemotePort/2])
	a.Frame = append(slices.Clone(first.Frame[:header]), payload...)
	if a.Turns > 0 && a.Hook == natmodel.FromEndpoint && len(a.Frame) >= 12 && natmodel.MAC(a.Frame[6:12]) == groupMAC {
		copy(a.Frame[6:12], twinEndpoints[a.Endpoint].MAC[:])
	}
	ip := a.Frame[14:]
	binary.BigEndian.PutUint16(ip[2:], uint16(len(ip)))
	binary.BigEndian.PutUint16(ip[6:], []uint16{0x2003, 0x0003, 0x0045}[o.Remote])
	if len(ip) >= 20 {
		fixIP(ip, false)
	}
	return a
}

// hairpin goes to what a session has outside, or to any external port.
func (o operation) hairpin(m *natmodel.Model) natmodel.Arrival {
	hosts := []netip.Addr{wire.HostAddress, wire.HostAddress, secondAddress, gateway3}
	to := netip.AddrPortFrom(hosts[o.Remote+o.RemotePort/2], externalPorts[(o.Pick+8*o.Bit+4*o.ICMPType)%len(externalPorts)])
	if _, s, has := o.session(m); has && o.RemotePort == 0 {
		to = s.External
	}
	return o.fromInside(parties[o.Who], netip.AddrPortFrom(parties[o.Who].address, insidePorts[o.Port]), to)
}

func (o operation) egress() natmodel.Arrival {
	from := []netip.Addr{wire.HostAddress, secondAddress, inside2, inside3}[o.Who%4]
	port := hostTalks[o.Pick%len(hostTalks)]
	a := natmodel.Arrival{Hook: natmodel.ToOutside, Marked: o.Bit == 1}
	a.Frame = o.frame(outsideMAC, twinMAC(0x31), netip.AddrPortFrom(from, port), o.remote(), false)
	return a
}

// other makes frames that are not IPv4.
func (o operation) other() natmodel.Arrival {
	p := parties[o.Who]
	ether := []uint16{wire.EtherARP, wire.EtherARP, wire.EtherIPv6, wire.EtherVLAN, 0x88cc, wire.EtherARP}[o.ICMPType]
	a := natmodel.Arrival{Hook: []natmodel.Hook{p.hook, p.hook, natmodel.FromOutside, natmodel.ToOutside}[o.Port]}
	a.Endpoint, a.Network = p.endpoint, p.network
	payload := make([]byte, 60)
	if ether == wire.EtherARP {
		payload = arpBody(o, p)
	}
	a.Frame = wire.Ethernet(natMAC(p.mac), twinNetworks[p.network].GatewayMAC, ether, payload)
	return a
}

func arpBody(o operation, p party) []byte {
	b := make([]byte, 28, 46)
	copy(b, []byte{0, 1, 8, 0, 6, 4, 0, 1})
	copy(b[8:], p.mac[:])
	copy(b[14:], p.address.AsSlice())
	copy(b[24:], remotes[o.Remote].AsSlice())
	switch o.RemotePort {
	case 1:
		copy(b[14:], []netip.Addr{netip.IPv4Unspecified(), gateway1, unplugged, wire.RemoteAddress, inside2, shared2, behind2}[o.Pick%7].AsSlice())
	case 2:
		if o.Size > 8 {
			return b[:o.Size+8]
		}
		b[8+o.Pick%6] ^= 1
	}
	return append(b, make([]byte, 18)...)
}

// segment is the packet with what is odd in its fields.
func (o operation) segment(from, to netip.AddrPort, reply bool) wire.Segment {
	s := wire.Segment{Protocol: o.Protocol, From: from, To: to, Flags: o.Flags, Reply: reply, Payload: bytes.Repeat([]byte{byte(o.Size), 0xa5}, o.Size)}
	switch o.Odd {
	case oddTTL:
		s.TTL = []byte{1, 2, 255}[o.Value%3]
	case oddFirstFragment:
		s.Fragment = 0x2000
	case oddLaterFragment:
		s.Fragment = []uint16{0x2001, 0x0001, 0x3fff, 0x0100}[o.Value%4]
	case oddOptions:
		s.Options = bytes.Repeat([]byte{1}, 4*(1+o.Value%10))
		if o.Byte%4 == 0 { // a source route
			copy(s.Options, [][]byte{{131, 3, 4}, {1, 137, 3, 4}, {137, 2}, {0, 131, 3, 4}}[o.Bit%4])
		}
	case oddBig:
		s.Payload = make([]byte, []int{600 - 28, 600 - 27, 600 - 40, 600 - 39, 1400}[o.Value%5])
		if o.Bit > 3 {
			s.Fragment = []uint16{0x4000, 0x4000, 0x2000, 0x2001, 0x6000}[o.Bit-3]
		}
	case oddGSO:
		s.Payload = make([]byte, 1400)
	case oddTrailer, oddByte:
		if o.Bit == 1 {
			s.Fragment = 0x2000
		}
	}
	return s
}

func (o operation) frame(src, dst natmodel.MAC, from, to netip.AddrPort, reply bool) []byte {
	s := o.segment(from, to, reply)
	ip := s.IP()
	l4 := 20 + len(s.Options)
	binary.BigEndian.PutUint16(ip[4:], uint16(0x7000+o.Port)) // identification: few, so that datagrams meet
	switch o.Odd {
	case oddProtocol:
		ip[9] = []byte{47, 50, 132, 2, 0, 136, 33}[o.Value%7]
	case oddQuery:
		if s.Protocol == model.ICMP {
			ip[l4] = byte(o.Value % 20)
		}
	case oddNoChecksum:
		if s.Protocol == model.UDP {
			ip[l4+6], ip[l4+7] = 0, 0
			if o.Bit == 1 {
				ip[l4+6], ip[l4+7] = 255, 255
			}
		}
	case oddChecksum:
		at := l4 + map[model.Protocol]int{model.TCP: 16, model.UDP: 6, model.ICMP: 2}[s.Protocol]
		ip[at], ip[at+1] = byte(o.Value), byte(o.Byte)
	case oddLength:
		binary.BigEndian.PutUint16(ip[2:], uint16(len(ip)-o.Value%48))
	}
	return o.damage(wire.Ethernet(natMAC(src), natMAC(dst), wire.EtherIPv4, fixIP(ip, o.Odd == oddIPChecksum)))
}

// fixIP makes the header checksum right again, or wrong.
func fixIP(ip []byte, wrong bool) []byte {
	header := min(int(ip[0]&15)*4, len(ip))
	ip[10], ip[11] = 0, 0
	binary.BigEndian.PutUint16(ip[10:], ^wire.Checksum(0, ip[:header]))
	if wrong {
		ip[10] ^= 0x40
	}
	return ip
}

// damage cuts, lengthens or changes a frame.
func (o operation) damage(frame []byte) []byte {
	switch o.Odd {
	case oddTrailer:
		return append(frame, bytes.Repeat([]byte{0xee}, 1+o.Value%30)...)
	case oddShort:
		return frame[:max(shortestFrame, min(len(frame), 14+o.Byte))]
	case oddByte:
		at := 14 + o.Byte
		if at < len(frame) && (at < 14+12 || at >= 14+20) { // other addresses are for oddSource and oddDestination
			frame[at] ^= byte(max(1, o.Value))
		}
	}
	return frame
}

// quoted is the packet that an error is about.
func (o operation) quoted(from, to netip.AddrPort, reply bool) []byte {
	q := operation{Protocol: o.Protocol, Flags: o.Flags, Size: o.Size, Odd: o.Odd, Value: o.Value, Byte: o.Byte, Bit: o.Bit}
	if q.Odd != oddOptions && q.Odd != oddChecksum && q.Odd != oddNoChecksum && q.Odd != oddIPChecksum && q.Odd != oddLaterFragment &&
		q.Odd != oddProtocol {
		q.Odd = plain
	}
	if q.Odd == oddOptions && o.Bit == 1 {
		q.Odd = plain // the error's own then
	}
	if o.Protocol == model.ICMP {
		from, to = netip.AddrPortFrom(from.Addr(), max(from.Port(), to.Port())), netip.AddrPortFrom(to.Addr(), max(from.Port(), to.Port()))
	}
	return q.frame(twinMAC(1), twinMAC(2), from, to, reply)[14:]
}

// errorFrom turns an arrival into an ICMP error that quotes a packet.
func (o operation) errorFrom(a natmodel.Arrival, from, to netip.Addr, quoted []byte) natmodel.Arrival {
	icmpType := []byte{3, 3, 11, 12, 3, 3}[o.ICMPType]
	code := []byte{3, 4, 0, 0, 1, 13}[o.ICMPType]
	full := int(quoted[0]&15)*4 + 8
	if o.Size%3 > 0 { // only 8 bytes of it, or a little more
		quoted = quoted[:min(len(quoted), full+o.Size/3)]
	}
	icmp := append([]byte{icmpType, code, 0, 0, 0, 0, 2, 88}, quoted...)
	if o.Size == 11 { // RFC 4884: padded to 128 bytes, an extension behind
		icmp = append(icmp, make([]byte, max(0, 8+128-len(icmp)))...)
		icmp[5] = 32
		icmp = append(icmp, 0x20, 0, 0, 0, 0, 8, 1, 1, 0, 1, 2, 3)
	}
	binary.BigEndian.PutUint16(icmp[2:], ^wire.Checksum(0, icmp))
	s := wire.Segment{Protocol: model.ICMP, From: netip.AddrPortFrom(from, 0), To: netip.AddrPortFrom(to, 0)}
	if o.Odd == oddTTL {
		s.TTL = []byte{1, 2, 255}[o.Value%3]
	}
	if o.Odd == oddOptions && o.Bit == 1 {
		s.Options = []byte{1, 1, 1, 1}
	}
	if o.Odd == oddSource { // somebody else's error, or about somebody else
		s.From = netip.AddrPortFrom(remotes[o.Value%3], 0)
		if a.Hook != natmodel.FromOutside {
			s.To, s.From = s.From, netip.AddrPortFrom(from, 0)
		}
	}
	ip := append(s.IP()[:20+len(s.Options)], icmp...)
	binary.BigEndian.PutUint16(ip[2:], uint16(len(ip)))
	if o.Odd == oddLength {
		binary.BigEndian.PutUint16(ip[2:], uint16(len(ip)-o.Value%48))
	}
	a.Frame = o.damage(append(slices.Clone(a.Frame[:14]), fixIP(ip, o.Odd == oddIPChecksum)...))
	return a
}
