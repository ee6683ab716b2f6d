package natmodel

import (
	"net/netip"
	"time"

	"github.com/hostnat/hostnat/internal/model"
)

// fragmentMemory is how long a datagram's first fragment is remembered. RFC 6146
// section 4 asks for 2 seconds at least.
const fragmentMemory = 15 * time.Second

// dontFragment is DF, as packet.fragment has it.
const dontFragment = 0x4000

// outsideRealm stands in for a compartment.
const outsideRealm = ^uint32(0)

// fragmentKey is RFC 791's: the datagram that fragments belong to.
type fragmentKey struct {
	realm        uint32
	source, dest netip.Addr
	id           uint16
	protocol     model.Protocol
}

// fragment is how the first one was translated; the others have no ports.
type fragment struct {
	expires     time.Duration
	address     netip.Addr // what the translated end becomes
	source      netip.Addr // of a hairpin: then both ends are translated
	id          uint16     // outward, hairpin
	compartment uint32     // inward, hairpin
	network     uint32
}

func (p *packet) fragmentKey(realm uint32) fragmentKey {
	return fragmentKey{realm, p.source.Addr(), p.dest.Addr(), p.id, p.protocol}
}

// firstOutward gives the datagram an identification of its own: those of two
// endpoints meet under one address (RFC 3022 section 6.3, RFC 7857 section 10).
func (m *Model) firstOutward(p *packet, compartment uint32, s *Session) {
	id := m.choice.FragmentID
	for key, f := range m.fragments {
		if key.realm != outsideRealm && f.address == s.External.Addr() && key.dest == p.dest.Addr() &&
			key.protocol == p.protocol && f.id == id && key != p.fragmentKey(compartment) {
			m.refuseChoice("identification %d is that of another datagram from %v to %v", id, f.address, key.dest)
		}
	}
	m.fragments[p.fragmentKey(compartment)] = fragment{expires: m.now + fragmentMemory, address: s.External.Addr(), id: id}
	p.setID(id)
}

func (p *packet) setID(id uint16) { p.editIP(func() { p.put16(ethernet+4, id) }) }

func (m *Model) laterOutward(p *packet, compartment uint32) Result {
	first, has := m.fragments[p.fragmentKey(compartment)]
	if !has && m.config.isHost(p.dest.Addr()) { // the host's own, unless it is a hairpin's: a copy goes to the reassembly namespace
		if p.turns > 0 {
			return dropped(FirstFragmentOffset)
		}
		return passed()
	}
	if !has {
		if p.turns > 0 || !m.config.Reassembly {
			return dropped(FirstFragmentOffset)
		}
		return toReassembly(p)
	}
	if p.ttl <= 1 {
		return dropped(HopLimit)
	}
	if first.source.IsValid() {
		p.setID(first.id)
		p.hop(sourceSide, first.source)
		p.readdress(destSide, first.address)
		return m.deliver(p, first.compartment, first.network, first.address)
	}
	if p.length > m.config.MTU { // its first one was not: no stack cuts like that
		return dropped(TooBig)
	}
	p.setID(first.id)
	p.hop(sourceSide, first.address)
	return Result{Verdict: Outward, Frame: p.frame}
}

func (m *Model) firstInward(p *packet, s *Session, key SessionKey) {
	m.fragments[p.fragmentKey(outsideRealm)] = fragment{
		expires: m.now + fragmentMemory, address: key.Internal.Addr(), compartment: key.Compartment, network: s.Network,
	}
}

// firstAcross is the first fragment of a hairpin.
func (m *Model) firstAcross(p *packet, compartment uint32, s *Session, far SessionKey, t *Session) {
	id := m.choice.FragmentID
	m.fragments[p.fragmentKey(compartment)] = fragment{
		expires: m.now + fragmentMemory, address: far.Internal.Addr(), source: s.External.Addr(), id: id,
		compartment: far.Compartment, network: t.Network,
	}
	p.setID(id)
}

func (m *Model) laterInward(p *packet) Result {
	first, has := m.fragments[p.fragmentKey(outsideRealm)]
	if !has { // the host's, or of a datagram out of order: a copy goes to the reassembly namespace
		return m.foreign(p)
	}
	if p.ttl <= 1 {
		return dropped(HopLimit)
	}
	p.hop(destSide, first.address)
	return m.deliver(p, first.compartment, first.network, first.address)
}

// toReassembly: to where the kernel waits for a datagram's first fragment, or cuts
// what is too big; it comes again from there (RFC 4787 REQ-13a, REQ-14).
func toReassembly(p *packet) Result { return Result{Verdict: ToReassembly, Frame: p.frame} }

// maxTurns: one for order and one for size.
const maxTurns = 2

// tooBig has a packet cut if it may be (RFC 791), or else refuses it.
func (m *Model) tooBig(p *packet, from sender) Result {
	if m.config.Reassembly && p.fragment&dontFragment == 0 && p.turns < maxTurns {
		return toReassembly(p)
	}
	return m.refuse(p, from, TooBig)
}

// forgetFirst: a first fragment that is nobody's here ends what an older
// datagram with the same identification left.
func (m *Model) forgetFirst(p *packet, realm uint32) {
	if p.isFragment() && !p.isLaterFragment() {
		delete(m.fragments, p.fragmentKey(realm))
	}
}
