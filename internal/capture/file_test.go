package capture

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/gopacket/gopacket/pcapgo"

	"github.com/hostnat/hostnat/internal/model"
)

// side is one block of a file, as far as the tests look at it.
type side struct {
	At      string
	ID      uint64
	Lost    uint64
	Out     bool
	Verdict uint64
	Bytes   int
	Length  int
	Comment string
}

func sides(t *testing.T, file []byte) (list []side) {
	t.Helper()
	r, err := pcapgo.NewNgReader(bytes.NewReader(file), pcapgo.NgReaderOptions{WantMixedLinkType: true})
	if err != nil {
		t.Fatal(err)
	}
	for {
		data, info, o, err := r.ReadPacketDataWithOptions()
		if errors.Is(err, io.EOF) {
			return list
		}
		if err != nil {
			t.Fatal(err)
		}
		at, err := r.Interface(info.InterfaceIndex)
		if err != nil {
			t.Fatal(err)
		}
		s := side{At: at.Name, ID: *o.PacketID, Out: o.Flags.Direction == pcapgo.NgEpbFlagDirectionOutbound, Bytes: len(data), Length: info.Length, Comment: strings.Join(o.Comments, "")}
		if o.DropCount != nil {
			s.Lost = *o.DropCount
		}
		for _, v := range o.Verdicts {
			s.Verdict = binary.LittleEndian.Uint64(v.Data)
		}
		list = append(list, s)
	}
}

func TestFile(t *testing.T) {
	t.Parallel()
	var file bytes.Buffer
	f, err := NewFile(&file, "1.0", "tcp", []Name{{netip.MustParseAddr("172.16.1.2"), "c1.web"}})
	if err != nil {
		t.Fatal(err)
	}
	sent, dropped := translated(t), translated(t)
	sent.Time, dropped.Time = time.Unix(1, 0), time.Unix(2, 0)
	dropped.ID, dropped.Verdict, dropped.Code, dropped.Reason, dropped.Session = 8, model.VerdictDropped, 2, "spoofed-source", nil
	for _, p := range []*model.CapturedPacket{sent, dropped} {
		if err := f.Write(p); err != nil {
			t.Fatal(err)
		}
		f.Lost(3)
	}
	if err := f.Write(sent); err != nil {
		t.Fatal(err)
	}
	if err := f.Flush(); err != nil {
		t.Fatal(err)
	}
	comment := "sent; from c1; session tcp 172.16.1.2:40000 203.0.113.1:4711 198.51.100.7:443 established; nat default"
	want := []side{
		{At: "hv-c1 inside_ingress", ID: 7, Bytes: 60, Length: 60, Comment: comment},
		{At: "hv-c1 inside_ingress out", ID: 7, Out: true, Verdict: 7, Bytes: 60, Length: 60, Comment: comment},
		{At: "hv-c1 inside_ingress", ID: 8, Lost: 3, Verdict: 2, Bytes: 60, Length: 60, Comment: "dropped: spoofed-source; from c1"},
		{At: "hv-c1 inside_ingress", ID: 7, Lost: 3, Bytes: 60, Length: 60, Comment: comment},
		{At: "hv-c1 inside_ingress out", ID: 7, Out: true, Verdict: 7, Bytes: 60, Length: 60, Comment: comment},
	}
	if diff := cmp.Diff(want, sides(t, file.Bytes())); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	var copied bytes.Buffer
	c, err := Copy(bytes.NewReader(file.Bytes()), &copied, 0, nil)
	if err != nil || c != (Copied{Packets: 3, Lost: 6}) || !bytes.Equal(copied.Bytes(), file.Bytes()) {
		t.Errorf("copied %+v, %v", c, err)
	}
	if !bytes.Contains(file.Bytes(), []byte("\xac\x10\x01\x02c1.web\x00")) {
		t.Error("the file has no name for 172.16.1.2")
	}
}

// TestCopyRotates: each file can be read by itself.
func TestCopyRotates(t *testing.T) {
	t.Parallel()
	var file bytes.Buffer
	f, err := NewFile(&file, "1.0", "", nil)
	if err != nil {
		t.Fatal(err)
	}
	for range 10 {
		if err := f.Write(translated(t)); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Flush(); err != nil {
		t.Fatal(err)
	}
	files := []*bytes.Buffer{{}}
	_, err = Copy(&file, files[0], 1500, func() (io.Writer, error) {
		files = append(files, &bytes.Buffer{})
		return files[len(files)-1], nil
	})
	if err != nil || len(files) < 3 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	total := 0
	for i, one := range files {
		if one.Len() > 1500 {
			t.Errorf("file %d has %d bytes", i, one.Len())
		}
		total += len(sides(t, one.Bytes()))
	}
	if total != 20 {
		t.Errorf("%d blocks in all files, want 20", total)
	}
}

func FuzzCopy(f *testing.F) {
	var file bytes.Buffer
	w, err := NewFile(&file, "1.0", "tcp", nil)
	if err != nil {
		f.Fatal(err)
	}
	if err := errors.Join(w.Write(translated(f)), w.Flush()); err != nil {
		f.Fatal(err)
	}
	f.Add(file.Bytes())
	f.Fuzz(func(t *testing.T, file []byte) {
		_, _ = Copy(bytes.NewReader(file), io.Discard, 1000, func() (io.Writer, error) { return io.Discard, nil })
	})
}

// BenchmarkPacket is what a packet costs behind the ring: the filter and its two blocks.
func BenchmarkPacket(b *testing.B) {
	f, err := NewFile(io.Discard, "1.0", "", nil)
	if err != nil {
		b.Fatal(err)
	}
	filter, err := Parse("tcp port 443 and host 172.16.1.2")
	if err != nil {
		b.Fatal(err)
	}
	p, reader := translated(b), NewReader()
	b.ReportAllocs()
	for b.Loop() {
		if !filter.Selects(p, reader) {
			b.Fatal("not selected")
		}
		if err := f.Write(p); err != nil {
			b.Fatal(err)
		}
	}
}
