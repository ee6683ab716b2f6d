package datapath

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"testing"

	"github.com/hostnat/hostnat/dev/lab"
	"github.com/hostnat/hostnat/internal/model"
)

// breakages are packets that no honest sender sends, from a whole one.
var breakages = []struct {
	name     string
	protocol model.Protocol
	change   func(ip []byte) []byte
}{
	{"version 5", model.UDP, func(ip []byte) []byte { ip[0] = 0x55; return ip }},
	{"version 0", model.UDP, func(ip []byte) []byte { ip[0] = 0x05; return ip }},
	{"header of 16 bytes", model.UDP, func(ip []byte) []byte { ip[0] = 0x44; return ip }},
	{"header of 0 bytes", model.TCP, func(ip []byte) []byte { ip[0] = 0x40; return ip }},
	{"header of 60 bytes in 28", model.UDP, func(ip []byte) []byte { ip[0] = 0x4f; return ip[:28] }},
	{"length less than the header", model.UDP, func(ip []byte) []byte { return lengthOf(ip, 19) }},
	{"length 0", model.UDP, func(ip []byte) []byte { return lengthOf(ip, 0) }},
	{"no UDP header", model.UDP, func(ip []byte) []byte { return lengthOf(ip, 20)[:20] }},
	{"7 bytes of UDP", model.UDP, func(ip []byte) []byte { return lengthOf(ip, 27)[:27] }},
	{"19 bytes of TCP", model.TCP, func(ip []byte) []byte { return lengthOf(ip, 39)[:39] }},
	{"8 bytes of TCP and padding", model.TCP, func(ip []byte) []byte { return lengthOf(ip, 28) }},
	{"7 bytes of ICMP", model.ICMP, func(ip []byte) []byte { return lengthOf(ip, 27)[:27] }},
	{"options up to the end", model.UDP, func(ip []byte) []byte { ip[0] = 0x4a; return lengthOf(ip, 40) }},
	{"cut in the IP header", model.UDP, func(ip []byte) []byte { return ip[:19] }},
	{"one byte", model.UDP, func(ip []byte) []byte { return ip[:1] }},
	{"nothing", model.UDP, func(ip []byte) []byte { return nil }},
}

// lengthOf sets the total length and makes the header's checksum right again.
func lengthOf(ip []byte, length int) []byte {
	binary.BigEndian.PutUint16(ip[2:], uint16(length))
	ip[10], ip[11] = 0, 0
	binary.BigEndian.PutUint16(ip[10:], ^checksum(0, ip[:20]))
	return ip
}

// RFC 1812 section 5.2.2. Nothing of the sort gets through, opens a session or
// stands in the way of the next packet.
func TestBrokenHeadersArriveNowhere(t *testing.T) {
	t.Parallel()
	r := newRig(t, 1)
	r.mute(t, 0)
	for i, p := range []model.Protocol{model.TCP, model.UDP} {
		r.config.Mappings[uint32(i+1)] = mapping(p, "203.0.113.1:8080", inside(0, 80))
	}
	r.apply(t)
	remote, host := r.macOf(t, r.Remote, lab.RemoteLink), r.macOf(t, r.Host, lab.HostLink)
	for i, b := range breakages {
		outward := segment{protocol: b.protocol, flags: syn, from: inside(0, 4000), to: stranger(7, 80), payload: make([]byte, 12)}
		inward := segment{protocol: b.protocol, flags: syn, from: stranger(7, 80), to: published, payload: make([]byte, 12)}
		r.send(t, r.Endpoints[0], "eth0", ethernet(endpointMAC(0), gatewayMAC, etherIPv4, b.change(outward.ip())))
		r.dropped(t, "malformed", uint64(i+1))
		r.send(t, r.Remote, lab.RemoteLink, ethernet(remote, host, etherIPv4, b.change(inward.ip())))
		marker := fmt.Sprintf("marker %d", i)
		r.fromRemote(t, segment{protocol: model.UDP, from: stranger(9, 9), to: published, payload: []byte(marker)})
		r.atEndpoint[0].await(t, b.name+": the next packet", 1, says(marker))
	}
	if sessions := r.sessions(t); len(sessions) != 1 {
		t.Errorf("sessions %+v, want the markers' alone", sessions)
	}
	if got := r.atRemote.came(func(p packet) bool { return p.from.Addr() == hostAddress && p.to.Addr() == stranger(7, 0).Addr() }); len(got) != 0 {
		t.Errorf("went out: %v", got)
	}
	if got := r.atEndpoint[0].came(func(p packet) bool { return p.from.Addr() == stranger(7, 0).Addr() }); len(got) != 0 {
		t.Errorf("came in: %v", got)
	}
}

// The length that UDP itself tells is the receiver's to judge (RFC 1122 section
// 4.1.3): it goes through as it is, by the checksum's rules, and harms nothing.
func TestWrongUDPLengthsPassUnchanged(t *testing.T) {
	t.Parallel()
	r := newRig(t, 1)
	r.mute(t, 0)
	for i, length := range []uint16{0, 7, 8, 9, 1000, 0xffff} {
		s := segment{protocol: model.UDP, from: inside(0, uint16(4000+i)), to: stranger(7, 80), payload: []byte("12345678")}
		ip := s.ip()
		udp := ip[20:]
		binary.BigEndian.PutUint16(udp[4:], length)
		udp[6], udp[7] = 0, 0
		binary.BigEndian.PutUint16(udp[6:], ^checksum(s.pseudo(len(udp)), udp))
		r.send(t, r.Endpoints[0], "eth0", ethernet(endpointMAC(0), gatewayMAC, etherIPv4, ip))
		got := r.atRemote.await(t, "datagram", 1, is(model.UDP, r.external(t, model.UDP, s.from), s.to))[0]
		if told := binary.BigEndian.Uint16(got.data[14+20+4:]); told != length || got.size != 14+len(ip) {
			t.Errorf("%d bytes that tell %d, want %d that tell %d", got.size, told, 14+len(ip), length)
		}
	}
	if drops := r.drops(t); len(drops) != 0 {
		t.Errorf("drops %v", drops)
	}
}

// A damaged packet is not made whole on the way: sums are adjusted, not computed
// anew, so the receiver sees the damage (RFC 3022 section 4.1). That is why none
// is verified here: RFC 5508 REQ-3, RFC 1812 section 5.2.2.
func TestDamageStaysVisible(t *testing.T) {
	t.Parallel()
	r := newErrorRig(t)
	damaged := []byte("damaged")
	for _, w := range []*wire{r.atRemote, r.atEndpoint[0]} {
		w.expectWrong(func(p packet) bool { return bytes.Contains(p.data, damaged) })
	}
	for i, p := range []model.Protocol{model.UDP, model.TCP, model.ICMP} {
		s := segment{protocol: p, flags: syn, from: inside(0, uint16(4000+i)), to: stranger(7, 80), payload: damaged}
		ip := s.ip()
		ip[len(ip)-len(damaged)-1-i%2] ^= 0x20 // in the header, where no field is looked at
		r.send(t, r.Endpoints[0], "eth0", ethernet(endpointMAC(0), gatewayMAC, etherIPv4, ip))
		s.from = r.seenAs(t, s)
		r.atRemote.await(t, p.String(), 1, func(got packet) bool { return got.protocol == p && got.wrong })
	}
	u := segment{protocol: model.UDP, from: inside(0, 4000), to: stranger(7, 80)}
	u.from = r.seenAs(t, u)
	e := icmpError{from: stranger(7, 0).Addr(), to: hostAddress, kind: 3, code: 3, quote: append(u.ip(), damaged...)}.ip()
	e[21] ^= 1 // the code
	r.send(t, r.Remote, lab.RemoteLink, ethernet(r.macOf(t, r.Remote, lab.RemoteLink), r.macOf(t, r.Host, lab.HostLink), etherIPv4, e))
	r.atEndpoint[0].await(t, "the error", 1, func(got packet) bool { return got.protocol == model.ICMP && got.wrong })
}

// RFC 1812 section 5.2.2: less bytes than the header tells.
func TestTruncatedDatagramsArriveNowhere(t *testing.T) {
	t.Parallel()
	r := newMappedRig(t, 1)
	r.mute(t, 0)
	remote, host := r.macOf(t, r.Remote, lab.RemoteLink), r.macOf(t, r.Host, lab.HostLink)
	for i, p := range []model.Protocol{model.UDP, model.TCP, model.ICMP} {
		out := segment{protocol: p, flags: syn, from: inside(0, 4000), to: stranger(7, 80), payload: make([]byte, 200)}
		r.send(t, r.Endpoints[0], "eth0", ethernet(endpointMAC(0), gatewayMAC, etherIPv4, out.ip()[:60]))
		r.dropped(t, "malformed", uint64(i+1))
		in := segment{protocol: p, flags: syn, reply: true, from: stranger(7, 80), to: published, payload: make([]byte, 200)}
		r.send(t, r.Remote, lab.RemoteLink, ethernet(remote, host, etherIPv4, in.ip()[:60]))
	}
	r.marker(t)
	if sessions := r.sessions(t); len(sessions) != 1 {
		t.Errorf("sessions %+v, want the marker's alone", sessions)
	}
}
