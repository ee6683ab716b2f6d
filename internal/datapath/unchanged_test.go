package datapath

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
	r := newRig(t, 1)
	client := listen(t, r.Endpoints[0], text(endpointAddress(0), "4000"))
	for _, w := range wordsOfALGs {
		at := netip.AddrPortFrom(remoteAddress, w.port)
		t.Run(fmt.Sprintf("%d %.8q", w.port, w.payload), func(t *testing.T) {
			server := listen(t, r.Remote, at.String())
			client.send(t, at, w.payload)
			server.send(t, server.expect(t, w.payload), w.payload)
			client.expect(t, w.payload)

			listener, err := r.Remote.Listen("tcp4", at.String())
			must(t, err)
			defer listener.Close()
			conn, err := r.Endpoints[0].Dial(withTimeout(t), "tcp4", at.String())
			must(t, err)
			defer conn.Close()
			accepted, err := listener.Accept()
			must(t, err)
			defer accepted.Close()
			for _, way := range [][2]net.Conn{{conn, accepted}, {accepted, conn}} {
				must(t, way[1].SetReadDeadline(time.Now().Add(patience)))
				got := make([]byte, len(w.payload))
				_, err := io.WriteString(way[0], w.payload)
				must(t, err)
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
	r := newRig(t, 1)
	r.mute(t, 0)
	remote, host := r.macOf(t, r.Remote, lab.RemoteLink), r.macOf(t, r.Host, lab.HostLink)
	for i, p := range []model.Protocol{model.TCP, model.UDP, model.ICMP} {
		out := segment{protocol: p, flags: syn, from: inside(0, uint16(4000+i)), to: stranger(7, 80), fragment: 0x4000, options: ipOptions, payload: []byte("payload")}
		r.send(t, r.Endpoints[0], "eth0", ethernet(endpointMAC(0), gatewayMAC, etherIPv4, adorned(out)))
		external := r.external(t, p, out.from)
		want := out
		want.from, want.ttl = external, 63
		r.same(t, r.atRemote, p.String()+" out", want)

		back := segment{protocol: p, flags: synAck, reply: true, from: out.to, to: external, fragment: 0x4000, options: ipOptions, payload: []byte("answer")}
		r.send(t, r.Remote, lab.RemoteLink, ethernet(remote, host, etherIPv4, adorned(back)))
		want = back
		want.to, want.ttl = out.from, 63
		r.same(t, r.atEndpoint[0], p.String()+" in", want)
	}
}

// adorned is the segment's packet with values in every field that segment leaves 0.
func adorned(s segment) []byte {
	ip := s.ip()
	ip[1] = 0xbb // DSCP EF, and a congestion mark
	binary.BigEndian.PutUint16(ip[4:], 0x1234)
	ip[10], ip[11] = 0, 0
	header := int(ip[0]&15) * 4
	binary.BigEndian.PutUint16(ip[10:], ^checksum(0, ip[:header]))
	l4 := ip[header:]
	at := map[model.Protocol]int{model.TCP: 16, model.UDP: 6, model.ICMP: 2}[s.protocol]
	switch s.protocol {
	case model.TCP:
		copy(l4[4:], []byte{0xff, 0xff, 0xff, 0xff, 0x80, 0, 0, 1}) // sequence, acknowledgment
		l4[13] |= 0xc8                                              // CWR, ECE, PSH
		copy(l4[18:], []byte{0x56, 0x78})                           // urgent pointer
	case model.ICMP:
		copy(l4[6:], []byte{0xab, 0xcd}) // sequence
	}
	l4[at], l4[at+1] = 0, 0
	binary.BigEndian.PutUint16(l4[at:], ^checksum(s.pseudo(len(l4)), l4))
	return ip
}

// same waits for a packet of the wanted addresses and compares every byte of it.
func (r *rig) same(t *testing.T, w *wire, what string, want segment) {
	t.Helper()
	from, to := want.from, want.to
	if want.protocol == model.ICMP { // the identifier is the port of both
		from, to = netip.AddrPort{}, netip.AddrPort{}
	}
	ip := adorned(want)
	got := w.await(t, what, 1, is(want.protocol, from, to))
	if last := got[len(got)-1].data[14:]; !bytes.Equal(last[:len(ip)], ip) {
		t.Errorf("%s:\n got %x\nwant %x", what, last[:len(ip)], ip)
	}
}

// RFC 7857 section 10, RFC 6864 section 5.3.1: whole
// datagrams that a router may still fragment get identifications of the NAT's.
func TestIdentificationsOfTwoEndpointsDoNotMeet(t *testing.T) {
	t.Parallel()
	r := newRig(t, 2)
	r.mute(t, 0)
	r.mute(t, 1)
	const each = 50
	for i := range each { // all with identification 0
		for e := range 2 {
			r.fromEndpoint(t, e, segment{protocol: model.UDP, from: inside(e, 4000), to: stranger(7, 80), payload: []byte{byte(i)}})
		}
	}
	seen := map[string]bool{}
	for _, p := range r.atRemote.await(t, "datagrams", 2*each, func(p packet) bool { return p.protocol == model.UDP && p.to == stranger(7, 80) }) {
		id := string(p.data[14+4 : 14+6])
		if seen[id] {
			t.Fatalf("identification %x twice", id)
		}
		seen[id] = true
	}
}
