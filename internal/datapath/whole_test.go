package datapath

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/hostnat/hostnat/dev/lab"
	"github.com/hostnat/hostnat/internal/model"
)

// portless are the protocols that a mapping of a whole address carries beside
// TCP and UDP, and one that has no name.
var portless = []model.Protocol{sctp, gre, esp, udpLite, dccp, ipip, 99}

var mappedAddress = netip.MustParseAddr("203.0.113.9")

func atMapped(port uint16) netip.AddrPort { return netip.AddrPortFrom(mappedAddress, port) }

// wholes is a mapping of 203.0.113.9 to endpoint i, as package reconcile tells it.
func (r *rig) wholes(i int, from ...string) {
	all := model.PortRange{Low: 1, High: 65535}
	m := mapping(model.TCP, "203.0.113.9:1", inside(i, 1), from...)
	m.External.Ports, m.Targets[0].Internal.Ports = all, all
	r.config.Wholes = map[uint32]Whole{7: {
		Compartment: rigCompartment, Network: rigNetwork, External: mappedAddress, Internal: endpointAddress(i), From: m.From,
	}}
	r.config.Mappings[7|1<<30] = m
	m.Protocol = model.UDP
	r.config.Mappings[7|1<<31] = m
}

func newWholeRig(t *testing.T, endpoints int) *rig {
	t.Helper()
	r := newRig(t, endpoints)
	for i := range endpoints {
		r.mute(t, i)
	}
	must(t, r.Host.AddAddress(lab.HostLink, "203.0.113.9/32"))
	r.config.HostAddresses[mappedAddress] = r.outside
	r.wholes(0)
	r.apply(t)
	return r
}

// portlessPacket is a packet of such a protocol with 8 bytes in front of the
// payload, in them the checksum that counts the addresses, if there is one.
func portlessPacket(p model.Protocol, from, to netip.Addr, payload string) segment {
	s := segment{protocol: p, from: netip.AddrPortFrom(from, 0), to: netip.AddrPortFrom(to, 0)}
	// To IPIP this is an inner header without length: the kernel looks for its transport header.
	s.payload = append([]byte{0x10, 0x90, 0x1f, 0x90, 0, 0, 0, 0}, payload...)
	if p == udpLite || p == dccp {
		binary.BigEndian.PutUint16(s.payload[6:], ^checksum(s.pseudo(len(s.payload)), s.payload))
	}
	return s
}

// carries matches packets that are the same as if they had been sent with these
// addresses, checksum included.
func carries(p model.Protocol, from, to netip.Addr, payload string, ttl byte) func(packet) bool {
	want := portlessPacket(p, from, to, payload).payload
	return func(got packet) bool {
		return is(p, netip.AddrPortFrom(from, 0), netip.AddrPortFrom(to, 0))(got) && got.ttl == ttl &&
			string(got.data[34:min(len(got.data), 34+len(want))]) == string(want)
	}
}

// RFC 3022 section 2.1: of what has no ports the address alone is replaced, and
// in the checksums that count it (RFC 3828 section 3.1, RFC 4340 section 9).
func TestWholeAddressCarriesProtocolsWithoutPorts(t *testing.T) {
	t.Parallel()
	r := newWholeRig(t, 2)
	remote := stranger(7, 0).Addr()
	for i, p := range portless {
		text := fmt.Sprintf("protocol %d", p)
		r.fromEndpoint(t, 0, portlessPacket(p, endpointAddress(0), remote, text))
		r.atRemote.await(t, text+" outward", 1, carries(p, mappedAddress, remote, text, 63))
		r.fromRemote(t, portlessPacket(p, remote, mappedAddress, text))
		r.atEndpoint[0].await(t, text+" inward", 1, carries(p, remote, endpointAddress(0), text, 63))
		// The address is one endpoint's: another one of the network has none.
		r.fromEndpoint(t, 1, portlessPacket(p, endpointAddress(1), remote, "neighbour"))
		r.dropped(t, "protocol-unsupported", uint64(i+1))
		// Nor is the host's own address the endpoint's.
		r.fromRemote(t, portlessPacket(p, remote, hostAddress, "host"))
	}
	r.marks(t)
	if got := r.atEndpoint[0].came(func(p packet) bool { return slices.Contains(portless, p.protocol) }); len(got) != len(portless) {
		t.Errorf("%d packets came in, want %d: %v", len(got), len(portless), got)
	}
	if got := r.atRemote.came(func(p packet) bool { return slices.Contains(portless, p.protocol) }); len(got) != len(portless) {
		t.Errorf("%d packets went out, want %d: %v", len(got), len(portless), got)
	}
	if d := r.drops(t); len(d) != 1 {
		t.Errorf("drops %v", d)
	}
}

// Two endpoints that have an address each talk by those (RFC 4787 REQ-9a), one
// with itself too; who has none is refused, and who may not is dropped.
func TestWholeAddressesTalkToEachOther(t *testing.T) {
	t.Parallel()
	r := newWholeRig(t, 3)
	second := netip.MustParseAddr("203.0.113.10")
	must(t, r.Host.AddAddress(lab.HostLink, "203.0.113.10/32"))
	r.config.HostAddresses[second] = r.outside
	r.config.Wholes[8] = Whole{Compartment: rigCompartment, Network: rigNetwork, External: second, Internal: endpointAddress(1)}
	r.apply(t)
	for _, p := range portless {
		text := fmt.Sprintf("protocol %d", p)
		r.fromEndpoint(t, 0, portlessPacket(p, endpointAddress(0), second, text))
		r.atEndpoint[1].await(t, text+" across", 1, carries(p, mappedAddress, endpointAddress(1), text, 63))
		r.fromEndpoint(t, 1, portlessPacket(p, endpointAddress(1), mappedAddress, text))
		r.atEndpoint[0].await(t, text+" back", 1, carries(p, second, endpointAddress(0), text, 63))
	}
	r.fromEndpoint(t, 0, portlessPacket(gre, endpointAddress(0), mappedAddress, "itself"))
	r.atEndpoint[0].await(t, "from itself", 1, carries(gre, mappedAddress, endpointAddress(0), "itself", 63))
	r.fromEndpoint(t, 2, portlessPacket(gre, endpointAddress(2), second, "has none"))
	r.dropped(t, "protocol-unsupported", 1)
	r.wholes(0, "198.51.100.0/24") // makes the list anew, for remotes of that prefix alone
	r.config.Wholes[8] = Whole{Compartment: rigCompartment, Network: rigNetwork, External: second, Internal: endpointAddress(1)}
	r.apply(t)
	r.fromEndpoint(t, 1, portlessPacket(gre, endpointAddress(1), mappedAddress, "not on the list"))
	r.dropped(t, "remote-not-allowed", 1)
}

// marks sends a datagram to the endpoint behind what was sent before, and waits for it.
func (r *rig) marks(t *testing.T) {
	t.Helper()
	r.fromRemote(t, segment{protocol: model.UDP, from: stranger(9, 99), to: atMapped(99), payload: []byte("marker")})
	r.atEndpoint[0].await(t, "marker", 1, says("marker"))
}

// The address has all TCP and UDP ports; pings are the host's to answer.
func TestWholeAddressHasAllPorts(t *testing.T) {
	t.Parallel()
	r := newWholeRig(t, 1)
	for i, port := range []uint16{1, 22, 1024, 40000, 65535} {
		for _, p := range []model.Protocol{model.TCP, model.UDP} {
			from := stranger(byte(10+i), 4000)
			r.fromRemote(t, segment{protocol: p, flags: syn, from: from, to: atMapped(port)})
			r.atEndpoint[0].await(t, fmt.Sprint(p, " to port ", port), 1, is(p, from, inside(0, port)))
			r.fromEndpoint(t, 0, segment{protocol: p, flags: synAck, from: inside(0, port), to: from})
			r.atRemote.await(t, fmt.Sprint(p, " from port ", port), 1, is(p, atMapped(port), from))
		}
	}
	r.fromRemote(t, segment{protocol: model.ICMP, from: netip.AddrPortFrom(remoteAddress, 5), to: atMapped(0), payload: []byte("ping")})
	r.atRemote.await(t, "the host's answer", 1, func(p packet) bool {
		return p.protocol == model.ICMP && p.from.Addr() == mappedAddress && p.data[34] == 0
	})
	if got := r.atEndpoint[0].came(func(p packet) bool { return p.protocol == model.ICMP }); len(got) != 0 {
		t.Errorf("the ping came in: %v", got)
	}
}

// A sum of zero is 0xffff with UDP-Lite, where no sum at all would be an error.
func TestUDPLiteChecksumIsNeverZero(t *testing.T) {
	t.Parallel()
	r := newWholeRig(t, 1)
	remote := stranger(7, 0).Addr()
	sent := portlessPacket(udpLite, endpointAddress(0), remote, "\x00\x00zero")
	translated := portlessPacket(udpLite, mappedAddress, remote, "\x00\x00zero")
	copy(sent.payload[8:], translated.payload[6:8]) // what is missing to zero
	binary.BigEndian.PutUint16(sent.payload[6:], 0)
	binary.BigEndian.PutUint16(sent.payload[6:], ^checksum(sent.pseudo(len(sent.payload)), sent.payload))
	r.fromEndpoint(t, 0, sent)
	got := r.atRemote.await(t, "UDP-Lite", 1, is(udpLite, atMapped(0), stranger(7, 0)))
	if sum := binary.BigEndian.Uint16(got[0].data[34+6:]); sum != 0xffff {
		t.Errorf("checksum %#x", sum)
	}
}

// Each fragment has the addresses: in whatever order, nothing waits for another.
func TestFragmentsOfProtocolsWithoutPorts(t *testing.T) {
	t.Parallel()
	r := newWholeRig(t, 1)
	r.addRoom(t)
	remote := stranger(7, 0).Addr()
	atRemote, atEndpoint := assemble(t, r.Remote, lab.RemoteLink), assemble(t, r.Endpoints[0], "eth0")
	for i, p := range portless {
		for n, order := range [][]int{{0, 1, 2}, {2, 1, 0}, {1, 0, 2}} {
			text := fmt.Sprintf("protocol %d order %d", p, n)
			body := string(long(text, 3000))
			id := uint16(100 + 10*i + n)
			out, in := portlessPacket(p, endpointAddress(0), remote, body), portlessPacket(p, remote, mappedAddress, body)
			out.id, in.id = id, id
			r.ipFromEndpoint(t, 0, pick(cutUp(out.ip(), 1400), order...)...)
			r.ipFromRemote(t, pick(cutUp(in.ip(), 1400), order...)...)
			got, w := atRemote.await(t, p, text)
			wantWhole(t, text+" outward", got, w, portlessPacket(p, mappedAddress, remote, body), 3)
			got, w = atEndpoint.await(t, p, text)
			wantWhole(t, text+" inward", got, w, portlessPacket(p, remote, endpointAddress(0), body), 3)
		}
	}
	if d := r.drops(t); len(d) != 0 {
		t.Errorf("drops %v", d)
	}
}

// wantWhole holds a datagram against the one that should have come.
func wantWhole(t *testing.T, what string, got packet, w whole, want segment, pieces int) {
	t.Helper()
	if got.from != want.from || got.to != want.to || got.ttl != 63 || string(w.datagram[20:]) != string(want.payload) {
		t.Errorf("%s: from %v to %v with TTL %d, payload right: %v", what, got.from, got.to, got.ttl, string(w.datagram[20:]) == string(want.payload))
	}
	if w.pieces < pieces {
		t.Errorf("%s: %d pieces, want %d", what, w.pieces, pieces)
	}
}

// RFC 791, RFC 1191: what is too big for the way on is cut if it may be, and
// answered with the MTU if not, in both directions.
func TestTooBigWithoutPorts(t *testing.T) {
	t.Parallel()
	r := newWholeRig(t, 1)
	r.addRoom(t)
	remote := stranger(7, 0).Addr()
	atRemote, atEndpoint := assemble(t, r.Remote, lab.RemoteLink), assemble(t, r.Endpoints[0], "eth0")
	const dontFragment = 0x4000
	must(t, r.Host.SetMTU(lab.HostLink, narrow))
	for i, p := range portless {
		text := fmt.Sprintf("protocol %d", p)
		body := string(long(text, 1400))
		out := portlessPacket(p, endpointAddress(0), remote, body)
		out.id = uint16(i + 1)
		r.fromEndpoint(t, 0, out)
		got, w := atRemote.await(t, p, text)
		wantWhole(t, text+" outward", got, w, portlessPacket(p, mappedAddress, remote, body), 2)
		out.fragment = dontFragment
		r.fromEndpoint(t, 0, out)
		r.dropped(t, "packet-too-big", uint64(i+1))
	}
	r.atEndpoint[0].await(t, "errors inside", len(portless), tooBig(netip.MustParseAddr("172.16.1.1"), endpointAddress(0)))
	must(t, r.Host.SetMTU(lab.HostLink, 1500))
	r.config.Endpoints[0].MTU = narrow
	r.apply(t)
	for i, p := range portless {
		text := fmt.Sprintf("protocol %d", p)
		body := string(long(text, 1400))
		in := portlessPacket(p, remote, mappedAddress, body)
		in.id = uint16(i + 1)
		r.fromRemote(t, in)
		got, w := atEndpoint.await(t, p, text)
		wantWhole(t, text+" inward", got, w, portlessPacket(p, remote, endpointAddress(0), body), 2)
		in.fragment = dontFragment
		r.fromRemote(t, in)
		r.dropped(t, "packet-too-big", uint64(len(portless)+i+1))
	}
	r.atRemote.await(t, "errors outside", len(portless), tooBig(mappedAddress, remote))
	atRemote.checkPieces(t, narrow)
	atEndpoint.checkPieces(t, narrow)
}

func tooBig(from, to netip.Addr) func(packet) bool {
	return func(p packet) bool {
		return p.protocol == model.ICMP && p.from.Addr() == from && p.to.Addr() == to && p.data[34] == 3 && p.data[35] == 4 &&
			binary.BigEndian.Uint16(p.data[34+6:]) == narrow
	}
}

// The list is held against TCP, UDP and all else alike; the endpoint itself may
// talk to anybody.
func TestWholeAddressIsOpenToAllowedRemotesAlone(t *testing.T) {
	t.Parallel()
	r := newWholeRig(t, 1)
	r.wholes(0, "198.51.100.8/31")
	r.apply(t)
	all := append([]model.Protocol{model.TCP, model.UDP}, portless...)
	for i, p := range all {
		for _, from := range []byte{7, 8, 9, 10} {
			s := portlessPacket(p, stranger(from, 0).Addr(), mappedAddress, "asks")
			if p == model.TCP || p == model.UDP {
				s = segment{protocol: p, flags: syn, from: stranger(from, 80), to: atMapped(80)}
			}
			r.fromRemote(t, s)
		}
		r.dropped(t, "remote-not-allowed", uint64(2*i+2))
		came := r.atEndpoint[0].await(t, fmt.Sprint("protocol ", p), 2, func(got packet) bool { return got.protocol == p })
		for _, got := range came {
			if a := got.from.Addr(); a != stranger(8, 0).Addr() && a != stranger(9, 0).Addr() {
				t.Errorf("protocol %d of %v came in", p, a)
			}
		}
	}
	for _, p := range portless {
		r.fromEndpoint(t, 0, portlessPacket(p, endpointAddress(0), stranger(7, 0).Addr(), "asks"))
		r.atRemote.await(t, fmt.Sprint("protocol ", p), 1, carries(p, mappedAddress, stranger(7, 0).Addr(), "asks", 63))
	}
	// Who may not come in is not told that there is anything.
	for _, ttl := range []byte{0, 1} {
		last := portlessPacket(esp, stranger(8, 0).Addr(), mappedAddress, "late")
		last.ttl = max(ttl, 1)
		r.fromRemote(t, last)
		r.dropped(t, "hop-limit", uint64(ttl)+1)
	}
	if got := r.atRemote.came(is(model.ICMP, netip.AddrPort{}, netip.AddrPort{})); len(got) != 0 {
		t.Errorf("told: %v", got)
	}
}

// RFC 1812 section 5.3.1: the last hop is told, each sender by the address that
// it knows.
func TestHopLimitWithoutPorts(t *testing.T) {
	t.Parallel()
	r := newWholeRig(t, 1)
	remote := stranger(7, 0).Addr()
	for i, p := range portless {
		out, in := portlessPacket(p, endpointAddress(0), remote, "last"), portlessPacket(p, remote, mappedAddress, "last")
		out.ttl, in.ttl = 1, 1
		r.fromEndpoint(t, 0, out)
		r.fromRemote(t, in)
		r.dropped(t, "hop-limit", uint64(2*i+2))
	}
	exceeded := func(from, to netip.Addr) func(packet) bool {
		return func(p packet) bool {
			return p.protocol == model.ICMP && p.from.Addr() == from && p.to.Addr() == to && p.data[34] == 11
		}
	}
	r.atEndpoint[0].await(t, "errors inside", len(portless), exceeded(netip.MustParseAddr("172.16.1.1"), endpointAddress(0)))
	r.atRemote.await(t, "errors outside", len(portless), exceeded(mappedAddress, remote))
}

// RFC 1812 section 5.3.7, RFC 7126: what nobody may send reaches no endpoint
// without ports either, and no endpoint sends it.
func TestMartiansWithoutPorts(t *testing.T) {
	t.Parallel()
	r := newWholeRig(t, 1)
	martians := []string{
		"0.0.0.0", "127.0.0.1", "169.254.1.1", "224.0.0.1", "240.0.0.1", "255.255.255.255", "172.16.1.1", "172.16.1.2", "172.16.1.77",
		"203.0.113.1", "203.0.113.9",
	}
	remote := stranger(7, 0).Addr()
	for i, from := range martians {
		r.fromRemote(t, portlessPacket(portless[i%len(portless)], netip.MustParseAddr(from), mappedAddress, "martian"))
		r.dropped(t, "inside-address-from-outside", uint64(i+1))
	}
	for i, from := range []string{"203.0.113.9", "203.0.113.1", "198.51.100.7", "172.16.1.1", "172.16.1.9", "0.0.0.0", "127.0.0.1"} {
		r.fromEndpoint(t, 0, portlessPacket(portless[i%len(portless)], netip.MustParseAddr(from), remote, "martian"))
		r.dropped(t, "spoofed-source", uint64(i+1))
	}
	for i, to := range []string{"127.0.0.1", "0.0.0.0", "240.0.0.1"} {
		r.fromEndpoint(t, 0, portlessPacket(gre, endpointAddress(0), netip.MustParseAddr(to), "martian"))
		r.dropped(t, "martian-destination", uint64(i+1))
	}
	routed := portlessPacket(gre, remote, mappedAddress, "martian")
	routed.options = []byte{131, 7, 4, 198, 51, 100, 7, 0}
	r.fromRemote(t, routed)
	routed = portlessPacket(gre, endpointAddress(0), remote, "martian")
	routed.options = []byte{137, 7, 4, 198, 51, 100, 7, 0}
	r.fromEndpoint(t, 0, routed)
	r.dropped(t, "source-route", 2)
	r.marks(t)
	bad := func(p packet) bool { return strings.Contains(string(p.data), "martian") && p.protocol != model.ICMP }
	if got := append(r.atEndpoint[0].came(bad), r.atRemote.came(bad)...); len(got) != 0 {
		t.Errorf("passed: %v", got)
	}
}

// Rule 7: it counts from the next packet on where the address leads.
func TestWholeAddressMovesAndGoes(t *testing.T) {
	t.Parallel()
	r := newWholeRig(t, 2)
	remote := stranger(7, 0).Addr()
	for i, to := range []int{0, 1, 0} {
		r.wholes(to)
		r.apply(t)
		text := fmt.Sprintf("move %d", i)
		for _, p := range portless {
			r.fromRemote(t, portlessPacket(p, remote, mappedAddress, text))
			r.atEndpoint[to].await(t, text, 1, carries(p, remote, endpointAddress(to), text, 63))
			r.fromEndpoint(t, to, portlessPacket(p, endpointAddress(to), remote, text))
			r.atRemote.await(t, text, 1, carries(p, mappedAddress, remote, text, 63))
		}
		r.fromRemote(t, segment{protocol: model.UDP, from: stranger(7, 80), to: atMapped(80), payload: []byte(text)})
		r.atEndpoint[to].await(t, text, 1, says(text))
	}
	r.config.Wholes = nil
	delete(r.config.Mappings, 7|1<<30)
	delete(r.config.Mappings, 7|1<<31)
	r.apply(t)
	if n := len(r.sessions(t)); n != 0 {
		t.Errorf("%d sessions are left", n)
	}
	for i, p := range portless {
		r.fromRemote(t, portlessPacket(p, remote, mappedAddress, "after"))
		r.fromEndpoint(t, 0, portlessPacket(p, endpointAddress(0), remote, "after"))
		r.dropped(t, "protocol-unsupported", uint64(i+1))
	}
	r.fromEndpoint(t, 0, segment{protocol: model.UDP, from: inside(0, 4000), to: stranger(7, 80), payload: []byte("marker")})
	r.atRemote.await(t, "marker", 1, says("marker"))
	after := func(p packet) bool {
		return strings.HasSuffix(string(p.data), "after") && slices.Contains(portless, p.protocol)
	}
	if got := append(r.atEndpoint[0].came(after), r.atRemote.came(after)...); len(got) != 0 {
		t.Errorf("passed: %v", got)
	}
}

// Networks of one NAT stay isolated for these protocols too.
func TestProtocolsWithoutPortsStayOutOfOtherNetworks(t *testing.T) {
	t.Parallel()
	r := newWholeRig(t, 1)
	r.addNetwork(t, 77, "br77", Network{
		Compartment: rigCompartment, NAT: rigNAT, Subnet: netip.MustParsePrefix("172.16.7.0/24"),
		Gateway: netip.MustParseAddr("172.16.7.1"), GatewayMAC: "02:00:00:00:07:01",
	})
	r.apply(t)
	for i, p := range portless {
		r.fromEndpoint(t, 0, portlessPacket(p, endpointAddress(0), netip.MustParseAddr("172.16.7.9"), "across"))
		r.dropped(t, "isolated-network", uint64(i+1))
	}
}

// Errors about what has no ports find back in both directions, and quote what
// their receiver knows (RFC 3022 section 4.3).
func TestErrorsAboutProtocolsWithoutPorts(t *testing.T) {
	t.Parallel()
	r := newWholeRig(t, 1)
	remote := stranger(7, 0).Addr()
	for _, p := range portless {
		out := icmpError{from: remote, to: mappedAddress, kind: 3, code: 2, quote: portlessPacket(p, mappedAddress, remote, "quoted").ip()}
		r.ipFromRemote(t, out.ip())
		r.atEndpoint[0].await(t, fmt.Sprintf("error about protocol %d inward", p), 1, quotes(p, remote, endpointAddress(0), endpointAddress(0), remote))
		in := icmpError{from: endpointAddress(0), to: remote, kind: 3, code: 2, quote: portlessPacket(p, remote, endpointAddress(0), "quoted").ip()}
		r.ipFromEndpoint(t, 0, in.ip())
		r.atRemote.await(t, fmt.Sprintf("error about protocol %d outward", p), 1, quotes(p, mappedAddress, remote, remote, mappedAddress))
	}
}

// quotes matches ICMP errors by their addresses and those of what they quote.
func quotes(p model.Protocol, from, to, quotedFrom, quotedTo netip.Addr) func(packet) bool {
	return func(got packet) bool {
		const quoted = 14 + 20 + 8
		return got.protocol == model.ICMP && got.from.Addr() == from && got.to.Addr() == to && len(got.data) >= quoted+20 &&
			model.Protocol(got.data[quoted+9]) == p && string(got.data[quoted+12:quoted+20]) == string(slices.Concat(quotedFrom.AsSlice(), quotedTo.AsSlice()))
	}
}
