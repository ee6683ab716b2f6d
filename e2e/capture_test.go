//go:build e2e

package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"

	"github.com/hostnat/hostnat/dev/lab"
	"github.com/hostnat/hostnat/internal/capture"
	"github.com/hostnat/hostnat/internal/model"
)

// TestFiltersAgreeWithLibpcap: what hostnat's filters and tcpdump's have in common selects
// the same of generated packets, also as a program of tcpdump -ddd.
func TestFiltersAgreeWithLibpcap(t *testing.T) {
	tcpdump := need(t, "tcpdump")
	random := rand.New(rand.NewPCG(1, 2))
	frames := make([][]byte, 500)
	for i := range frames {
		frames[i] = randomFrame(t, random)
	}
	file := filepath.Join(t.TempDir(), "frames.pcap")
	writePcap(t, file, frames)
	reader, selected := capture.NewReader(), 0
	for range 150 {
		filter := randomFilter(random, 3)
		want, some := readWith(t, tcpdump, file, filter)
		own, err := capture.Parse(filter)
		if err != nil {
			t.Fatal(err)
		}
		filters := map[string]capture.Filter{"ours": own}
		if some {
			program := output(t, exec.Command(tcpdump, "-y", "EN10MB", "-ddd", "-r", file, filter))
			if filters["tcpdump -ddd"], err = (capture.Filter{}).WithProgram(program); err != nil {
				t.Fatalf("%s: %v", filter, err)
			}
		}
		for name, f := range filters {
			var got []int
			for i, bytes := range frames {
				if f.Selects(&model.CapturedPacket{Ethernet: true, Came: bytes, CameLength: len(bytes), Verdict: model.VerdictDropped}, reader) {
					got = append(got, i)
				}
			}
			if !slices.Equal(got, want) {
				t.Errorf("%s, %s: selects %v, libpcap %v", filter, name, got, want)
			}
		}
		selected += len(want)
	}
	t.Logf("%d of %d decisions were to select", selected, 150*len(frames))
	if selected == 0 {
		t.Error("no filter selects anything")
	}
}

var (
	filterHosts = []string{"10.0.0.1", "10.0.0.2", "10.1.0.1", "192.0.2.7"}
	filterPorts = []int{53, 80, 443, 8080}
)

func pick[T any](random *rand.Rand, list ...T) T { return list[random.IntN(len(list))] }

func randomFrame(t *testing.T, random *rand.Rand) []byte {
	t.Helper()
	from, to := net.ParseIP(pick(random, filterHosts...)).To4(), net.ParseIP(pick(random, filterHosts...)).To4()
	ethernet := &layers.Ethernet{SrcMAC: net.HardwareAddr{2, 0, 0, 0, 0, 1}, DstMAC: net.HardwareAddr{2, 0, 0, 0, 0, 2}, EthernetType: layers.EthernetTypeIPv4}
	ip := &layers.IPv4{Version: 4, TTL: 64, SrcIP: from, DstIP: to}
	payload := gopacket.Payload(bytes.Repeat([]byte{'x'}, random.IntN(200)))
	list := []gopacket.SerializableLayer{ethernet, ip}
	switch random.IntN(6) {
	case 0:
		ethernet.EthernetType = layers.EthernetTypeARP
		list = []gopacket.SerializableLayer{ethernet, &layers.ARP{
			AddrType: layers.LinkTypeEthernet, Protocol: layers.EthernetTypeIPv4, HwAddressSize: 6, ProtAddressSize: 4, Operation: layers.ARPRequest,
			SourceHwAddress: ethernet.SrcMAC, SourceProtAddress: from, DstHwAddress: make([]byte, 6), DstProtAddress: to,
		}}
		payload = nil
	case 1:
		ip.Protocol = layers.IPProtocolICMPv4
		list = append(list, &layers.ICMPv4{TypeCode: layers.CreateICMPv4TypeCode(pick[uint8](random, 0, 8, 3), 1), Id: 80, Seq: 443})
	case 2, 3:
		ip.Protocol = layers.IPProtocolUDP
		udp := &layers.UDP{SrcPort: layers.UDPPort(pick(random, filterPorts...)), DstPort: layers.UDPPort(pick(random, filterPorts...))}
		_ = udp.SetNetworkLayerForChecksum(ip)
		list = append(list, udp)
		if random.IntN(4) == 0 {
			ip.FragOffset = 10 // a later fragment: it has no ports
		}
	default:
		ip.Protocol = layers.IPProtocolTCP
		if random.IntN(3) == 0 { // options in front of the ports
			ip.Options = []layers.IPv4Option{{OptionType: 1}, {OptionType: 1}, {OptionType: 1}, {OptionType: 1}}
		}
		tcp := &layers.TCP{SrcPort: layers.TCPPort(pick(random, filterPorts...)), DstPort: layers.TCPPort(pick(random, filterPorts...)), SYN: true}
		_ = tcp.SetNetworkLayerForChecksum(ip)
		list = append(list, tcp)
	}
	buffer := gopacket.NewSerializeBuffer()
	if err := gopacket.SerializeLayers(buffer, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}, append(list, payload)...); err != nil {
		t.Fatal(err)
	}
	return slices.Clone(buffer.Bytes())
}

// randomFilter draws a filter of words that both know.
func randomFilter(random *rand.Rand, depth int) string {
	if depth > 0 && random.IntN(3) > 0 {
		joined := randomFilter(random, depth-1) + pick(random, " and ", " or ", " and not ") + randomFilter(random, depth-1)
		if random.IntN(2) == 0 {
			return "(" + joined + ")"
		}
		return joined
	}
	towards := pick(random, "", "src ", "dst ", "src or dst ", "src and dst ")
	host, port := pick(random, filterHosts...), pick(random, filterPorts...)
	return pick(random,
		"tcp", "udp", "icmp", "arp", "ip", "ip6", "proto 17", "not tcp",
		towards+"host "+host, towards+"net 10.0.0.0/8", "ip "+towards+"host "+host, "arp host "+host,
		fmt.Sprintf("%sport %d", towards, port), fmt.Sprintf("tcp %sport %d", towards, port), fmt.Sprintf("udp port %d or 443", port),
		fmt.Sprintf("%sportrange 50-%d", towards, port), "less 100", "greater 120", "host "+host+" or 10.1.0.1",
	)
}

func writePcap(t *testing.T, name string, frames [][]byte) {
	t.Helper()
	file, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	w := pcapgo.NewWriter(file)
	if err := w.WriteFileHeader(65536, layers.LinkTypeEthernet); err != nil {
		t.Fatal(err)
	}
	for i, f := range frames {
		if err := w.WritePacket(gopacket.CaptureInfo{Timestamp: time.Unix(int64(i), 0), CaptureLength: len(f), Length: len(f)}, f); err != nil {
			t.Fatal(err)
		}
	}
}

// readWith returns which frames of a file tcpdump selects. some is false if it sees from
// the filter alone that it selects none: then it refuses it.
func readWith(t *testing.T, tcpdump, file, filter string) (list []int, some bool) {
	t.Helper()
	cmd := exec.Command(tcpdump, "-r", file, "-w", "-", filter)
	var said bytes.Buffer
	cmd.Stderr = &said
	out, err := cmd.Output()
	if strings.Contains(said.String(), "expression rejects all packets") {
		return nil, false
	}
	if err != nil {
		t.Fatalf("tcpdump %s: %v: %s", filter, err, &said)
	}
	r, err := pcapgo.NewReader(bytes.NewReader(out))
	if err != nil {
		t.Fatalf("what tcpdump selects by %s: %v", filter, err)
	}
	for {
		_, info, err := r.ReadPacketData()
		if err != nil {
			return list, true
		}
		list = append(list, int(info.Timestamp.Unix()))
	}
}

// TestTsharkReadsCaptures: a file of hostnat's joins both sides of a packet by its id, and
// networks and endpoints are interfaces of tshark itself.
func TestTsharkReadsCaptures(t *testing.T) {
	tshark := need(t, "tshark")
	h := startHost(t, 1)
	h.attach("c1", "--netns", h.Endpoints[0].Name)
	startNginx(t, h.Remote, "outside")
	file := filepath.Join(t.TempDir(), "c1.pcapng")
	capturing := start(t, h.Host, "capture", hostnat, "--socket", filepath.Join(h.run, "hostnat.sock"), "capture", "--count", "6", "-w", file, "tcp", "port", "80", "and", "endpoint", "c1")
	waitFor(t, time.Minute, "the capture to begin", func() bool { return strings.Contains(capturing.printed(t), "capturing") })
	curl := need(t, "curl")
	fetch := func() {
		if out, err := h.Endpoints[0].Command(t.Context(), curl, "-sS", "--max-time", "10", "http://"+lab.RemoteAddress+"/").CombinedOutput(); err != nil {
			t.Fatalf("curl: %v: %s", err, out)
		}
	}
	fetch()
	waitFor(t, time.Minute, "six packets", capturing.hasEnded)
	if said := capturing.printed(t); !strings.Contains(said, "6 packets, 0 lost") {
		t.Errorf("capture said %q", said)
	}
	fields := []string{"-T", "fields", "-E", "separator=|", "-e", "frame.packet_id", "-e", "ip.src", "-e", "ip.dst", "-e", "frame.comment"}
	checkJoined(t, output(t, exec.Command(tshark, append([]string{"-r", file}, fields...)...)), 6)

	home := t.TempDir()
	extcap := filepath.Join(home, ".config", "wireshark", "extcap")
	if err := errors.Join(os.MkdirAll(extcap, 0o755), os.Symlink(hostnat, filepath.Join(extcap, "hostnat-extcap"))); err != nil {
		t.Fatal(err)
	}
	env := []string{"HOME=" + home, "HOSTNAT_SOCKET=" + filepath.Join(h.run, "hostnat.sock")}
	listing := exec.Command(tshark, "-D")
	listing.Env = append(os.Environ(), env...)
	listed := output(t, listing)
	for _, want := range []string{"hostnat (hostnat: all packets)", "hostnat-network-web (hostnat: network web)", "hostnat-endpoint-c1 (hostnat: endpoint c1 of web)"} {
		if !strings.Contains(listed, want) {
			t.Errorf("tshark -D lists\n%s\nwithout %s", listed, want)
		}
	}
	live := start(t, h.Host, "tshark", append(append([]string{"env"}, env...), append([]string{tshark, "-l", "-i", "hostnat-endpoint-c1", "-c", "4"}, fields...)...)...)
	waitFor(t, 60*time.Second, "tshark to have captured", func() bool {
		fetch()
		return live.hasEnded()
	})
	lines := slices.DeleteFunc(strings.Split(live.printed(t), "\n"), func(l string) bool { return !strings.Contains(l, "|") })
	checkJoined(t, strings.Join(lines, "\n"), 2)
}

// checkJoined looks for pairs of lines with one packet id, of which one side is c1's and
// the other the host's.
func checkJoined(t *testing.T, lines string, want int) {
	t.Helper()
	sides := make(map[string][]string)
	for line := range strings.SplitSeq(strings.TrimSpace(lines), "\n") {
		if id, rest, ok := strings.Cut(line, "|"); ok {
			sides[id] = append(sides[id], rest)
		}
	}
	joined := 0
	for id, pair := range sides {
		if len(pair) == 2 && id != "" && strings.Contains(pair[0]+pair[1], lab.HostAddress+"|") && strings.Contains(pair[0], "c1") && strings.Contains(pair[1], "nat default") {
			joined++
		}
	}
	if joined < want {
		t.Errorf("%d packets have both sides, want %d:\n%s", joined, want, lines)
	}
}
