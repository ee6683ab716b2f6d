package linktest

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/hostnat/hostnat/dev/lab"
	"github.com/hostnat/hostnat/internal/datapath/dptest"
	"github.com/hostnat/hostnat/internal/datapath/dptest/wire"
	"github.com/hostnat/hostnat/internal/model"
)

// wordsOfALGs are what a NAT with an application gateway would change: the
// inside address and port, in each way that a protocol writes them.
var wordsOfALGs = []struct {
	port    uint16
	payload string
}{
	{5060, "INVITE sip:b@203.0.113.2 SIP/2.0\r\nVia: SIP/2.0/UDP 172.16.1.2:4000\r\nContact: <sip:a@172.16.1.2:4000>\r\n\r\nc=IN IP4 172.16.1.2\r\nm=audio 4000 RTP/AVP 0\r\n"},
	{21, "PORT 172,16,1,2,15,160\r\n"},
	{21, "227 Entering Passive Mode (172,16,1,2,15,160)\r\n"},
	{69, "\x00\x01172.16.1.2\x00octet\x00"},
	{554, "SETUP rtsp://203.0.113.2/ RTSP/1.0\r\nTransport: RTP/AVP;client_port=4000-4001;destination=172.16.1.2\r\n\r\n"},
	{6667, "PRIVMSG b :\x01DCC SEND f 2886729986 4000\x01\r\n"},
	{3478, "\x00\x01\x00\x08\x21\x12\xa4\x42transactions\x00\x01\x00\x08\x00\x01\x0f\xa0\xac\x10\x01\x02"}, // STUN with the address as it is
	{1723, "\xac\x10\x01\x02\x0f\xa0\xac\x10\x01\x02"},
}

// RFC 4787 REQ-10, RFC 5382 REQ-6: there is no application gateway in the way,
// on no port.
func TestPayloadsAreNotTouched(t *testing.T) {
	t.Parallel()
	r := dptest.NewRig(t, 1)
	client := wire.Listen(t, r.Endpoints[0], wire.Text(wire.EndpointAddress(0), "4000"))
	for _, w := range wordsOfALGs {
		at := netip.AddrPortFrom(wire.RemoteAddress, w.port)
		t.Run(fmt.Sprintf("%d %.8q", w.port, w.payload), func(t *testing.T) {
			server := wire.Listen(t, r.Remote, at.String())
			client.Send(t, at, w.payload)
			server.Send(t, server.Expect(t, w.payload), w.payload)
			client.Expect(t, w.payload)

			listener, err := r.Remote.Listen("tcp4", at.String())
			wire.Must(t, err)
			defer listener.Close()
			conn, err := r.Endpoints[0].Dial(wire.WithTimeout(t), "tcp4", at.String())
			wire.Must(t, err)
			defer conn.Close()
			accepted, err := listener.Accept()
			wire.Must(t, err)
			defer accepted.Close()
			for _, way := range [][2]net.Conn{{conn, accepted}, {accepted, conn}} {
				wire.Must(t, way[1].SetReadDeadline(time.Now().Add(wire.Patience)))
				got := make([]byte, len(w.payload))
				_, err := io.WriteString(way[0], w.payload)
				wire.Must(t, err)
				if _, err := io.ReadFull(way[1], got); err != nil || string(got) != w.payload {
					t.Errorf("TCP: %q has become %q, %v", w.payload, got, err)
				}
			}
		})
	}
}

// Of a packet's headers only addresses, ports, TTL and checksums change: class
// of service (RFC 5508 REQ-10, RFC 2474), identification of what must not be
// fragmented (RFC 6864), the don't-fragment flag, everything of TCP.
func TestHeadersAreOtherwiseUnchanged(t *testing.T) {
	t.Parallel()
	r := dptest.NewRig(t, 1)
	r.Mute(t, 0)
	remote, host := r.MACOf(t, r.Remote, lab.RemoteLink), r.MACOf(t, r.Host, lab.HostLink)
	for i, p := range []model.Protocol{model.TCP, model.UDP, model.ICMP} {
		out := wire.Segment{Protocol: p, Flags: wire.Syn, From: wire.Inside(0, uint16(4000+i)), To: wire.Unanswered(7, 80), Fragment: 0x4000, Options: wire.IPOptions, Payload: []byte("payload")}
		r.Send(t, r.Endpoints[0], "eth0", wire.Ethernet(dptest.EndpointMAC(0), wire.GatewayMAC, wire.EtherIPv4, adorned(out)))
		external := r.External(t, p, out.From)
		want := out
		want.From, want.TTL = external, 63
		same(t, r, r.AtRemote, p.String()+" out", want)

		back := wire.Segment{Protocol: p, Flags: wire.SynAck, Reply: true, From: out.To, To: external, Fragment: 0x4000, Options: wire.IPOptions, Payload: []byte("answer")}
		r.Send(t, r.Remote, lab.RemoteLink, wire.Ethernet(remote, host, wire.EtherIPv4, adorned(back)))
		want = back
		want.To, want.TTL = out.From, 63
		same(t, r, r.AtEndpoint[0], p.String()+" in", want)
	}
}

// adorned is the segment's packet with values in every field that segment leaves 0.
func adorned(s wire.Segment) []byte {
	ip := s.IP()
	ip[1] = 0xbb // DSCP EF, and a congestion mark
	binary.BigEndian.PutUint16(ip[4:], 0x1234)
	ip[10], ip[11] = 0, 0
	header := int(ip[0]&15) * 4
	binary.BigEndian.PutUint16(ip[10:], ^wire.Checksum(0, ip[:header]))
	l4 := ip[header:]
	at := map[model.Protocol]int{model.TCP: 16, model.UDP: 6, model.ICMP: 2}[s.Protocol]
	switch s.Protocol {
	case model.TCP:
		copy(l4[4:], []byte{0xff, 0xff, 0xff, 0xff, 0x80, 0, 0, 1}) // sequence, acknowledgment
		l4[13] |= 0xc8                                              // CWR, ECE, PSH
		copy(l4[18:], []byte{0x56, 0x78})                           // urgent pointer
	case model.ICMP:
		copy(l4[6:], []byte{0xab, 0xcd}) // sequence
	}
	l4[at], l4[at+1] = 0, 0
	binary.BigEndian.PutUint16(l4[at:], ^wire.Checksum(s.Pseudo(len(l4)), l4))
	return ip
}

// same waits for a packet of the wanted addresses and compares every byte of it.
func same(t *testing.T, r *dptest.Rig, w *wire.Capture, what string, want wire.Segment) {
	t.Helper()
	from, to := want.From, want.To
	if want.Protocol == model.ICMP { // the identifier is the port of both
		from, to = netip.AddrPort{}, netip.AddrPort{}
	}
	ip := adorned(want)
	got := w.Await(t, what, 1, wire.Is(want.Protocol, from, to))
	if last := got[len(got)-1].Data[14:]; !bytes.Equal(last[:len(ip)], ip) {
		t.Errorf("%s:\n got %x\nwant %x", what, last[:len(ip)], ip)
	}
}

// RFC 7857 section 10, RFC 6864 section 5.3.1: whole
// datagrams that a router may still fragment get identifications of the NAT's.
func TestIdentificationsOfTwoEndpointsDoNotMeet(t *testing.T) {
	t.Parallel()
	r := dptest.NewRig(t, 2)
	r.Mute(t, 0)
	r.Mute(t, 1)
	const each = 50
	for i := range each { // all with identification 0
		for e := range 2 {
			r.FromEndpoint(t, e, wire.Segment{Protocol: model.UDP, From: wire.Inside(e, 4000), To: wire.Unanswered(7, 80), Payload: []byte{byte(i)}})
		}
	}
	seen := map[string]bool{}
	for _, p := range r.AtRemote.Await(t, "datagrams", 2*each, func(p wire.Packet) bool { return p.Protocol == model.UDP && p.To == wire.Unanswered(7, 80) }) {
		id := string(p.Data[14+4 : 14+6])
		if seen[id] {
			t.Fatalf("identification %x twice", id)
		}
		seen[id] = true
	}
}
