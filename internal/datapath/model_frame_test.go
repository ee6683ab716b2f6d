package datapath

import (
	"encoding/binary"
	"net/netip"
	"testing"

	"github.com/hostnat/hostnat/internal/datapath/dptest/wire"
	"github.com/hostnat/hostnat/internal/model"
	"github.com/hostnat/hostnat/internal/natmodel"
)

// busyWorld has everything that a frame may meet, whatever is in it.
var busyWorld = world{
	Rules:    rules{HoldDown: 120, EndpointDependent: true, Limits: model.Limits{Sessions: 20, Ports: 20}},
	Mappings: map[uint32]bool{1: true, 3: true, 5: true, 6: true, 7: true, 8: true, 9: true},
	OneToOne: true, Open: true, Unrouted: true, Socket: true, Sessions: twinSessions, Bindings: twinBindings,
}

// FuzzFrame hands any bytes at all to each of the programs, as a frame and then
// as one more, while some sessions live: none may do what the model does not.
func FuzzFrame(f *testing.F) {
	w := newTwin(f)
	for i, o := range openers {
		a := o.arrival(nil)
		f.Add(uint8(i), a.Frame, a.Frame)
	}
	gateway, to := twinNetworks[1].GatewayMAC, at(wire.RemoteAddress, 80)
	for i, s := range []wire.Segment{
		{Protocol: model.TCP, Flags: wire.SynAck, From: to, To: at(wire.HostAddress, 2000)},
		{Protocol: model.UDP, From: at(inside2, 1000), To: to, Fragment: 0x2000, Options: []byte{1, 1, 131, 3, 4, 0, 0, 0}},
		{Protocol: model.ICMP, From: at(inside2, 7), To: to},
		{Protocol: model.TCP, Flags: wire.Syn, From: to, To: at(wire.HostAddress, 9100), Options: []byte{7, 7, 4, 1, 1, 1, 1, 0}},
	} {
		f.Add(uint8(i), wire.Ethernet(natMAC(twinMAC(0x21)), gateway, wire.EtherIPv4, s.IP()), wire.Ethernet(natMAC(twinMAC(0x31)), natMAC(outsideMAC), wire.EtherIPv4, s.IP()))
	}
	f.Add(uint8(1), wire.Ethernet(natMAC(twinMAC(0x21)), gateway, wire.EtherARP, arpBody(operation{}, parties[0])), make([]byte, 64))
	f.Fuzz(func(t *testing.T, at uint8, first, second []byte) {
		check(t, w.host.Do(func() error { return w.frames(arrivalAt(at, first), arrivalAt(at>>1, second)) }))
	})
}

// openers open a session each.
var openers = []operation{
	{Protocol: model.UDP}, {Protocol: model.TCP, Flags: wire.Syn, Port: 1}, {Protocol: model.ICMP, Who: 1}, {Protocol: model.UDP, Who: 2},
}

func (w *twin) frames(arrivals ...natmodel.Arrival) error {
	p, err := w.begin(busyWorld)
	if err != nil {
		return err
	}
	var all []natmodel.Arrival
	for _, o := range openers {
		all = append(all, o.arrival(p.model))
	}
	for _, a := range append(all, arrivals...) {
		if !runnable(a.Frame) || hasNoRoute(a.Frame) {
			continue
		}
		if err := p.step(a); err != nil {
			return err
		}
	}
	return p.finish()
}

// runnable: a test run takes no less, since nothing shorter comes by a wire.
func runnable(frame []byte) bool {
	if len(frame) < 14 || len(frame) > 2000 {
		return false
	}
	return len(frame) >= shortestFrame || binary.BigEndian.Uint16(frame[12:]) != wire.EtherIPv4
}

// hasNoRoute: the model knows no routes. Nobody is routed to the ends of the
// outside's subnet (RFC 2644; TestDirectedBroadcastIsNotForwarded).
func hasNoRoute(frame []byte) bool {
	if len(frame) < 34 {
		return false
	}
	to := netip.AddrFrom4([4]byte(frame[30:34]))
	return to == netip.MustParseAddr("203.0.113.0") || to == netip.MustParseAddr("203.0.113.255")
}

func arrivalAt(at uint8, frame []byte) natmodel.Arrival {
	hooks := []natmodel.Hook{natmodel.FromEndpoint, natmodel.FromOutside, natmodel.FromBridge, natmodel.ToOutside, natmodel.FromPort}
	a := natmodel.Arrival{Hook: hooks[at%5], Network: uint32(at/5%3) + 1, Endpoint: int(at / 5 % 3), Turns: int(at / 15 % 3), Frame: frame}
	if a.Hook == natmodel.FromPort {
		a.Network = 1
	}
	return a
}
