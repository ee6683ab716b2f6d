package datapath

import (
	"net/netip"

	"github.com/hostnat/hostnat/internal/datapath/dptest/wire"
	"github.com/hostnat/hostnat/internal/model"
	"github.com/hostnat/hostnat/internal/natmodel"
)

// What a row of disagreements sends.

func at(a netip.Addr, port uint16) netip.AddrPort { return netip.AddrPortFrom(a, port) }

// inside sends a packet from one of the parties; its bytes may be changed.
func (p *pairOf) inside(party int, s wire.Segment, changes ...func(ip []byte)) error {
	from := parties[party]
	ip := s.IP()
	for _, change := range changes {
		change(ip)
	}
	frame := wire.Ethernet(natMAC(from.mac), twinNetworks[from.network].GatewayMAC, wire.EtherIPv4, ip)
	return p.step(natmodel.Arrival{Hook: from.hook, Endpoint: from.endpoint, Network: from.network, Frame: frame})
}

func (p *pairOf) fromOutside(s wire.Segment) error {
	return p.step(natmodel.Arrival{Hook: natmodel.FromOutside, Frame: wire.Ethernet(natMAC(twinMAC(0x31)), natMAC(outsideMAC), wire.EtherIPv4, s.IP())})
}

func (p *pairOf) toOutside(s wire.Segment) error {
	return p.step(natmodel.Arrival{Hook: natmodel.ToOutside, Frame: wire.Ethernet(natMAC(outsideMAC), natMAC(twinMAC(0x31)), wire.EtherIPv4, s.IP())})
}

// talk is a TCP connection from the first endpoint.
func (p *pairOf) talk(steps ...wire.Step) error {
	from, to := at(inside2, 1000), at(wire.RemoteAddress, 80)
	for _, s := range steps {
		err := error(nil)
		if s.Out {
			err = p.inside(0, wire.Segment{Protocol: model.TCP, Flags: s.Flags, From: from, To: to})
		} else {
			_, session, _ := operation{}.session(p.model)
			err = p.fromOutside(wire.Segment{Protocol: model.TCP, Flags: s.Flags, From: to, To: session.External})
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// udp is a datagram of one of the parties.
func (p *pairOf) ping(id uint16) error {
	return p.inside(0, wire.Segment{Protocol: model.ICMP, From: at(inside2, id), To: at(wire.RemoteAddress, 0)})
}

func (p *pairOf) udp(party int, port uint16, to netip.AddrPort) error {
	return p.inside(party, wire.Segment{Protocol: model.UDP, From: at(parties[party].address, port), To: to})
}
