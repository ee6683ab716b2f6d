package capture

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"
)

// files are the same two packets in each form that is read.
func files(t *testing.T) map[string][]byte {
	t.Helper()
	ip := []byte{0x45, 0, 0, 28, 0, 0, 0x40, 0, 64, 17, 0, 0, 172, 16, 1, 2, 203, 0, 113, 2, 0x9c, 0x40, 0, 53, 0, 8, 0, 0}
	ethernet := append(append(make([]byte, 12), 8, 0), ip...)
	cooked := append(append(make([]byte, 14), 8, 0), ip...)
	all := make(map[string][]byte)
	for name, f := range map[string]struct {
		link  layers.LinkType
		frame []byte
	}{"ethernet": {layers.LinkTypeEthernet, ethernet}, "raw": {layers.LinkTypeRaw, ip}, "cooked": {layers.LinkTypeLinuxSLL, cooked}} {
		info := gopacket.CaptureInfo{Timestamp: time.Unix(1, 0), CaptureLength: len(f.frame), Length: len(f.frame)}
		var old, ng bytes.Buffer
		w := pcapgo.NewWriter(&old)
		n, err := pcapgo.NewNgWriter(&ng, f.link)
		if err = errors.Join(err, w.WriteFileHeader(65536, f.link)); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if err := errors.Join(w.WritePacket(info, f.frame), n.WritePacket(info, f.frame)); err != nil {
				t.Fatal(err)
			}
		}
		if err := n.Flush(); err != nil {
			t.Fatal(err)
		}
		all[name+" pcap"], all[name+" pcapng"] = old.Bytes(), ng.Bytes()
	}
	return all
}

// readAll returns how many packets a file has, and why it ended if not at its end.
func readAll(file []byte) (packets []Headers, err error) {
	in, err := NewInput(bytes.NewReader(file))
	if err != nil {
		return nil, err
	}
	for {
		h, err := in.Next()
		if errors.Is(err, io.EOF) {
			return packets, nil
		}
		if err != nil {
			return packets, err
		}
		packets = append(packets, h)
	}
}

func TestInput(t *testing.T) {
	t.Parallel()
	for name, file := range files(t) {
		packets, err := readAll(file)
		if err != nil || len(packets) != 2 || packets[1].Text() != "udp 172.16.1.2:40000 → 203.0.113.2:53" {
			t.Errorf("%s: %v, %v", name, packets, err)
		}
		if packets, err := readAll(file[:len(file)-10]); err == nil || len(packets) != 1 || err.Error() != "it is cut off after packet 1" {
			t.Errorf("%s, cut off: %v, %v", name, packets, err)
		}
	}
	for _, file := range []string{"", "abc", "these are words, and no packets"} {
		if _, err := readAll([]byte(file)); !errors.Is(err, ErrNoCapture) {
			t.Errorf("%q: %v", file, err)
		}
	}
}

// TestDamagedInput: whatever is in a file ends in packets or an error, and soon.
func TestDamagedInput(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	for name, file := range files(t) {
		for range 3000 {
			damaged := bytes.Clone(file)
			for range 1 + random.IntN(4) {
				damaged[random.IntN(len(damaged))] = byte(random.Uint32())
			}
			if packets, _ := readAll(damaged[:1+random.IntN(len(damaged))]); len(packets) > 3 {
				t.Fatalf("%s: %d packets of two: %x", name, len(packets), damaged)
			}
		}
	}
}
