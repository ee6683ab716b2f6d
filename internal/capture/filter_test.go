package capture

import (
	"errors"
	"net"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"

	"github.com/hostnat/hostnat/internal/model"
)

// frame builds an IPv4 frame.
func frame(t testing.TB, from, to string, transport gopacket.SerializableLayer, payload string) []byte {
	t.Helper()
	ip := &layers.IPv4{Version: 4, TTL: 64, SrcIP: net.ParseIP(from), DstIP: net.ParseIP(to)}
	switch l := transport.(type) {
	case *layers.TCP:
		ip.Protocol = layers.IPProtocolTCP
		_ = l.SetNetworkLayerForChecksum(ip)
	case *layers.UDP:
		ip.Protocol = layers.IPProtocolUDP
		_ = l.SetNetworkLayerForChecksum(ip)
	case *layers.ICMPv4:
		ip.Protocol = layers.IPProtocolICMPv4
	}
	ethernet := &layers.Ethernet{SrcMAC: net.HardwareAddr{2, 0, 0, 0, 0, 1}, DstMAC: net.HardwareAddr{2, 0, 0, 0, 0, 2}, EthernetType: layers.EthernetTypeIPv4}
	return serialized(t, ethernet, ip, transport, gopacket.Payload(payload))
}

func serialized(t testing.TB, list ...gopacket.SerializableLayer) []byte {
	t.Helper()
	buffer := gopacket.NewSerializeBuffer()
	if err := gopacket.SerializeLayers(buffer, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}, list...); err != nil {
		t.Fatal(err)
	}
	return buffer.Bytes()
}

func packet(came, went []byte) *model.CapturedPacket {
	return &model.CapturedPacket{
		ID: 7, Program: "inside_ingress", Link: "hv-c1", Network: "web", Endpoint: "c1", Ethernet: true,
		Verdict: model.VerdictSent, Code: 7, CameLength: len(came), Length: len(went), Came: came, Went: went,
		Session: &model.Session{
			NAT: "default", Network: "web", Endpoint: "c1", Protocol: model.TCP, State: model.StateEstablished,
			Internal: netip.MustParseAddrPort("172.16.1.2:40000"), External: netip.MustParseAddrPort("203.0.113.1:4711"),
			Remote: netip.MustParseAddrPort("198.51.100.7:443"),
		},
	}
}

// translated is a packet of c1's connection to a server outside.
func translated(t testing.TB) *model.CapturedPacket {
	t.Helper()
	tcp := func(port layers.TCPPort) *layers.TCP {
		return &layers.TCP{SrcPort: port, DstPort: 443, SYN: true}
	}
	return packet(frame(t, "172.16.1.2", "198.51.100.7", tcp(40000), ""), frame(t, "203.0.113.1", "198.51.100.7", tcp(4711), ""))
}

func TestFilters(t *testing.T) {
	t.Parallel()
	sent := translated(t)
	ping := packet(frame(t, "172.16.1.2", "198.51.100.7", &layers.ICMPv4{TypeCode: layers.CreateICMPv4TypeCode(8, 0)}, strings.Repeat("x", 100)), nil)
	ping.Verdict, ping.Code, ping.Reason, ping.Session = model.VerdictDropped, 2, "spoofed-source", nil
	request := packet(serialized(t,
		&layers.Ethernet{SrcMAC: net.HardwareAddr{2, 0, 0, 0, 0, 1}, DstMAC: layers.EthernetBroadcast, EthernetType: layers.EthernetTypeARP},
		&layers.ARP{
			AddrType: layers.LinkTypeEthernet, Protocol: layers.EthernetTypeIPv4, HwAddressSize: 6, ProtAddressSize: 4, Operation: layers.ARPRequest,
			SourceHwAddress: []byte{2, 0, 0, 0, 0, 1}, SourceProtAddress: []byte{172, 16, 1, 2}, DstHwAddress: make([]byte, 6), DstProtAddress: []byte{172, 16, 1, 1},
		}), nil)
	request.Session, request.Verdict = nil, model.VerdictLeft
	for _, c := range []struct {
		filter string
		want   string // which of the three are selected
	}{
		{"", "sent ping arp"},
		{"tcp", "sent"},
		{"icmp", "ping"},
		{"arp", "arp"},
		{"ip", "sent ping"},
		{"ip6", ""},
		{"not tcp", "ping arp"},
		{"! tcp and ! arp", "ping"},
		{"host 172.16.1.2", "sent ping arp"},
		{"arp host 172.16.1.1", "arp"},
		{"ip host 172.16.1.1", ""},
		{"host 203.0.113.1", "sent"},
		{"src 203.0.113.1", "sent"},
		{"dst 203.0.113.1", ""},
		{"src 172.16.1.2 and dst 198.51.100.7", "sent ping"},
		{"src or dst 198.51.100.7", "sent ping"},
		{"src and dst host 198.51.100.7", ""},
		{"net 203.0.113.0/24", "sent"},
		{"port 443", "sent"},
		{"src port 443", ""},
		{"tcp dst port 443", "sent"},
		{"udp port 443", ""},
		{"port 4711 and host 172.16.1.2", "sent"},
		{"portrange 4000-5000", "sent"},
		{"port 80 or 443", "sent"},
		{"host 10.0.0.1 or 203.0.113.1", "sent"},
		{"tcp or icmp and arp", ""}, // from left to right, as tcpdump reads it
		{"tcp or (icmp and arp)", "sent"},
		{"tcp && (port 443 || port 80)", "sent"},
		{"proto 1", "ping"},
		{"proto udp", ""},
		{"flags syn", "sent"},
		{"flags syn,ack", ""},
		{"flags syn,-ack", "sent"},
		{"less 60", "sent arp"},
		{"greater 61", "ping"},
		{"endpoint c1", "sent ping arp"},
		{"endpoint c2", ""},
		{"network web", "sent ping arp"},
		{"program outside_ingress", ""},
		{"session 203.0.113.1:4711", "sent"},
		{"verdict dropped", "ping"},
		{"verdict left or sent", "sent arp"},
		{"reason spoofed-source", "ping"},
	} {
		f, err := Parse(c.filter)
		if err != nil {
			if c.want != "" {
				t.Errorf("%s: %v", c.filter, err)
			}
			continue
		}
		var got []string
		reader := NewReader()
		for _, p := range []struct {
			name   string
			packet *model.CapturedPacket
		}{{"sent", sent}, {"ping", ping}, {"arp", request}} {
			if f.Selects(p.packet, reader) {
				got = append(got, p.name)
			}
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("%q selects %v, want %s", c.filter, got, c.want)
		}
	}
}

func TestWhatIsNoFilter(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"hots 10.0.0.1":                `filter: "hots" is no condition`,
		"host":                         `filter: host "" is no address`,
		"host c1":                      `filter: host "c1" is no address`,
		"host fe80::1%eth0":            `filter: host "fe80::1%eth0" is no address`,
		"net 10.0.0.1/8":               `filter: net 10.0.0.1/8 has bits behind its prefix`,
		"net 10.0.0.0/33":              `filter: net "10.0.0.0/33" is no prefix`,
		"port 80-90":                   `filter: port "80-90" is no port`,
		"port http":                    `filter: port "http" is no port`,
		"portrange 90-80":              `filter: portrange "90-80" is no range of ports, like 8000-8010`,
		"icmp port 80":                 `filter: only tcp and udp have ports`,
		"tcp and":                      `filter: it ends where a condition has to come`,
		"(tcp":                         `filter: a parenthesis is not closed`,
		"tcp)":                         `filter: ")" is one too many`,
		"tcp port 80 udp":              `filter: "udp" is one too many`,
		"tcp[13] & 2 != 0":             `filter: "tcp[13]" is no condition`,
		"proto 0":                      `filter: proto "0" is no protocol of IP: use tcp, udp, icmp or a number`,
		"flags sin":                    `filter: flags "sin": "sin" is none of fin, syn, rst, psh, ack, urg, ece, cwr`,
		"less many":                    `filter: "many" is no number of bytes`,
		"endpoint":                     `filter: a name has to come at its end`,
		"session c1":                   `filter: session "c1" is not ADDRESS:PORT, as 'session list' shows its ends`,
		"verdict lost":                 `filter: verdict "lost" is none of sent, left, dropped`,
		"reason because":               `filter: reason "because" is none that a packet is dropped for: 'hostnat status' and 'hostnat event watch --only drop' show some`,
		strings.Repeat("not ", 100):    `filter: more than 64 parentheses and negations in each other`,
		strings.Repeat("tcp or ", 600): `filter: it has 4200 characters, at most 4096 are read`,
	} {
		_, err := Parse(text)
		var e *model.Error
		if !errors.As(err, &e) || e.Code != model.Invalid || e.Message != want {
			t.Errorf("%q: %v\nwant %s", text, err, want)
		}
	}
}

// TestWish: what the kernel looks for is what every selected packet has.
func TestWish(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]model.CaptureWish{
		"":                                               {},
		"tcp port 443 and host 10.0.0.1":                 {Protocol: model.TCP, Port: 443, Prefix: netip.MustParsePrefix("10.0.0.1/32")},
		"net 10.0.0.0/8 and udp":                         {Protocol: model.UDP, Prefix: netip.MustParsePrefix("10.0.0.0/8")},
		"tcp or udp":                                     {},
		"not host 10.0.0.1":                              {},
		"(host 10.0.0.1 or port 5) and icmp":             {Protocol: model.ICMP},
		"portrange 80-90":                                {},
		"endpoint c1 and port 53":                        {Port: 53},
		"network web and verdict sent":                   {Network: "web", Verdicts: model.VerdictsOf(model.VerdictSent)},
		"reason martian-destination or network web":      {},
		"verdict dropped and reason martian-destination": {Verdicts: model.VerdictsOf(model.VerdictDropped), Reason: "martian-destination"},
		"host ::1":                                       {},
		"port 80 and port 443":                           {Port: 80},
		"tcp and proto 6 and host 10.0.0.1 or":           {},
	} {
		f, _ := Parse(text)
		if diff := cmp.Diff(want, f.Wish(), cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })); diff != "" {
			t.Errorf("%q (-want +got):\n%s", text, diff)
		}
	}
}

// TestProgramOfTcpdump: what tcpdump -ddd prints for "tcp port 443" (libpcap 1.10).
func TestProgramOfTcpdump(t *testing.T) {
	t.Parallel()
	const accept = "2\n40 0 0 12\n21 0 1 2048\n"
	for text, want := range map[string]string{
		"":                 "begins with the number of its instructions",
		"1\n6 0 0":         "line 2 of the BPF program is no instruction of four numbers",
		"2\n6 0 0 1":       "begins with the number of its instructions",
		"1\n65535 0 0 0":   "has instructions that are not known",
		accept:             "the BPF program does not run",
		"99999\n6 0 0 100": "begins with the number of its instructions",
	} {
		if _, err := (Filter{}).WithProgram(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %s", text, err, want)
		}
	}
	f, err := (Filter{}).WithProgram("4\n40 0 0 12\n21 0 1 2048\n6 0 0 262144\n6 0 0 0\n") // ip
	if err != nil {
		t.Fatal(err)
	}
	if !f.Selects(translated(t), NewReader()) {
		t.Error("the program for ip does not select an IPv4 packet")
	}
}

func FuzzParse(f *testing.F) {
	for _, text := range []string{"tcp port 443 and endpoint c1", "not (host 10.0.0.1 or net 10.0.0.0/8)", "flags syn,-ack or less 64", "src and dst port 5", "verdict dropped"} {
		f.Add(text, []byte{})
	}
	sent := translated(f)
	f.Fuzz(func(t *testing.T, text string, bytes []byte) {
		filter, err := Parse(text)
		if err != nil {
			return
		}
		filter.Wish()
		reader := NewReader()
		filter.Selects(sent, reader)
		filter.Selects(&model.CapturedPacket{Came: bytes, Went: bytes, Ethernet: len(bytes)%2 == 0}, reader)
		if len(bytes) > 0 {
			p := &model.CapturedPacket{Came: bytes, Went: bytes, Verdict: model.VerdictSent}
			came, went := reader.Sides(p)
			_ = Short(p, came, went)
		}
	})
}
