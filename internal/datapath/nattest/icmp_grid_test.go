package nattest

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net/netip"
	"testing"

	"github.com/hostnat/hostnat/internal/datapath"
	"github.com/hostnat/hostnat/internal/datapath/dptest"
	"github.com/hostnat/hostnat/internal/datapath/dptest/wire"
	"github.com/hostnat/hostnat/internal/model"
)

// errorShapes are the ways to quote a packet; each returns the ICMP header's
// last 4 bytes and what follows them.
var errorShapes = []struct {
	name  string
	kind  byte
	code  byte
	shape func(packet []byte) ([4]byte, []byte)
}{
	// RFC 792: the IP header and 8 bytes, all that is sure. cilium#33844, #40194: no TCP checksum is in there.
	{"8 bytes", 3, 1, func(p []byte) ([4]byte, []byte) { return [4]byte{}, p[:int(p[0]&15)*4+8] }},
	{"whole", 3, 3, func(p []byte) ([4]byte, []byte) { return [4]byte{}, p }},
	{"TTL exceeded", 11, 0, func(p []byte) ([4]byte, []byte) { return [4]byte{}, p }},
	// RFC 1191: the MTU must arrive.
	{"too big", 3, 4, func(p []byte) ([4]byte, []byte) { return [4]byte{0, 0, 5, 20}, p }},
	{"parameter problem", 12, 0, func(p []byte) ([4]byte, []byte) { return [4]byte{20}, p }},
	// RFC 4884: the quote is padded to 128 bytes, its length in words is told, an extension follows. RFC 5508 REQ-3d.
	{"extension", 11, 0, func(p []byte) ([4]byte, []byte) {
		padded := append(bytes.Clone(p), make([]byte, 128-len(p))...)
		extension := []byte{0x20, 0, 0, 0, 0, 8, 1, 1, 0xde, 0xad, 0xbe, 0xef} // an MPLS label stack
		binary.BigEndian.PutUint16(extension[2:], ^wire.Checksum(0, extension))
		return [4]byte{0, 128 / 4}, append(padded, extension...)
	}},
}

// errorFlows are the sessions that errors are about.
func errorFlows() []wire.Segment {
	var flows []wire.Segment
	for i, p := range []model.Protocol{model.TCP, model.UDP, model.ICMP} {
		s := wire.Segment{Protocol: p, Flags: wire.Syn, From: wire.Inside(0, 4000+uint16(i)), Payload: []byte("some data")}
		s.To = wire.Unanswered(7, 80)
		if p == model.ICMP {
			s.To = wire.Unanswered(7, 0)
		}
		flows = append(flows, s)
		s.Options, s.From = wire.IPOptions, wire.Inside(0, 4100+uint16(i)) // RFC 5508 REQ-3b: they move the ports
		flows = append(flows, s)
		s.Options, s.From = nil, wire.Inside(0, 5000+uint16(i)) // from a mapped port
		flows = append(flows, s)
	}
	return flows
}

// checkError compares an error that has arrived with what was to come, from the
// IP addresses to the last byte of the quote; the wire checks all checksums.
func checkError(t *testing.T, w *wire.Capture, want wire.ICMPError) {
	t.Helper()
	bytesWanted := want.IP()
	matches := func(p wire.Packet) bool {
		return p.Protocol == model.ICMP && len(p.Data) > 14+20+8 && p.Data[14+20] == want.Kind && p.To.Addr() == want.To &&
			bytes.Equal(p.Data[14+20:min(len(p.Data), 14+len(bytesWanted))], bytesWanted[20:])
	}
	for _, p := range w.Await(t, fmt.Sprintf("error %x", bytesWanted[20:]), 1, matches) {
		if p.From.Addr() != want.From {
			t.Errorf("error from %v, want %v", p.From, want.From)
		}
	}
}

// RFC 5508 REQ-3, REQ-4, REQ-6; RFC 5382 REQ-9, REQ-10; RFC 4787 REQ-12;
// cilium PRs #43196, #48086, #48291, #48819: sums of the error and its quote.
func TestICMPErrorsFromOutside(t *testing.T) {
	t.Parallel()
	r := dptest.NewErrorRig(t)
	router := netip.MustParseAddr("198.51.100.254") // on the way, not the remote itself
	for _, s := range errorFlows() {
		r.FromEndpoint(t, 0, s)
		translated := s
		translated.From, translated.TTL = r.SeenAs(t, s), 63
		before, _ := r.Session(t, s.Protocol, s.From, s.To)
		for _, shape := range errorShapes {
			rest, quote := shape.shape(translated.IP())
			e := wire.ICMPError{From: router, To: wire.HostAddress, Kind: shape.kind, Code: shape.code, Rest: rest, Quote: quote}
			r.Send(t, r.Remote, "eth0", wire.Ethernet(r.MACOf(t, r.Remote, "eth0"), r.MACOf(t, r.Host, "out0"), wire.EtherIPv4, e.IP()))
			original := s
			original.TTL = 63
			_, e.Quote = shape.shape(original.IP())
			e.To = s.From.Addr()
			checkError(t, r.AtEndpoint[0], e)
		}
		untouched(t, r, s, before)
	}
	r.Consistent(t)
}

// untouched: errors neither end nor refresh a session.
func untouched(t *testing.T, r *dptest.Rig, s wire.Segment, before datapath.Session) {
	t.Helper()
	after, has := r.Session(t, s.Protocol, s.From, s.To)
	if !has || after.State != before.State || after.Left > before.Left {
		t.Errorf("session %+v has become %+v by errors", before, after)
	}
	if after.PacketsIn != before.PacketsIn || after.PacketsOut != before.PacketsOut {
		t.Errorf("errors were counted as the session's packets: %+v, before %+v", after, before)
	}
}

// An error may have IP options of its own, and be the first of two fragments.
func TestICMPErrorsWithOptionsAndFragmentsArrive(t *testing.T) {
	t.Parallel()
	r := dptest.NewErrorRig(t)
	s := wire.Segment{Protocol: model.UDP, From: wire.Inside(0, 4000), To: wire.Unanswered(7, 80)}
	r.FromEndpoint(t, 0, s)
	translated := s
	translated.From, translated.TTL = r.SeenAs(t, s), 63
	s.TTL = 63
	for _, fragment := range []uint16{0, 0x2000} {
		e := wire.Segment{Protocol: model.ICMP, From: wire.Unanswered(9, 0), To: netip.AddrPortFrom(wire.HostAddress, 0), Options: wire.IPOptions, Fragment: fragment, Payload: translated.IP()}.IP()
		icmp := e[20+len(wire.IPOptions):]
		icmp[0], icmp[1], icmp[2], icmp[3] = 3, 1, 0, 0
		binary.BigEndian.PutUint16(icmp[2:], ^wire.Checksum(0, icmp))
		r.Send(t, r.Remote, "eth0", wire.Ethernet(r.MACOf(t, r.Remote, "eth0"), r.MACOf(t, r.Host, "out0"), wire.EtherIPv4, e))
		r.AtEndpoint[0].Await(t, "error", 1, func(p wire.Packet) bool {
			return p.Protocol == model.ICMP && p.Options == string(wire.IPOptions) && binary.BigEndian.Uint16(p.Data[14+6:]) == fragment &&
				bytes.Equal(p.Data[14+20+len(wire.IPOptions)+8:][:28], s.IP())
		})
	}
}

// RFC 5508 REQ-5, RFC 7857 section 7.1: the outside sees the NAT's address
// alone, in the quote too (wire.checkLeaks).
func TestICMPErrorsFromEndpoint(t *testing.T) {
	t.Parallel()
	r := dptest.NewErrorRig(t)
	for _, s := range errorFlows() {
		r.FromEndpoint(t, 0, s)
		external := r.SeenAs(t, s)
		answer := s
		answer.From, answer.To, answer.Flags, answer.Reply = s.To, external, wire.SynAck, true
		r.FromRemote(t, answer)
		r.AtEndpoint[0].Await(t, "answer", 1, wire.Is(s.Protocol, netip.AddrPort{}, s.From))
		before, _ := r.Session(t, s.Protocol, s.From, s.To)
		delivered := answer
		delivered.To, delivered.TTL = s.From, 63
		answer.TTL = 63
		for _, shape := range errorShapes {
			rest, quote := shape.shape(delivered.IP())
			e := wire.ICMPError{From: s.From.Addr(), To: s.To.Addr(), Kind: shape.kind, Code: shape.code, Rest: rest, Quote: quote}
			r.Send(t, r.Endpoints[0], "eth0", wire.Ethernet(dptest.EndpointMAC(0), wire.GatewayMAC, wire.EtherIPv4, e.IP()))
			_, e.Quote = shape.shape(answer.IP())
			e.From = external.Addr()
			checkError(t, r.AtRemote, e)
		}
		untouched(t, r, s, before)
	}
	r.Consistent(t)
}

// RFC 5508 REQ-4, REQ-5: an error about no packet of ours concerns nobody.
func TestICMPErrorsAboutNothingReachNobody(t *testing.T) {
	t.Parallel()
	r := dptest.NewErrorRig(t)
	s := wire.Segment{Protocol: model.UDP, From: wire.Inside(0, 4000), To: wire.Unanswered(7, 80)}
	r.FromEndpoint(t, 0, s)
	external := r.External(t, model.UDP, s.From)
	send := func(quoted wire.Segment, cut int) {
		q := quoted.IP()
		e := wire.ICMPError{From: wire.Unanswered(7, 0).Addr(), To: wire.HostAddress, Kind: 3, Code: 3, Quote: q[:min(len(q), cut)]}
		r.Send(t, r.Remote, "eth0", wire.Ethernet(r.MACOf(t, r.Remote, "eth0"), r.MACOf(t, r.Host, "out0"), wire.EtherIPv4, e.IP()))
	}
	send(wire.Segment{Protocol: model.UDP, From: external, To: wire.Unanswered(7, 81)}, 28)                                        // another remote port
	send(wire.Segment{Protocol: model.UDP, From: external, To: wire.Unanswered(8, 80)}, 28)                                        // another remote
	send(wire.Segment{Protocol: model.TCP, Flags: wire.Syn, From: external, To: wire.Unanswered(7, 80)}, 28)                       // another protocol
	send(wire.Segment{Protocol: model.UDP, From: netip.AddrPortFrom(wire.HostAddress, 9), To: wire.Unanswered(7, 80)}, 28)         // another port
	send(wire.Segment{Protocol: model.UDP, From: external, To: wire.Unanswered(7, 80)}, 27)                                        // cut short
	send(wire.Segment{Protocol: model.UDP, From: external, To: wire.Unanswered(7, 80), Fragment: 10, Payload: []byte("xxxx")}, 32) // no ports: cilium#48174
	r.FromRemote(t, wire.Segment{Protocol: model.UDP, From: wire.Unanswered(7, 80), To: external, Payload: []byte("marker")})
	r.AtEndpoint[0].Await(t, "marker", 1, wire.Says("marker"))
	if got := r.AtEndpoint[0].Came(func(p wire.Packet) bool { return p.Protocol == model.ICMP }); len(got) != 0 {
		t.Errorf("came in: %v", got)
	}
	// And outward: a packet that never came to this endpoint, and one that came to another.
	for _, quoted := range []wire.Segment{
		{Protocol: model.UDP, From: wire.Unanswered(7, 81), To: s.From},
		{Protocol: model.UDP, From: wire.Unanswered(7, 80), To: wire.Inside(1, 4000)},
		{Protocol: 132, From: wire.Unanswered(7, 80), To: s.From, Payload: make([]byte, 12)},
	} {
		e := wire.ICMPError{From: s.From.Addr(), To: wire.Unanswered(7, 0).Addr(), Kind: 3, Code: 3, Quote: quoted.IP()}
		r.Send(t, r.Endpoints[0], "eth0", wire.Ethernet(dptest.EndpointMAC(0), wire.GatewayMAC, wire.EtherIPv4, e.IP()))
	}
	r.Dropped(t, "icmp-error-no-session", 2)
	r.Dropped(t, "icmp-error-invalid", 1)
}

// RFC 5508 REQ-7: an error about a hairpinned packet.
func TestICMPErrorIsHairpinned(t *testing.T) {
	t.Parallel()
	r := dptest.NewMappedRig(t, 2)
	r.Mute(t, 0)
	r.Mute(t, 1)
	for i, p := range []model.Protocol{model.UDP, model.TCP} {
		s := wire.Segment{Protocol: p, Flags: wire.Syn, From: wire.Inside(1, uint16(4000+i)), To: wire.Published, Payload: []byte("question")}
		r.FromEndpoint(t, 1, s)
		external := r.External(t, p, s.From)
		r.AtEndpoint[0].Await(t, "hairpin", 1, wire.Is(p, external, wire.Inside(0, 80)))
		before, _ := r.Session(t, p, s.From, wire.Published)
		delivered := s
		delivered.From, delivered.To, delivered.TTL = external, wire.Inside(0, 80), 63
		s.TTL = 63
		for _, shape := range errorShapes {
			rest, quote := shape.shape(delivered.IP())
			e := wire.ICMPError{From: wire.EndpointAddress(0), To: wire.HostAddress, Kind: shape.kind, Code: shape.code, Rest: rest, Quote: quote}
			r.Send(t, r.Endpoints[0], "eth0", wire.Ethernet(dptest.EndpointMAC(0), wire.GatewayMAC, wire.EtherIPv4, e.IP()))
			e.From, e.To = wire.HostAddress, wire.EndpointAddress(1)
			_, e.Quote = shape.shape(s.IP())
			checkError(t, r.AtEndpoint[1], e)
		}
		s.TTL = 0
		after, has := r.Session(t, p, s.From, wire.Published)
		if !has || after.State != before.State || after.Left > before.Left {
			t.Errorf("session %+v has become %+v by errors", before, after)
		}
	}
}

// Both ends of a hairpin are inside: nobody outside
// has seen a packet of it, so an error about one is forged.
func TestForgedErrorAboutHairpinReachesNobody(t *testing.T) {
	t.Parallel()
	r := dptest.NewMappedRig(t, 2)
	r.Mute(t, 0)
	r.Mute(t, 1)
	s := wire.Segment{Protocol: model.UDP, From: wire.Inside(1, 4000), To: wire.Published, Payload: []byte("question")}
	r.FromEndpoint(t, 1, s)
	quoted := wire.Segment{Protocol: model.UDP, From: r.External(t, model.UDP, s.From), To: wire.Published}
	e := wire.ICMPError{From: wire.Unanswered(7, 0).Addr(), To: wire.HostAddress, Kind: 3, Code: 3, Quote: quoted.IP()}
	r.Send(t, r.Remote, "eth0", wire.Ethernet(r.MACOf(t, r.Remote, "eth0"), r.MACOf(t, r.Host, "out0"), wire.EtherIPv4, e.IP()))
	r.Marker(t)
	if got := r.AtEndpoint[1].Came(func(p wire.Packet) bool { return p.Protocol == model.ICMP }); len(got) != 0 {
		t.Errorf("came in: %v", got)
	}
}
