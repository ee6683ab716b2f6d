package linktest

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"testing"

	"github.com/hostnat/hostnat/dev/lab"
	"github.com/hostnat/hostnat/internal/datapath/dptest"
	"github.com/hostnat/hostnat/internal/datapath/dptest/wire"
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
	{"length less than the header", model.UDP, func(ip []byte) []byte { return wire.LengthOf(ip, 19) }},
	{"length 0", model.UDP, func(ip []byte) []byte { return wire.LengthOf(ip, 0) }},
	{"no UDP header", model.UDP, func(ip []byte) []byte { return wire.LengthOf(ip, 20)[:20] }},
	{"7 bytes of UDP", model.UDP, func(ip []byte) []byte { return wire.LengthOf(ip, 27)[:27] }},
	{"19 bytes of TCP", model.TCP, func(ip []byte) []byte { return wire.LengthOf(ip, 39)[:39] }},
	{"8 bytes of TCP and padding", model.TCP, func(ip []byte) []byte { return wire.LengthOf(ip, 28) }},
	{"7 bytes of ICMP", model.ICMP, func(ip []byte) []byte { return wire.LengthOf(ip, 27)[:27] }},
	{"options up to the end", model.UDP, func(ip []byte) []byte { ip[0] = 0x4a; return wire.LengthOf(ip, 40) }},
	{"cut in the IP header", model.UDP, func(ip []byte) []byte { return ip[:19] }},
	{"one byte", model.UDP, func(ip []byte) []byte { return ip[:1] }},
	{"nothing", model.UDP, func(ip []byte) []byte { return nil }},
}

// RFC 1812 section 5.2.2. Nothing of the sort gets through, opens a session or
// stands in the way of the next packet.
func TestBrokenHeadersArriveNowhere(t *testing.T) {
	t.Parallel()
	r := dptest.NewRig(t, 1)
	r.Mute(t, 0)
	for i, p := range []model.Protocol{model.TCP, model.UDP} {
		r.Config.Mappings[uint32(i+1)] = dptest.Mapping(p, "203.0.113.1:8080", wire.Inside(0, 80))
	}
	r.Apply(t)
	remote, host := r.MACOf(t, r.Remote, lab.RemoteLink), r.MACOf(t, r.Host, lab.HostLink)
	for i, b := range breakages {
		outward := wire.Segment{Protocol: b.protocol, Flags: wire.Syn, From: wire.Inside(0, 4000), To: wire.Unanswered(7, 80), Payload: make([]byte, 12)}
		inward := wire.Segment{Protocol: b.protocol, Flags: wire.Syn, From: wire.Unanswered(7, 80), To: wire.Published, Payload: make([]byte, 12)}
		r.Send(t, r.Endpoints[0], "eth0", wire.Ethernet(dptest.EndpointMAC(0), wire.GatewayMAC, wire.EtherIPv4, b.change(outward.IP())))
		r.Dropped(t, "malformed", uint64(i+1))
		r.Send(t, r.Remote, lab.RemoteLink, wire.Ethernet(remote, host, wire.EtherIPv4, b.change(inward.IP())))
		marker := fmt.Sprintf("marker %d", i)
		r.FromRemote(t, wire.Segment{Protocol: model.UDP, From: wire.Unanswered(9, 9), To: wire.Published, Payload: []byte(marker)})
		r.AtEndpoint[0].Await(t, b.name+": the next packet", 1, wire.Says(marker))
	}
	if sessions := r.Sessions(t); len(sessions) != 1 {
		t.Errorf("sessions %+v, want the markers' alone", sessions)
	}
	if got := r.AtRemote.Came(func(p wire.Packet) bool {
		return p.From.Addr() == wire.HostAddress && p.To.Addr() == wire.Unanswered(7, 0).Addr()
	}); len(got) != 0 {
		t.Errorf("went out: %v", got)
	}
	if got := r.AtEndpoint[0].Came(func(p wire.Packet) bool { return p.From.Addr() == wire.Unanswered(7, 0).Addr() }); len(got) != 0 {
		t.Errorf("came in: %v", got)
	}
}

// The length that UDP itself tells is the receiver's to judge (RFC 1122 section
// 4.1.3): it goes through as it is, by the checksum's rules, and harms nothing.
func TestWrongUDPLengthsPassUnchanged(t *testing.T) {
	t.Parallel()
	r := dptest.NewRig(t, 1)
	r.Mute(t, 0)
	for i, length := range []uint16{0, 7, 8, 9, 1000, 0xffff} {
		s := wire.Segment{Protocol: model.UDP, From: wire.Inside(0, uint16(4000+i)), To: wire.Unanswered(7, 80), Payload: []byte("12345678")}
		ip := s.IP()
		udp := ip[20:]
		binary.BigEndian.PutUint16(udp[4:], length)
		udp[6], udp[7] = 0, 0
		binary.BigEndian.PutUint16(udp[6:], ^wire.Checksum(s.Pseudo(len(udp)), udp))
		r.Send(t, r.Endpoints[0], "eth0", wire.Ethernet(dptest.EndpointMAC(0), wire.GatewayMAC, wire.EtherIPv4, ip))
		got := r.AtRemote.Await(t, "datagram", 1, wire.Is(model.UDP, r.External(t, model.UDP, s.From), s.To))[0]
		if told := binary.BigEndian.Uint16(got.Data[14+20+4:]); told != length || got.Size != 14+len(ip) {
			t.Errorf("%d bytes that tell %d, want %d that tell %d", got.Size, told, 14+len(ip), length)
		}
	}
	if drops := r.Drops(t); len(drops) != 0 {
		t.Errorf("drops %v", drops)
	}
}

// A damaged packet is not made whole on the way: sums are adjusted, not computed
// anew, so the receiver sees the damage (RFC 3022 section 4.1). That is why none
// is verified here: RFC 5508 REQ-3, RFC 1812 section 5.2.2.
func TestDamageStaysVisible(t *testing.T) {
	t.Parallel()
	r := dptest.NewErrorRig(t)
	damaged := []byte("damaged")
	for _, w := range []*wire.Capture{r.AtRemote, r.AtEndpoint[0]} {
		w.ExpectWrong(func(p wire.Packet) bool { return bytes.Contains(p.Data, damaged) })
	}
	for i, p := range []model.Protocol{model.UDP, model.TCP, model.ICMP} {
		s := wire.Segment{Protocol: p, Flags: wire.Syn, From: wire.Inside(0, uint16(4000+i)), To: wire.Unanswered(7, 80), Payload: damaged}
		ip := s.IP()
		ip[len(ip)-len(damaged)-1-i%2] ^= 0x20 // in the header, where no field is looked at
		r.Send(t, r.Endpoints[0], "eth0", wire.Ethernet(dptest.EndpointMAC(0), wire.GatewayMAC, wire.EtherIPv4, ip))
		s.From = r.SeenAs(t, s)
		r.AtRemote.Await(t, p.String(), 1, func(got wire.Packet) bool { return got.Protocol == p && got.Wrong })
	}
	u := wire.Segment{Protocol: model.UDP, From: wire.Inside(0, 4000), To: wire.Unanswered(7, 80)}
	u.From = r.SeenAs(t, u)
	e := wire.ICMPError{From: wire.Unanswered(7, 0).Addr(), To: wire.HostAddress, Kind: 3, Code: 3, Quote: append(u.IP(), damaged...)}.IP()
	e[21] ^= 1 // the code
	r.Send(t, r.Remote, lab.RemoteLink, wire.Ethernet(r.MACOf(t, r.Remote, lab.RemoteLink), r.MACOf(t, r.Host, lab.HostLink), wire.EtherIPv4, e))
	r.AtEndpoint[0].Await(t, "the error", 1, func(got wire.Packet) bool { return got.Protocol == model.ICMP && got.Wrong })
}

// RFC 1812 section 5.2.2: less bytes than the header tells.
func TestTruncatedDatagramsArriveNowhere(t *testing.T) {
	t.Parallel()
	r := dptest.NewMappedRig(t, 1)
	r.Mute(t, 0)
	remote, host := r.MACOf(t, r.Remote, lab.RemoteLink), r.MACOf(t, r.Host, lab.HostLink)
	for i, p := range []model.Protocol{model.UDP, model.TCP, model.ICMP} {
		out := wire.Segment{Protocol: p, Flags: wire.Syn, From: wire.Inside(0, 4000), To: wire.Unanswered(7, 80), Payload: make([]byte, 200)}
		r.Send(t, r.Endpoints[0], "eth0", wire.Ethernet(dptest.EndpointMAC(0), wire.GatewayMAC, wire.EtherIPv4, out.IP()[:60]))
		r.Dropped(t, "malformed", uint64(i+1))
		in := wire.Segment{Protocol: p, Flags: wire.Syn, Reply: true, From: wire.Unanswered(7, 80), To: wire.Published, Payload: make([]byte, 200)}
		r.Send(t, r.Remote, lab.RemoteLink, wire.Ethernet(remote, host, wire.EtherIPv4, in.IP()[:60]))
	}
	r.Marker(t)
	if sessions := r.Sessions(t); len(sessions) != 1 {
		t.Errorf("sessions %+v, want the marker's alone", sessions)
	}
}
