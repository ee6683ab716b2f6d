package recording

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"io"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/hostnat/hostnat/internal/model"
)

func example() *Recording {
	at := time.Date(2026, 12, 1, 3, 14, 0, 500, time.UTC)
	return &Recording{
		Begin:         Begin{Format: Format, Version: Version, Hostnat: "1.0", Kernel: "6.18", Filter: "tcp"},
		Configuration: "networks: []\n",
		Host: Host{
			Links:     []Link{{Index: 2, Name: "eth0", MAC: "02:00:00:00:00:01", MTU: 1500, Up: true, Addresses: []netip.Prefix{netip.MustParsePrefix("203.0.113.1/24")}}},
			Routes:    []Route{{Table: 254, To: netip.MustParsePrefix("0.0.0.0/0"), Type: 1, Hops: []Hop{{Link: 2, Via: netip.MustParseAddr("203.0.113.2")}}}},
			Rules:     []Rule{{Priority: 100, Table: 5, From: netip.MustParsePrefix("10.0.0.0/8")}},
			Listeners: []Listener{{Protocol: model.TCP, Address: netip.MustParseAddrPort("0.0.0.0:22")}},
		},
		Rows:  []Rows{{Table: "sessions", Layout: "1", Room: 9, Rows: [][2][]byte{{{1}, {2, 3}}}}},
		Ready: Ready{Time: at, Monotonic: time.Hour, Told: json.RawMessage(`{"Anchor":3}`)},
		Packets: []Packet{{
			Time: at.Add(time.Second), Program: "inside_ingress", Interface: 7, Code: 7, Verdict: model.VerdictSent, CameLength: 60, Length: 60, Came: []byte{1}, Went: []byte{2},
			Session: &Session{Protocol: model.UDP, Internal: netip.MustParseAddrPort("10.0.0.2:1"), State: "none"},
		}, {Time: at.Add(2 * time.Second), Program: "outside_ingress", CameLength: 42, Length: 42, Came: []byte{3}}},
		End: &End{Packets: 2, Lost: 1},
	}
}

func written(t testing.TB, r *Recording) []byte {
	t.Helper()
	var file bytes.Buffer
	if err := r.Write(&file); err != nil {
		t.Fatal(err)
	}
	return file.Bytes()
}

func plain(t testing.TB, file []byte) string {
	t.Helper()
	in, err := gzip.NewReader(bytes.NewReader(file))
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(in)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

var comparable = cmpopts.EquateComparable(netip.Addr{}, netip.AddrPort{}, netip.Prefix{})

func TestWhatIsWrittenIsRead(t *testing.T) {
	t.Parallel()
	file := written(t, example())
	for name, in := range map[string]io.Reader{"packed": bytes.NewReader(file), "not packed": strings.NewReader(plain(t, file))} {
		got, err := Read(in)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if diff := cmp.Diff(example(), got, comparable); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// TestAnInterruptedRecording: what was written until then is read.
func TestAnInterruptedRecording(t *testing.T) {
	t.Parallel()
	text := plain(t, written(t, example()))
	lines := strings.SplitAfter(text, "\n")
	for _, end := range []string{"", lines[len(lines)-3][:20]} { // behind the first packet, and in the middle of the second
		got, err := Read(strings.NewReader(strings.Join(lines[:len(lines)-3], "") + end))
		if err != nil || len(got.Packets) != 1 || got.End != nil {
			t.Errorf("read %+v, %v", got, err)
		}
	}
	file := written(t, example())
	if got, err := Read(bytes.NewReader(file[:len(file)-6])); err != nil || len(got.Packets) != 2 {
		t.Errorf("without gzip's end: %+v, %v", got, err)
	}
}

// TestDamage: what is no recording, or one that is damaged, is refused by one line.
func TestDamage(t *testing.T) {
	t.Parallel()
	text := plain(t, written(t, example()))
	lines := strings.SplitAfter(text, "\n")
	for name, tt := range map[string]struct{ file, want string }{
		"nothing":         {"", "this is no recording of hostnat"},
		"another file":    {"\xd4\xc3\xb2\xa1 pcap", "this is no recording of hostnat: it is not packed by gzip"},
		"other JSON":      {`{"a":1}` + "\n", "this is no recording of hostnat: its first line does not say so"},
		"a later version": {strings.Replace(text, `"version":1`, `"version":99`, 1), "it has version 99 of the format, and this hostnat knows 1"},
		"cut off":         {strings.Join(lines[:3], ""), "the recording ends before its tables do"},
		"not JSON":        {strings.Replace(text, `{"host"`, `{host`, 1), "the recording is damaged in line 3: it is not JSON"},
		"too soon":        {lines[0] + lines[5], "the recording ends before its tables do"},
		"begins twice":    {lines[0] + lines[0] + text, "the recording is damaged in line 2: it is not a line for this place"},
		"a wrong length":  {strings.Replace(text, `"cameLength":60`, `"cameLength":-1`, 1), "a packet of -1 bytes of which 1 were kept is none"},
		"a long line":     {lines[0] + `{"configuration":"` + strings.Repeat("x", longestLine) + `"}`, "line 2: it is longer than"},
	} {
		_, err := Read(strings.NewReader(tt.file))
		var refused *model.Error
		if !errors.As(err, &refused) || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v, want %q", name, err, tt.want)
		}
	}
}

// refusedOrRead reads what was damaged: it is read, or refused by one line.
func refusedOrRead(t *testing.T, file []byte) *Recording {
	t.Helper()
	r, err := Read(bytes.NewReader(file))
	var refused *model.Error
	if err != nil && (!errors.As(err, &refused) || strings.Contains(err.Error(), "\n") || len(err.Error()) > 300) {
		t.Fatalf("refused by %q", err)
	}
	if err != nil {
		return nil
	}
	return r
}

// TestEachBitCounts: of a packed file with one bit changed nothing else is read than was
// written: gzip's sum is looked at. What no sum covers is gzip's header.
func TestEachBitCounts(t *testing.T) {
	t.Parallel()
	file := written(t, example())
	for at := range file {
		for bit := range 8 {
			bad := bytes.Clone(file)
			bad[at] ^= 1 << bit
			r := refusedOrRead(t, bad)
			if r != nil && r.End != nil && !cmp.Equal(example(), r, comparable) {
				t.Fatalf("bit %d of byte %d of %d changed it to %+v", bit, at, len(file), r)
			}
		}
	}
}

// TestEachBitOfText: what was unpacked has no sum. It is read or refused.
func TestEachBitOfText(t *testing.T) {
	t.Parallel()
	text := []byte(plain(t, written(t, example())))
	for at := range text {
		for bit := range 8 {
			text[at] ^= 1 << bit
			refusedOrRead(t, text)
			text[at] ^= 1 << bit
		}
	}
}

// TestEachLength: a file that ends anywhere is refused, or has whole packets and no end.
func TestEachLength(t *testing.T) {
	t.Parallel()
	file := written(t, example())
	for _, whole := range [][]byte{file, []byte(plain(t, file))} {
		packets := 0
		for n := range whole {
			r := refusedOrRead(t, whole[:n])
			if r == nil {
				continue
			}
			if r.End != nil && len(r.Packets) < 2 || len(r.Packets) < packets {
				t.Errorf("%d of %d bytes have %d packets, end %v", n, len(whole), len(r.Packets), r.End)
			}
			packets = len(r.Packets)
		}
	}
}

// TestSomethingBehindTheEnd: two files in one are none.
func TestSomethingBehindTheEnd(t *testing.T) {
	t.Parallel()
	file := written(t, example())
	for name, bad := range map[string][]byte{"twice": append(bytes.Clone(file), file...), "text twice": []byte(strings.Repeat(plain(t, file), 2)), "more bytes": append(bytes.Clone(file), "more that is no gzip"...)} {
		if _, err := Read(bytes.NewReader(bad)); err == nil || !strings.Contains(err.Error(), "the recording is damaged behind its end") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestLaterLines: a line of a kind that is not known yet is passed over.
func TestLaterLines(t *testing.T) {
	t.Parallel()
	text := strings.Replace(plain(t, written(t, example())), `{"host"`, `{"weather":"fine"}`+"\n"+`{"host"`, 1)
	if got, err := Read(strings.NewReader(text)); err != nil || len(got.Packets) != 2 {
		t.Errorf("%+v, %v", got, err)
	}
}

// FuzzRead: any bytes are read or refused, and what is read can be written.
func FuzzRead(f *testing.F) {
	file := written(f, example())
	f.Add(file)
	f.Add([]byte(plain(f, file)))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, file []byte) {
		r, err := Read(bytes.NewReader(file))
		if err != nil {
			var refused *model.Error
			if !errors.As(err, &refused) || strings.ContainsAny(err.Error(), "\n") {
				t.Fatalf("refused by %q", err)
			}
			return
		}
		again, err := Read(bytes.NewReader(written(t, r)))
		if err != nil {
			t.Fatalf("what was read and written again: %v", err)
		}
		if len(again.Packets) != len(r.Packets) {
			t.Fatalf("%d packets, then %d", len(r.Packets), len(again.Packets))
		}
	})
}

func TestPacketsAsCaptured(t *testing.T) {
	t.Parallel()
	long := bytes.Repeat([]byte{7}, 500)
	c := model.CapturedPacket{
		Time: time.Unix(1, 2), Program: "inside_ingress", Link: "hv-c1", Interface: 4, Ethernet: true, Mark: 5, Segments: 2, SegmentSize: 1448, Verdict: model.VerdictSent, Code: 7,
		CameLength: 500, Length: 500, Came: long[:128], Went: long,
		Session: &model.Session{NAT: "default", Protocol: model.TCP, External: netip.MustParseAddrPort("203.0.113.1:1"), State: model.StateEstablished},
	}
	got := PacketOf(&c).Captured()
	c.Went = c.Went[:Kept]
	if diff := cmp.Diff(c, got, comparable); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestMemoryIsBounded: what is kept of a file has a bound, however well it was packed.
func TestMemoryIsBounded(t *testing.T) {
	t.Parallel()
	r := &reader{kept: mostKept - 4}
	row := Rows{Rows: [][2][]byte{{{1}, {2}}}}
	packet := &Packet{CameLength: 60, Came: []byte{1, 2}}
	r.kept -= lineRoom
	if err := errors.Join(r.addRows(row), r.packet(packet)); err != nil {
		t.Errorf("up to the bound: %v", err)
	}
	for what, err := range map[string]error{"row": r.addRows(row), "packet": r.packet(packet)} {
		if err == nil || !strings.Contains(err.Error(), "its rows and packets are more than") {
			t.Errorf("a %s more: %v", what, err)
		}
	}
}

// TestNothingIsNotForNothing: a file of a few megabytes may unpack to lines that have no
// rows, and packets that have no bytes but long names. They count.
func TestNothingIsNotForNothing(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 1<<20)
	for name, add := range map[string]func(r *reader) error{
		"lines":   func(r *reader) error { return r.addRows(Rows{}) },
		"tables":  func(r *reader) error { return r.addRows(Rows{Table: long}) },
		"layouts": func(r *reader) error { return r.addRows(Rows{Layout: long}) },
		"names":   func(r *reader) error { return r.packet(&Packet{Endpoint: long}) },
		"states":  func(r *reader) error { return r.packet(&Packet{Session: &Session{State: long}}) },
	} {
		r := &reader{kept: mostKept - 100}
		if err := errors.Join(add(r), add(r)); err == nil || !strings.Contains(err.Error(), "its rows and packets are more than") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
