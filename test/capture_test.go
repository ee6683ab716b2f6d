package test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/google/go-cmp/cmp"
	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"

	"github.com/hostnat/hostnat/api"
	"github.com/hostnat/hostnat/dev/lab"
	"github.com/hostnat/hostnat/internal/capture"
)

// recorded is a capture that is going on.
type recorded struct {
	mu    sync.Mutex
	bytes bytes.Buffer
	ended chan struct{}
	end   context.CancelFunc
}

// capture begins a capture. It has begun when this returns.
func (h *host) capture(o api.CaptureOptions) *recorded {
	h.t.Helper()
	ctx, cancel := context.WithCancel(h.t.Context())
	from, err := h.Capture(ctx, o)
	if err != nil {
		h.t.Fatal(err)
	}
	r := &recorded{ended: make(chan struct{}), end: cancel}
	go func() {
		defer close(r.ended)
		defer from.Close()
		_, _ = io.Copy(r, from)
	}()
	h.t.Cleanup(func() { cancel(); <-r.ended })
	return r
}

func (r *recorded) Write(part []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.bytes.Write(part)
}

// block is a packet's side in a file.
type block struct {
	ID       uint64
	At       string // the interface
	Out      bool
	Verdict  []byte
	Comment  string
	From, To string
	Flags    string
	Payload  string
}

// blocks are those that have come so far.
func (r *recorded) blocks(t *testing.T) []block {
	t.Helper()
	r.mu.Lock()
	file := slices.Clone(r.bytes.Bytes())
	r.mu.Unlock()
	reader, err := pcapgo.NewNgReader(bytes.NewReader(file), pcapgo.NgReaderOptions{WantMixedLinkType: true})
	if err != nil {
		return nil // it has just begun
	}
	var list []block
	for {
		data, info, options, err := reader.ReadPacketDataWithOptions()
		if err != nil {
			if !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("the file is damaged: %v", err)
			}
			return list
		}
		at, err := reader.Interface(info.InterfaceIndex)
		if err != nil {
			t.Fatal(err)
		}
		b := block{At: at.Name, Comment: strings.Join(options.Comments, " ")}
		if options.PacketID != nil {
			b.ID = *options.PacketID
		}
		if options.Flags != nil {
			b.Out = options.Flags.Direction == pcapgo.NgEpbFlagDirectionOutbound
		}
		for _, v := range options.Verdicts {
			b.Verdict = v.Data
		}
		b.read(data, at.LinkType)
		list = append(list, b)
	}
}

func (b *block) read(data []byte, link layers.LinkType) {
	packet := gopacket.NewPacket(data, link, gopacket.Default)
	ip, ok := packet.Layer(layers.LayerTypeIPv4).(*layers.IPv4)
	if !ok {
		return
	}
	b.From, b.To = ip.SrcIP.String(), ip.DstIP.String()
	if tcp, ok := packet.Layer(layers.LayerTypeTCP).(*layers.TCP); ok {
		from, to := netip.MustParseAddr(b.From), netip.MustParseAddr(b.To)
		b.From, b.To = netip.AddrPortFrom(from, uint16(tcp.SrcPort)).String(), netip.AddrPortFrom(to, uint16(tcp.DstPort)).String()
		if tcp.SYN {
			b.Flags += "syn"
		}
		b.Payload = string(tcp.Payload)
	}
}

// wait waits until a pair of blocks is there that holds.
func (r *recorded) wait(h *host, what string, holds func(came block, went *block) bool) (came block, went *block) {
	h.t.Helper()
	h.waitFor(20*time.Second, what, func() bool {
		list := r.blocks(h.t)
		for i := range list {
			if came = list[i]; came.Out {
				continue
			}
			went = nil
			if i+1 < len(list) && list[i+1].Out && list[i+1].ID == came.ID {
				went = &list[i+1]
			}
			if holds(came, went) {
				return true
			}
		}
		return false
	})
	return came, went
}

// TestCaptureHasBothSides: a connection's packets are in the file as they came and as
// they went on, under one id, with the verdict and whose they are; refused ones too.
func TestCaptureHasBothSides(t *testing.T) {
	h := startHost(t)
	r := h.capture(api.CaptureOptions{})
	conn := h.dialOut()
	defer conn.Close()
	if _, err := conn.Write([]byte("what is sent")); err != nil {
		t.Fatal(err)
	}
	inside, remote := conn.LocalAddr().String(), lab.RemoteAddress+":7"
	_, went := r.wait(h, "the SYN on both sides", func(came block, went *block) bool {
		return came.From == inside && came.To == remote && came.Flags == "syn" && went != nil && strings.HasPrefix(went.From, lab.HostAddress+":")
	})
	external := went.From
	if want := "sent; from c1; session tcp " + inside + " " + external + " " + remote + " internal-syn; nat default"; went.Comment != want {
		t.Errorf("comment %q, want %q", went.Comment, want)
	}
	if !strings.HasSuffix(went.At, " inside_ingress out") || !bytes.Equal(went.Verdict, []byte{7, 0, 0, 0, 0, 0, 0, 0}) {
		t.Errorf("at %q with verdict %v", went.At, went.Verdict)
	}
	r.wait(h, "what was sent, on both sides", func(came block, went *block) bool {
		return came.Payload == "what is sent" && went != nil && went.From == external && went.Payload == came.Payload
	})
	r.wait(h, "the answer on both sides", func(came block, went *block) bool {
		return came.From == remote && came.To == external && went != nil && went.To == inside
	})
	_, _ = h.inside.Dial(t.Context(), "tcp", "169.254.1.1:80")
	came, went := r.wait(h, "what is refused", func(came block, _ *block) bool { return came.To == "169.254.1.1:80" })
	if went == nil || went.To != "172.16.1.2" || !strings.Contains(came.Comment, "dropped: ") || !strings.Contains(came.Comment, "its sender was told") {
		t.Errorf("refused: %+v, told: %+v", came, went)
	}
}

// TestCaptureSelects: filters count on both sides, and the kernel's part of them loses
// nothing; after the last capture the programs are those of before.
func TestCaptureSelects(t *testing.T) {
	h := startHost(t)
	before := h.programs()
	conn := h.dialOut()
	defer conn.Close()
	inside, remote := conn.LocalAddr().String(), lab.RemoteAddress+":7"
	sessions, err := h.Sessions(t.Context(), api.Filter{Endpoint: "c1"})
	if err != nil || len(sessions) != 1 {
		t.Fatalf("%+v, %v", sessions, err)
	}
	external := sessions[0].External.String()
	other := h.dialOutTo(":9")
	defer other.Close()
	for _, filter := range []string{
		"host 172.16.1.2 and tcp dst port 7", "src 172.16.1.2 and port " + external[len(lab.HostAddress)+1:],
		"session " + external, "endpoint c1 and not port 9 and dst host " + lab.RemoteAddress, "network web and verdict sent and port 7",
		"net 203.0.113.0/24 and tcp and flags psh,-syn and not port 9",
	} {
		r := h.capture(api.CaptureOptions{Filter: filter})
		for _, c := range []io.Writer{other, conn} {
			if _, err := c.Write([]byte(filter)); err != nil {
				t.Fatal(err)
			}
		}
		r.wait(h, filter, func(came block, went *block) bool {
			return came.From == inside && came.To == remote && came.Payload == filter && went != nil && went.From == external
		})
		for _, b := range r.blocks(t) {
			if strings.HasSuffix(b.To, ":9") || strings.HasSuffix(b.From, ":9") {
				t.Errorf("%s: selected %+v", filter, b)
			}
		}
		r.end()
		<-r.ended
	}
	h.waitFor(20*time.Second, "the programs of before", func() bool { return slices.Equal(before, h.programs()) })
}

// TestCaptureEndsWithTheDaemon: traffic goes on by the observed programs when the daemon is
// killed, and the next one brings the others back.
func TestCaptureEndsWithTheDaemon(t *testing.T) {
	h := startHost(t)
	before := h.programs()
	r := h.capture(api.CaptureOptions{})
	if slices.Equal(before, h.programs()) {
		t.Error("while somebody captures, the links have the programs of before")
	}
	h.end(syscall.SIGKILL)
	<-r.ended
	conn := h.dialOut()
	defer conn.Close()
	h.start()
	if diff := cmp.Diff(before, h.programs()); diff != "" {
		t.Errorf("programs (-before +after):\n%s", diff)
	}
	if _, err := conn.Write([]byte("still there")); err != nil {
		t.Error(err)
	}
}

// programs are the programs on all links, by what they do: the hash of their instructions.
func (h *host) programs() (list []string) {
	h.t.Helper()
	pins, err := filepath.Glob(filepath.Join(h.dir, "run", "bpf", "links", "*"))
	if err != nil || len(pins) == 0 {
		h.t.Fatal(pins, err)
	}
	for _, pin := range pins {
		l, err := link.LoadPinnedLink(pin, nil)
		if err != nil {
			h.t.Fatal(err)
		}
		info, err := l.Info()
		if err != nil {
			h.t.Fatal(err)
		}
		list = append(list, filepath.Base(pin)+" "+tagOf(h.t, info.Program))
		_ = l.Close()
	}
	return list
}

// floodEnvironment makes the flood of a capture longer, to measure: 5000000.
const floodEnvironment = "HOSTNAT_CAPTURED"

// TestCaptureCountsWhatItLoses: of a flood, what is in the file and what it tells of as lost
// are all packets that there were, and the traffic goes on.
func TestCaptureCountsWhatItLoses(t *testing.T) {
	packets := 200_000
	if text := os.Getenv(floodEnvironment); text != "" {
		var err error
		if packets, err = strconv.Atoi(text); err != nil {
			t.Fatal(err)
		}
	}
	h := startHost(t)
	from, err := h.Capture(t.Context(), api.CaptureOptions{Filter: "udp dst port 9999 and host 172.16.1.2"})
	if err != nil {
		t.Fatal(err)
	}
	defer from.Close()
	at, err := h.Remote.ListenPacket("udp", lab.RemoteAddress+":9999")
	if err != nil {
		t.Fatal(err)
	}
	defer at.Close()
	counted := &counter{}
	go func() { _, _ = capture.Copy(from, counted, 0, nil) }()
	conn, err := h.inside.Dial(t.Context(), "udp", lab.RemoteAddress+":9999")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	began, cpu := time.Now(), h.cpu()
	for range packets {
		if _, err := conn.Write([]byte("one of many")); err != nil {
			t.Fatal(err)
		}
	}
	took := time.Since(began)
	var all uint64
	// What was lost is told with the next packet, so some more are sent. Each counts on
	// both sides: what was counted wrongly stays wrong.
	h.waitFor(60*time.Second, "what is captured and lost to be all", func() bool {
		if _, err := conn.Write([]byte("one more")); err != nil {
			t.Fatal(err)
		}
		sessions, err := h.Sessions(t.Context(), api.Filter{Endpoint: "c1", Protocol: "udp"})
		if err != nil || len(sessions) != 1 {
			t.Fatalf("%+v, %v", sessions, err)
		}
		all = sessions[0].PacketsOut
		seen := counted.read()
		return seen.Packets+seen.Lost == all
	})
	seen, spent := counted.read(), h.cpu()-cpu
	t.Logf("%d packets in %v, %.0f a second; %d captured, %d lost; the daemon took %v of CPU time, %v a captured packet",
		all, took.Round(time.Millisecond), float64(packets)/took.Seconds(), seen.Packets, seen.Lost, spent, spent/time.Duration(max(seen.Packets, 1)))
}

// counter counts the blocks that are written to it.
type counter struct {
	mu     sync.Mutex
	copied capture.Copied
}

func (c *counter) Write(block []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.copied.Count(block)
	return len(block), nil
}

func (c *counter) read() capture.Copied {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.copied
}

func tagOf(t *testing.T, id ebpf.ProgramID) string {
	t.Helper()
	p, err := ebpf.NewProgramFromID(id)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	info, err := p.Info()
	if err != nil {
		t.Fatal(err)
	}
	return info.Tag
}
