package datapath

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net/netip"
	"testing"

	"github.com/hostnat/hostnat/internal/model"
)

// icmpError is an IP packet with an error about a packet: type, code, and the
// 4 bytes that depend on these, then as much of the packet as is quoted.
type icmpError struct {
	from, to   netip.Addr
	kind, code byte
	rest       [4]byte
	quote      []byte
}

func (e icmpError) ip() []byte {
	s := segment{protocol: model.ICMP, from: netip.AddrPortFrom(e.from, 0), to: netip.AddrPortFrom(e.to, 0), payload: e.quote}
	ip := s.ip()
	icmp := ip[20:]
	icmp[0], icmp[1], icmp[2], icmp[3] = e.kind, e.code, 0, 0
	copy(icmp[4:], e.rest[:])
	binary.BigEndian.PutUint16(icmp[2:], ^checksum(0, icmp))
	return ip
}

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
		binary.BigEndian.PutUint16(extension[2:], ^checksum(0, extension))
		return [4]byte{0, 128 / 4}, append(padded, extension...)
	}},
}

// errorFlows are the sessions that errors are about.
func errorFlows() []segment {
	var flows []segment
	for i, p := range []model.Protocol{model.TCP, model.UDP, model.ICMP} {
		s := segment{protocol: p, flags: syn, from: inside(0, 4000+uint16(i)), payload: []byte("some data")}
		s.to = stranger(7, 80)
		if p == model.ICMP {
			s.to = stranger(7, 0)
		}
		flows = append(flows, s)
		s.options, s.from = ipOptions, inside(0, 4100+uint16(i)) // RFC 5508 REQ-3b: they move the ports
		flows = append(flows, s)
		s.options, s.from = nil, inside(0, 5000+uint16(i)) // from a mapped port
		flows = append(flows, s)
	}
	return flows
}

func newErrorRig(t *testing.T) *rig {
	r := newRig(t, 1)
	r.mute(t, 0)
	r.config.Mappings[1] = mapping(model.TCP, "0.0.0.0:5000", inside(0, 5000))
	r.config.Mappings[2] = mapping(model.UDP, "203.0.113.1:5001", inside(0, 5001))
	r.apply(t)
	return r
}

// seenAs is the external address and port of a flow.
func (r *rig) seenAs(t *testing.T, s segment) netip.AddrPort {
	t.Helper()
	external := r.external(t, s.protocol, s.from)
	if external.Addr().IsUnspecified() { // a mapping on every address
		external = netip.AddrPortFrom(hostAddress, external.Port())
	}
	return external
}

// checkError compares an error that has arrived with what was to come, from the
// IP addresses to the last byte of the quote; the wire checks all checksums.
func checkError(t *testing.T, w *wire, want icmpError) {
	t.Helper()
	bytesWanted := want.ip()
	matches := func(p packet) bool {
		return p.protocol == model.ICMP && len(p.data) > 14+20+8 && p.data[14+20] == want.kind && p.to.Addr() == want.to &&
			bytes.Equal(p.data[14+20:min(len(p.data), 14+len(bytesWanted))], bytesWanted[20:])
	}
	for _, p := range w.await(t, fmt.Sprintf("error %x", bytesWanted[20:]), 1, matches) {
		if p.from.Addr() != want.from {
			t.Errorf("error from %v, want %v", p.from, want.from)
		}
	}
}

// RFC 5508 REQ-3, REQ-4, REQ-6; RFC 5382 REQ-9, REQ-10; RFC 4787 REQ-12;
// cilium PRs #43196, #48086, #48291, #48819: sums of the error and its quote.
func TestICMPErrorsFromOutside(t *testing.T) {
	t.Parallel()
	r := newErrorRig(t)
	router := netip.MustParseAddr("198.51.100.254") // on the way, not the remote itself
	for _, s := range errorFlows() {
		r.fromEndpoint(t, 0, s)
		translated := s
		translated.from, translated.ttl = r.seenAs(t, s), 63
		before, _ := r.session(t, s.protocol, s.from, s.to)
		for _, shape := range errorShapes {
			rest, quote := shape.shape(translated.ip())
			e := icmpError{from: router, to: hostAddress, kind: shape.kind, code: shape.code, rest: rest, quote: quote}
			r.send(t, r.Remote, "eth0", ethernet(r.macOf(t, r.Remote, "eth0"), r.macOf(t, r.Host, "out0"), etherIPv4, e.ip()))
			original := s
			original.ttl = 63
			_, e.quote = shape.shape(original.ip())
			e.to = s.from.Addr()
			checkError(t, r.atEndpoint[0], e)
		}
		r.untouched(t, s, before)
	}
	r.consistent(t)
}

// untouched: errors neither end nor refresh a session.
func (r *rig) untouched(t *testing.T, s segment, before Session) {
	t.Helper()
	after, has := r.session(t, s.protocol, s.from, s.to)
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
	r := newErrorRig(t)
	s := segment{protocol: model.UDP, from: inside(0, 4000), to: stranger(7, 80)}
	r.fromEndpoint(t, 0, s)
	translated := s
	translated.from, translated.ttl = r.seenAs(t, s), 63
	s.ttl = 63
	for _, fragment := range []uint16{0, 0x2000} {
		e := segment{protocol: model.ICMP, from: stranger(9, 0), to: netip.AddrPortFrom(hostAddress, 0), options: ipOptions, fragment: fragment, payload: translated.ip()}.ip()
		icmp := e[20+len(ipOptions):]
		icmp[0], icmp[1], icmp[2], icmp[3] = 3, 1, 0, 0
		binary.BigEndian.PutUint16(icmp[2:], ^checksum(0, icmp))
		r.send(t, r.Remote, "eth0", ethernet(r.macOf(t, r.Remote, "eth0"), r.macOf(t, r.Host, "out0"), etherIPv4, e))
		r.atEndpoint[0].await(t, "error", 1, func(p packet) bool {
			return p.protocol == model.ICMP && p.options == string(ipOptions) && binary.BigEndian.Uint16(p.data[14+6:]) == fragment &&
				bytes.Equal(p.data[14+20+len(ipOptions)+8:][:28], s.ip())
		})
	}
}

// RFC 5508 REQ-5, RFC 7857 section 7.1: the outside sees the NAT's address
// alone, in the quote too (wire.checkLeaks).
func TestICMPErrorsFromEndpoint(t *testing.T) {
	t.Parallel()
	r := newErrorRig(t)
	for _, s := range errorFlows() {
		r.fromEndpoint(t, 0, s)
		external := r.seenAs(t, s)
		answer := s
		answer.from, answer.to, answer.flags, answer.reply = s.to, external, synAck, true
		r.fromRemote(t, answer)
		r.atEndpoint[0].await(t, "answer", 1, is(s.protocol, netip.AddrPort{}, s.from))
		before, _ := r.session(t, s.protocol, s.from, s.to)
		delivered := answer
		delivered.to, delivered.ttl = s.from, 63
		answer.ttl = 63
		for _, shape := range errorShapes {
			rest, quote := shape.shape(delivered.ip())
			e := icmpError{from: s.from.Addr(), to: s.to.Addr(), kind: shape.kind, code: shape.code, rest: rest, quote: quote}
			r.send(t, r.Endpoints[0], "eth0", ethernet(endpointMAC(0), gatewayMAC, etherIPv4, e.ip()))
			_, e.quote = shape.shape(answer.ip())
			e.from = external.Addr()
			checkError(t, r.atRemote, e)
		}
		r.untouched(t, s, before)
	}
	r.consistent(t)
}

// RFC 5508 REQ-4, REQ-5: an error about no packet of ours concerns nobody.
func TestICMPErrorsAboutNothingReachNobody(t *testing.T) {
	t.Parallel()
	r := newErrorRig(t)
	s := segment{protocol: model.UDP, from: inside(0, 4000), to: stranger(7, 80)}
	r.fromEndpoint(t, 0, s)
	external := r.external(t, model.UDP, s.from)
	send := func(quoted segment, cut int) {
		q := quoted.ip()
		e := icmpError{from: stranger(7, 0).Addr(), to: hostAddress, kind: 3, code: 3, quote: q[:min(len(q), cut)]}
		r.send(t, r.Remote, "eth0", ethernet(r.macOf(t, r.Remote, "eth0"), r.macOf(t, r.Host, "out0"), etherIPv4, e.ip()))
	}
	send(segment{protocol: model.UDP, from: external, to: stranger(7, 81)}, 28)                                        // another remote port
	send(segment{protocol: model.UDP, from: external, to: stranger(8, 80)}, 28)                                        // another remote
	send(segment{protocol: model.TCP, flags: syn, from: external, to: stranger(7, 80)}, 28)                            // another protocol
	send(segment{protocol: model.UDP, from: netip.AddrPortFrom(hostAddress, 9), to: stranger(7, 80)}, 28)              // another port
	send(segment{protocol: model.UDP, from: external, to: stranger(7, 80)}, 27)                                        // cut short
	send(segment{protocol: model.UDP, from: external, to: stranger(7, 80), fragment: 10, payload: []byte("xxxx")}, 32) // no ports: cilium#48174
	r.fromRemote(t, segment{protocol: model.UDP, from: stranger(7, 80), to: external, payload: []byte("marker")})
	r.atEndpoint[0].await(t, "marker", 1, says("marker"))
	if got := r.atEndpoint[0].came(func(p packet) bool { return p.protocol == model.ICMP }); len(got) != 0 {
		t.Errorf("came in: %v", got)
	}
	// And outward: a packet that never came to this endpoint, and one that came to another.
	for _, quoted := range []segment{
		{protocol: model.UDP, from: stranger(7, 81), to: s.from},
		{protocol: model.UDP, from: stranger(7, 80), to: inside(1, 4000)},
		{protocol: 132, from: stranger(7, 80), to: s.from, payload: make([]byte, 12)},
	} {
		e := icmpError{from: s.from.Addr(), to: stranger(7, 0).Addr(), kind: 3, code: 3, quote: quoted.ip()}
		r.send(t, r.Endpoints[0], "eth0", ethernet(endpointMAC(0), gatewayMAC, etherIPv4, e.ip()))
	}
	r.dropped(t, "icmp-error-no-session", 2)
	r.dropped(t, "icmp-error-invalid", 1)
}

// RFC 5508 REQ-7: an error about a hairpinned packet.
func TestICMPErrorIsHairpinned(t *testing.T) {
	t.Parallel()
	r := newMappedRig(t, 2)
	r.mute(t, 0)
	r.mute(t, 1)
	for i, p := range []model.Protocol{model.UDP, model.TCP} {
		s := segment{protocol: p, flags: syn, from: inside(1, uint16(4000+i)), to: published, payload: []byte("question")}
		r.fromEndpoint(t, 1, s)
		external := r.external(t, p, s.from)
		r.atEndpoint[0].await(t, "hairpin", 1, is(p, external, inside(0, 80)))
		before, _ := r.session(t, p, s.from, published)
		delivered := s
		delivered.from, delivered.to, delivered.ttl = external, inside(0, 80), 63
		s.ttl = 63
		for _, shape := range errorShapes {
			rest, quote := shape.shape(delivered.ip())
			e := icmpError{from: endpointAddress(0), to: hostAddress, kind: shape.kind, code: shape.code, rest: rest, quote: quote}
			r.send(t, r.Endpoints[0], "eth0", ethernet(endpointMAC(0), gatewayMAC, etherIPv4, e.ip()))
			e.from, e.to = hostAddress, endpointAddress(1)
			_, e.quote = shape.shape(s.ip())
			checkError(t, r.atEndpoint[1], e)
		}
		s.ttl = 0
		after, has := r.session(t, p, s.from, published)
		if !has || after.State != before.State || after.Left > before.Left {
			t.Errorf("session %+v has become %+v by errors", before, after)
		}
	}
}

// Both ends of a hairpin are inside: nobody outside
// has seen a packet of it, so an error about one is forged.
func TestForgedErrorAboutHairpinReachesNobody(t *testing.T) {
	t.Parallel()
	r := newMappedRig(t, 2)
	r.mute(t, 0)
	r.mute(t, 1)
	s := segment{protocol: model.UDP, from: inside(1, 4000), to: published, payload: []byte("question")}
	r.fromEndpoint(t, 1, s)
	quoted := segment{protocol: model.UDP, from: r.external(t, model.UDP, s.from), to: published}
	e := icmpError{from: stranger(7, 0).Addr(), to: hostAddress, kind: 3, code: 3, quote: quoted.ip()}
	r.send(t, r.Remote, "eth0", ethernet(r.macOf(t, r.Remote, "eth0"), r.macOf(t, r.Host, "out0"), etherIPv4, e.ip()))
	r.marker(t)
	if got := r.atEndpoint[1].came(func(p packet) bool { return p.protocol == model.ICMP }); len(got) != 0 {
		t.Errorf("came in: %v", got)
	}
}
