package natmodel

import (
	"net/netip"
	"time"

	"github.com/hostnat/hostnat/internal/nat"
)

// fragmentMemory is how long a datagram's first fragment is remembered. RFC 6146
// section 4 asks for 2 seconds at least.
const fragmentMemory = 15 * time.Second

// outsideRealm stands in for a compartment.
const outsideRealm = ^uint32(0)

// fragmentKey is RFC 791's: the datagram that fragments belong to.
type fragmentKey struct {
	realm        uint32
	source, dest netip.Addr
	id           uint16
	protocol     nat.Protocol
}

// fragment is how the first one was translated; the others have no ports.
type fragment struct {
	expires     time.Duration
	address     netip.Addr // what the translated end becomes
	id          uint16     // outward
	compartment uint32     // inward
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
	if !has {
		return dropped(FirstFragmentOffset)
	}
	if p.ttl <= 1 {
		return dropped(HopLimit)
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

func (m *Model) laterInward(p *packet) Result {
	first, has := m.fragments[p.fragmentKey(outsideRealm)]
	if !has {
		return m.foreign(p)
	}
	if p.ttl <= 1 {
		return dropped(HopLimit)
	}
	p.hop(destSide, first.address)
	return m.deliver(p, first.compartment, first.network, first.address)
}
