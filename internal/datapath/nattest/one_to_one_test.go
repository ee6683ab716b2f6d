package nattest

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/hostnat/hostnat/dev/lab"
	"github.com/hostnat/hostnat/internal/datapath"
	"github.com/hostnat/hostnat/internal/datapath/dptest"
	"github.com/hostnat/hostnat/internal/datapath/dptest/wire"
	"github.com/hostnat/hostnat/internal/model"
)

// portless are the protocols that a mapping of a whole address carries beside
// TCP and UDP, and one that has no name.
var portless = []model.Protocol{wire.Sctp, wire.Gre, wire.Esp, wire.UdpLite, wire.Dccp, wire.Ipip, 99}

var mappedAddress = netip.MustParseAddr("203.0.113.9")

func atMapped(port uint16) netip.AddrPort { return netip.AddrPortFrom(mappedAddress, port) }

// mapOneToOne is a mapping of 203.0.113.9 to endpoint i, as package reconcile tells it.
func mapOneToOne(r *dptest.Rig, i int, from ...string) {
	all := model.PortRange{Low: 1, High: 65535}
	m := dptest.Mapping(model.TCP, "203.0.113.9:1", wire.Inside(i, 1), from...)
	m.External.Ports, m.Targets[0].Internal.Ports = all, all
	r.Config.OneToOne = map[uint32]datapath.OneToOne{7: {
		NAT:         wire.RigNAT,
		Compartment: wire.RigCompartment, Network: wire.RigNetwork, External: mappedAddress, Internal: wire.EndpointAddress(i), From: m.From,
	}}
	r.Config.Mappings[7|1<<30] = m
	m.Protocol = model.UDP
	r.Config.Mappings[7|1<<31] = m
}

func newOneToOneRig(t *testing.T, endpoints int) *dptest.Rig {
	t.Helper()
	r := dptest.NewRig(t, endpoints)
	for i := range endpoints {
		r.Mute(t, i)
	}
	wire.Must(t, r.Host.AddAddress(lab.HostLink, "203.0.113.9/32"))
	r.Config.HostAddresses[mappedAddress] = r.Outside
	mapOneToOne(r, 0)
	r.Apply(t)
	return r
}

// portlessPacket is a packet of such a protocol with 8 bytes in front of the
// payload, in them the checksum that counts the addresses, if there is one.
func portlessPacket(p model.Protocol, from, to netip.Addr, payload string) wire.Segment {
	s := wire.Segment{Protocol: p, From: netip.AddrPortFrom(from, 0), To: netip.AddrPortFrom(to, 0)}
	// To IPIP this is an inner header without length: the kernel looks for its transport header.
	s.Payload = append([]byte{0x10, 0x90, 0x1f, 0x90, 0, 0, 0, 0}, payload...)
	if p == wire.UdpLite || p == wire.Dccp {
		binary.BigEndian.PutUint16(s.Payload[6:], ^wire.Checksum(s.Pseudo(len(s.Payload)), s.Payload))
	}
	return s
}

// carries matches packets that are the same as if they had been sent with these
// addresses, checksum included.
func carries(p model.Protocol, from, to netip.Addr, payload string, ttl byte) func(wire.Packet) bool {
	want := portlessPacket(p, from, to, payload).Payload
	return func(got wire.Packet) bool {
		return wire.Is(p, netip.AddrPortFrom(from, 0), netip.AddrPortFrom(to, 0))(got) && got.TTL == ttl &&
			string(got.Data[34:min(len(got.Data), 34+len(want))]) == string(want)
	}
}

// RFC 3022 section 2.1: of what has no ports the address alone is replaced, and
// in the checksums that count it (RFC 3828 section 3.1, RFC 4340 section 9).
func TestOneToOneCarriesProtocolsWithoutPorts(t *testing.T) {
	t.Parallel()
	r := newOneToOneRig(t, 2)
	remote := wire.Unanswered(7, 0).Addr()
	for i, p := range portless {
		text := fmt.Sprintf("protocol %d", p)
		r.FromEndpoint(t, 0, portlessPacket(p, wire.EndpointAddress(0), remote, text))
		r.AtRemote.Await(t, text+" outward", 1, carries(p, mappedAddress, remote, text, 63))
		r.FromRemote(t, portlessPacket(p, remote, mappedAddress, text))
		r.AtEndpoint[0].Await(t, text+" inward", 1, carries(p, remote, wire.EndpointAddress(0), text, 63))
		// The address is one endpoint's: another one of the network has none.
		r.FromEndpoint(t, 1, portlessPacket(p, wire.EndpointAddress(1), remote, "neighbour"))
		r.Dropped(t, "protocol-unsupported", uint64(i+1))
		// Nor is the host's own address the endpoint's.
		r.FromRemote(t, portlessPacket(p, remote, wire.HostAddress, "host"))
	}
	marks(t, r)
	if got := r.AtEndpoint[0].Came(func(p wire.Packet) bool { return slices.Contains(portless, p.Protocol) }); len(got) != len(portless) {
		t.Errorf("%d packets came in, want %d: %v", len(got), len(portless), got)
	}
	if got := r.AtRemote.Came(func(p wire.Packet) bool { return slices.Contains(portless, p.Protocol) }); len(got) != len(portless) {
		t.Errorf("%d packets went out, want %d: %v", len(got), len(portless), got)
	}
	if d := r.Drops(t); len(d) != 1 {
		t.Errorf("drops %v", d)
	}
}

// Two endpoints that have an address each talk by those (RFC 4787 REQ-9a), one
// with itself too; who has none is refused, and who may not is dropped.
func TestOneToOneAddressesTalkToEachOther(t *testing.T) {
	t.Parallel()
	r := newOneToOneRig(t, 3)
	second := netip.MustParseAddr("203.0.113.10")
	wire.Must(t, r.Host.AddAddress(lab.HostLink, "203.0.113.10/32"))
	r.Config.HostAddresses[second] = r.Outside
	r.Config.OneToOne[8] = datapath.OneToOne{NAT: wire.RigNAT, Compartment: wire.RigCompartment, Network: wire.RigNetwork, External: second, Internal: wire.EndpointAddress(1)}
	r.Apply(t)
	for _, p := range portless {
		text := fmt.Sprintf("protocol %d", p)
		r.FromEndpoint(t, 0, portlessPacket(p, wire.EndpointAddress(0), second, text))
		r.AtEndpoint[1].Await(t, text+" across", 1, carries(p, mappedAddress, wire.EndpointAddress(1), text, 63))
		r.FromEndpoint(t, 1, portlessPacket(p, wire.EndpointAddress(1), mappedAddress, text))
		r.AtEndpoint[0].Await(t, text+" back", 1, carries(p, second, wire.EndpointAddress(0), text, 63))
	}
	r.FromEndpoint(t, 0, portlessPacket(wire.Gre, wire.EndpointAddress(0), mappedAddress, "itself"))
	r.AtEndpoint[0].Await(t, "from itself", 1, carries(wire.Gre, mappedAddress, wire.EndpointAddress(0), "itself", 63))
	r.FromEndpoint(t, 2, portlessPacket(wire.Gre, wire.EndpointAddress(2), second, "has none"))
	r.Dropped(t, "protocol-unsupported", 1)
	mapOneToOne(r, 0, "198.51.100.0/24") // makes the list anew, for remotes of that prefix alone
	r.Config.OneToOne[8] = datapath.OneToOne{NAT: wire.RigNAT, Compartment: wire.RigCompartment, Network: wire.RigNetwork, External: second, Internal: wire.EndpointAddress(1)}
	r.Apply(t)
	r.FromEndpoint(t, 1, portlessPacket(wire.Gre, wire.EndpointAddress(1), mappedAddress, "not on the list"))
	r.Dropped(t, "remote-not-allowed", 1)
}

// marks sends a datagram to the endpoint behind what was sent before, and waits for it.
func marks(t *testing.T, r *dptest.Rig) {
	t.Helper()
	r.FromRemote(t, wire.Segment{Protocol: model.UDP, From: wire.Unanswered(9, 99), To: atMapped(99), Payload: []byte("marker")})
	r.AtEndpoint[0].Await(t, "marker", 1, wire.Says("marker"))
}

// The address has all TCP and UDP ports; pings are the host's to answer.
func TestOneToOneAddressHasAllPorts(t *testing.T) {
	t.Parallel()
	r := newOneToOneRig(t, 1)
	for i, port := range []uint16{1, 22, 1024, 40000, 65535} {
		for _, p := range []model.Protocol{model.TCP, model.UDP} {
			from := wire.Unanswered(byte(10+i), 4000)
			r.FromRemote(t, wire.Segment{Protocol: p, Flags: wire.Syn, From: from, To: atMapped(port)})
			r.AtEndpoint[0].Await(t, fmt.Sprint(p, " to port ", port), 1, wire.Is(p, from, wire.Inside(0, port)))
			r.FromEndpoint(t, 0, wire.Segment{Protocol: p, Flags: wire.SynAck, From: wire.Inside(0, port), To: from})
			r.AtRemote.Await(t, fmt.Sprint(p, " from port ", port), 1, wire.Is(p, atMapped(port), from))
		}
	}
	r.FromRemote(t, wire.Segment{Protocol: model.ICMP, From: netip.AddrPortFrom(wire.RemoteAddress, 5), To: atMapped(0), Payload: []byte("ping")})
	r.AtRemote.Await(t, "the host's answer", 1, func(p wire.Packet) bool {
		return p.Protocol == model.ICMP && p.From.Addr() == mappedAddress && p.Data[34] == 0
	})
	if got := r.AtEndpoint[0].Came(func(p wire.Packet) bool { return p.Protocol == model.ICMP }); len(got) != 0 {
		t.Errorf("the ping came in: %v", got)
	}
}

// A sum of zero is 0xffff with UDP-Lite, where no sum at all would be an error.
func TestUDPLiteChecksumIsNeverZero(t *testing.T) {
	t.Parallel()
	r := newOneToOneRig(t, 1)
	remote := wire.Unanswered(7, 0).Addr()
	sent := portlessPacket(wire.UdpLite, wire.EndpointAddress(0), remote, "\x00\x00zero")
	translated := portlessPacket(wire.UdpLite, mappedAddress, remote, "\x00\x00zero")
	copy(sent.Payload[8:], translated.Payload[6:8]) // what is missing to zero
	binary.BigEndian.PutUint16(sent.Payload[6:], 0)
	binary.BigEndian.PutUint16(sent.Payload[6:], ^wire.Checksum(sent.Pseudo(len(sent.Payload)), sent.Payload))
	r.FromEndpoint(t, 0, sent)
	got := r.AtRemote.Await(t, "UDP-Lite", 1, wire.Is(wire.UdpLite, atMapped(0), wire.Unanswered(7, 0)))
	if sum := binary.BigEndian.Uint16(got[0].Data[34+6:]); sum != 0xffff {
		t.Errorf("checksum %#x", sum)
	}
}

// Each fragment has the addresses: in whatever order, nothing waits for another.
func TestFragmentsOfProtocolsWithoutPorts(t *testing.T) {
	t.Parallel()
	r := newOneToOneRig(t, 1)
	r.AddReassembly(t)
	remote := wire.Unanswered(7, 0).Addr()
	atRemote, atEndpoint := wire.Assemble(t, r.Remote, lab.RemoteLink), wire.Assemble(t, r.Endpoints[0], "eth0")
	for i, p := range portless {
		for n, order := range [][]int{{0, 1, 2}, {2, 1, 0}, {1, 0, 2}} {
			text := fmt.Sprintf("protocol %d order %d", p, n)
			body := string(wire.Long(text, 3000))
			id := uint16(100 + 10*i + n)
			out, in := portlessPacket(p, wire.EndpointAddress(0), remote, body), portlessPacket(p, remote, mappedAddress, body)
			out.ID, in.ID = id, id
			r.IPFromEndpoint(t, 0, wire.Pick(wire.CutUp(out.IP(), 1400), order...)...)
			r.IPFromRemote(t, wire.Pick(wire.CutUp(in.IP(), 1400), order...)...)
			got, w := atRemote.Await(t, p, text)
			wantWhole(t, text+" outward", got, w, portlessPacket(p, mappedAddress, remote, body), 3)
			got, w = atEndpoint.Await(t, p, text)
			wantWhole(t, text+" inward", got, w, portlessPacket(p, remote, wire.EndpointAddress(0), body), 3)
		}
	}
	if d := r.Drops(t); len(d) != 0 {
		t.Errorf("drops %v", d)
	}
}

// wantWhole holds a datagram against the one that should have come.
func wantWhole(t *testing.T, what string, got wire.Packet, w wire.Whole, want wire.Segment, pieces int) {
	t.Helper()
	if got.From != want.From || got.To != want.To || got.TTL != 63 || string(w.Datagram[20:]) != string(want.Payload) {
		t.Errorf("%s: from %v to %v with TTL %d, payload right: %v", what, got.From, got.To, got.TTL, string(w.Datagram[20:]) == string(want.Payload))
	}
	if w.Pieces < pieces {
		t.Errorf("%s: %d pieces, want %d", what, w.Pieces, pieces)
	}
}

// RFC 791, RFC 1191: what is too big for the way on is cut if it may be, and
// answered with the MTU if not, in both directions.
func TestTooBigWithoutPorts(t *testing.T) {
	t.Parallel()
	r := newOneToOneRig(t, 1)
	r.AddReassembly(t)
	remote := wire.Unanswered(7, 0).Addr()
	atRemote, atEndpoint := wire.Assemble(t, r.Remote, lab.RemoteLink), wire.Assemble(t, r.Endpoints[0], "eth0")
	const dontFragment = 0x4000
	wire.Must(t, r.Host.SetMTU(lab.HostLink, wire.Narrow))
	for i, p := range portless {
		text := fmt.Sprintf("protocol %d", p)
		body := string(wire.Long(text, 1400))
		out := portlessPacket(p, wire.EndpointAddress(0), remote, body)
		out.ID = uint16(i + 1)
		r.FromEndpoint(t, 0, out)
		got, w := atRemote.Await(t, p, text)
		wantWhole(t, text+" outward", got, w, portlessPacket(p, mappedAddress, remote, body), 2)
		out.Fragment = dontFragment
		r.FromEndpoint(t, 0, out)
		r.Dropped(t, "packet-too-big", uint64(i+1))
	}
	r.AtEndpoint[0].Await(t, "errors inside", len(portless), tooBig(netip.MustParseAddr("172.16.1.1"), wire.EndpointAddress(0)))
	wire.Must(t, r.Host.SetMTU(lab.HostLink, 1500))
	r.Config.Endpoints[0].MTU = wire.Narrow
	r.Apply(t)
	for i, p := range portless {
		text := fmt.Sprintf("protocol %d", p)
		body := string(wire.Long(text, 1400))
		in := portlessPacket(p, remote, mappedAddress, body)
		in.ID = uint16(i + 1)
		r.FromRemote(t, in)
		got, w := atEndpoint.Await(t, p, text)
		wantWhole(t, text+" inward", got, w, portlessPacket(p, remote, wire.EndpointAddress(0), body), 2)
		in.Fragment = dontFragment
		r.FromRemote(t, in)
		r.Dropped(t, "packet-too-big", uint64(len(portless)+i+1))
	}
	r.AtRemote.Await(t, "errors outside", len(portless), tooBig(mappedAddress, remote))
	atRemote.CheckPieces(t, wire.Narrow)
	atEndpoint.CheckPieces(t, wire.Narrow)
}

func tooBig(from, to netip.Addr) func(wire.Packet) bool {
	return func(p wire.Packet) bool {
		return p.Protocol == model.ICMP && p.From.Addr() == from && p.To.Addr() == to && p.Data[34] == 3 && p.Data[35] == 4 &&
			binary.BigEndian.Uint16(p.Data[34+6:]) == wire.Narrow
	}
}

// The list is held against TCP, UDP and all else alike; the endpoint itself may
// talk to anybody.
func TestOneToOneAddressIsOpenToAllowedRemotesAlone(t *testing.T) {
	t.Parallel()
	r := newOneToOneRig(t, 1)
	mapOneToOne(r, 0, "198.51.100.8/31")
	r.Apply(t)
	all := append([]model.Protocol{model.TCP, model.UDP}, portless...)
	for i, p := range all {
		for _, from := range []byte{7, 8, 9, 10} {
			s := portlessPacket(p, wire.Unanswered(from, 0).Addr(), mappedAddress, "asks")
			if p == model.TCP || p == model.UDP {
				s = wire.Segment{Protocol: p, Flags: wire.Syn, From: wire.Unanswered(from, 80), To: atMapped(80)}
			}
			r.FromRemote(t, s)
		}
		r.Dropped(t, "remote-not-allowed", uint64(2*i+2))
		came := r.AtEndpoint[0].Await(t, fmt.Sprint("protocol ", p), 2, func(got wire.Packet) bool { return got.Protocol == p })
		for _, got := range came {
			if a := got.From.Addr(); a != wire.Unanswered(8, 0).Addr() && a != wire.Unanswered(9, 0).Addr() {
				t.Errorf("protocol %d of %v came in", p, a)
			}
		}
	}
	for _, p := range portless {
		r.FromEndpoint(t, 0, portlessPacket(p, wire.EndpointAddress(0), wire.Unanswered(7, 0).Addr(), "asks"))
		r.AtRemote.Await(t, fmt.Sprint("protocol ", p), 1, carries(p, mappedAddress, wire.Unanswered(7, 0).Addr(), "asks", 63))
	}
	// Who may not come in is not told that there is anything.
	for _, ttl := range []byte{0, 1} {
		last := portlessPacket(wire.Esp, wire.Unanswered(8, 0).Addr(), mappedAddress, "late")
		last.TTL = max(ttl, 1)
		r.FromRemote(t, last)
		r.Dropped(t, "hop-limit", uint64(ttl)+1)
	}
	if got := r.AtRemote.Came(wire.Is(model.ICMP, netip.AddrPort{}, netip.AddrPort{})); len(got) != 0 {
		t.Errorf("told: %v", got)
	}
}

// RFC 1812 section 5.3.1: the last hop is told, each sender by the address that
// it knows.
func TestHopLimitWithoutPorts(t *testing.T) {
	t.Parallel()
	r := newOneToOneRig(t, 1)
	remote := wire.Unanswered(7, 0).Addr()
	for i, p := range portless {
		out, in := portlessPacket(p, wire.EndpointAddress(0), remote, "last"), portlessPacket(p, remote, mappedAddress, "last")
		out.TTL, in.TTL = 1, 1
		r.FromEndpoint(t, 0, out)
		r.FromRemote(t, in)
		r.Dropped(t, "hop-limit", uint64(2*i+2))
	}
	exceeded := func(from, to netip.Addr) func(wire.Packet) bool {
		return func(p wire.Packet) bool {
			return p.Protocol == model.ICMP && p.From.Addr() == from && p.To.Addr() == to && p.Data[34] == 11
		}
	}
	r.AtEndpoint[0].Await(t, "errors inside", len(portless), exceeded(netip.MustParseAddr("172.16.1.1"), wire.EndpointAddress(0)))
	r.AtRemote.Await(t, "errors outside", len(portless), exceeded(mappedAddress, remote))
}

// RFC 1812 section 5.3.7, RFC 7126: what nobody may send reaches no endpoint
// without ports either, and no endpoint sends it.
func TestMartiansWithoutPorts(t *testing.T) {
	t.Parallel()
	r := newOneToOneRig(t, 1)
	martians := []string{
		"0.0.0.0", "127.0.0.1", "224.0.0.1", "240.0.0.1", "255.255.255.255", "172.16.1.1", "172.16.1.2", "172.16.1.77",
		"203.0.113.1", "203.0.113.9",
	}
	remote := wire.Unanswered(7, 0).Addr()
	for i, from := range martians {
		r.FromRemote(t, portlessPacket(portless[i%len(portless)], netip.MustParseAddr(from), mappedAddress, "martian"))
		r.Dropped(t, "inside-address-from-outside", uint64(i+1))
	}
	for i, from := range []string{"203.0.113.9", "203.0.113.1", "198.51.100.7", "172.16.1.1", "172.16.1.9", "0.0.0.0", "127.0.0.1"} {
		r.FromEndpoint(t, 0, portlessPacket(portless[i%len(portless)], netip.MustParseAddr(from), remote, "martian"))
		r.Dropped(t, "spoofed-source", uint64(i+1))
	}
	for i, to := range []string{"127.0.0.1", "0.0.0.0", "240.0.0.1"} {
		r.FromEndpoint(t, 0, portlessPacket(wire.Gre, wire.EndpointAddress(0), netip.MustParseAddr(to), "martian"))
		r.Dropped(t, "martian-destination", uint64(i+1))
	}
	routed := portlessPacket(wire.Gre, remote, mappedAddress, "martian")
	routed.Options = []byte{131, 7, 4, 198, 51, 100, 7, 0}
	r.FromRemote(t, routed)
	routed = portlessPacket(wire.Gre, wire.EndpointAddress(0), remote, "martian")
	routed.Options = []byte{137, 7, 4, 198, 51, 100, 7, 0}
	r.FromEndpoint(t, 0, routed)
	r.Dropped(t, "source-route", 2)
	marks(t, r)
	bad := func(p wire.Packet) bool {
		return strings.Contains(string(p.Data), "martian") && p.Protocol != model.ICMP
	}
	if got := append(r.AtEndpoint[0].Came(bad), r.AtRemote.Came(bad)...); len(got) != 0 {
		t.Errorf("passed: %v", got)
	}
}

// Rule 7: it counts from the next packet on where the address leads.
func TestOneToOneAddressMovesAndGoes(t *testing.T) {
	t.Parallel()
	r := newOneToOneRig(t, 2)
	remote := wire.Unanswered(7, 0).Addr()
	for i, to := range []int{0, 1, 0} {
		mapOneToOne(r, to)
		r.Apply(t)
		text := fmt.Sprintf("move %d", i)
		for _, p := range portless {
			r.FromRemote(t, portlessPacket(p, remote, mappedAddress, text))
			r.AtEndpoint[to].Await(t, text, 1, carries(p, remote, wire.EndpointAddress(to), text, 63))
			r.FromEndpoint(t, to, portlessPacket(p, wire.EndpointAddress(to), remote, text))
			r.AtRemote.Await(t, text, 1, carries(p, mappedAddress, remote, text, 63))
		}
		r.FromRemote(t, wire.Segment{Protocol: model.UDP, From: wire.Unanswered(7, 80), To: atMapped(80), Payload: []byte(text)})
		r.AtEndpoint[to].Await(t, text, 1, wire.Says(text))
	}
	r.Config.OneToOne = nil
	delete(r.Config.Mappings, 7|1<<30)
	delete(r.Config.Mappings, 7|1<<31)
	r.Apply(t)
	if n := len(r.Sessions(t)); n != 0 {
		t.Errorf("%d sessions are left", n)
	}
	for i, p := range portless {
		r.FromRemote(t, portlessPacket(p, remote, mappedAddress, "after"))
		r.FromEndpoint(t, 0, portlessPacket(p, wire.EndpointAddress(0), remote, "after"))
		r.Dropped(t, "protocol-unsupported", uint64(i+1))
	}
	r.FromEndpoint(t, 0, wire.Segment{Protocol: model.UDP, From: wire.Inside(0, 4000), To: wire.Unanswered(7, 80), Payload: []byte("marker")})
	r.AtRemote.Await(t, "marker", 1, wire.Says("marker"))
	after := func(p wire.Packet) bool {
		return strings.HasSuffix(string(p.Data), "after") && slices.Contains(portless, p.Protocol)
	}
	if got := append(r.AtEndpoint[0].Came(after), r.AtRemote.Came(after)...); len(got) != 0 {
		t.Errorf("passed: %v", got)
	}
}

// Networks of one NAT stay isolated for these protocols too.
func TestProtocolsWithoutPortsStayOutOfOtherNetworks(t *testing.T) {
	t.Parallel()
	r := newOneToOneRig(t, 1)
	r.AddNetwork(t, 77, "br77", datapath.Network{
		Compartment: wire.RigCompartment, NAT: wire.RigNAT, Subnet: netip.MustParsePrefix("172.16.7.0/24"),
		Gateway: netip.MustParseAddr("172.16.7.1"), GatewayMAC: "02:00:00:00:07:01",
	})
	r.Apply(t)
	for i, p := range portless {
		r.FromEndpoint(t, 0, portlessPacket(p, wire.EndpointAddress(0), netip.MustParseAddr("172.16.7.9"), "across"))
		r.Dropped(t, "isolated-network", uint64(i+1))
	}
}

// Errors about what has no ports find back in both directions, and quote what
// their receiver knows (RFC 3022 section 4.3).
func TestErrorsAboutProtocolsWithoutPorts(t *testing.T) {
	t.Parallel()
	r := newOneToOneRig(t, 1)
	remote := wire.Unanswered(7, 0).Addr()
	for _, p := range portless {
		out := wire.ICMPError{From: remote, To: mappedAddress, Kind: 3, Code: 2, Quote: portlessPacket(p, mappedAddress, remote, "quoted").IP()}
		r.IPFromRemote(t, out.IP())
		r.AtEndpoint[0].Await(t, fmt.Sprintf("error about protocol %d inward", p), 1, quotes(p, remote, wire.EndpointAddress(0), wire.EndpointAddress(0), remote))
		in := wire.ICMPError{From: wire.EndpointAddress(0), To: remote, Kind: 3, Code: 2, Quote: portlessPacket(p, remote, wire.EndpointAddress(0), "quoted").IP()}
		r.IPFromEndpoint(t, 0, in.IP())
		r.AtRemote.Await(t, fmt.Sprintf("error about protocol %d outward", p), 1, quotes(p, mappedAddress, remote, remote, mappedAddress))
	}
}

// quotes matches ICMP errors by their addresses and those of what they quote.
func quotes(p model.Protocol, from, to, quotedFrom, quotedTo netip.Addr) func(wire.Packet) bool {
	return func(got wire.Packet) bool {
		const quoted = 14 + 20 + 8
		return got.Protocol == model.ICMP && got.From.Addr() == from && got.To.Addr() == to && len(got.Data) >= quoted+20 &&
			model.Protocol(got.Data[quoted+9]) == p && string(got.Data[quoted+12:quoted+20]) == string(slices.Concat(quotedFrom.AsSlice(), quotedTo.AsSlice()))
	}
}
