package wire

import (
	"encoding/binary"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/hostnat/hostnat/dev/lab"
	"github.com/hostnat/hostnat/internal/model"
)

// CutUp makes fragments of a datagram, each with so many bytes behind its IP
// header (a multiple of 8); the last may have fewer.
func CutUp(datagram []byte, size int) [][]byte {
	header := int(datagram[0]&15) * 4
	var list [][]byte
	for at := header; at < len(datagram); at += size {
		end := min(at+size, len(datagram))
		piece := slices.Concat(datagram[:header], datagram[at:end])
		flags := binary.BigEndian.Uint16(piece[6:])&0x4000 | uint16((at-header)/8)
		if end < len(datagram) {
			flags |= 0x2000
		}
		binary.BigEndian.PutUint16(piece[2:], uint16(len(piece)))
		binary.BigEndian.PutUint16(piece[6:], flags)
		binary.BigEndian.PutUint16(piece[10:], 0)
		binary.BigEndian.PutUint16(piece[10:], ^Checksum(0, piece[:header]))
		list = append(list, piece)
	}
	return list
}

func Pick(pieces [][]byte, order ...int) [][]byte {
	var list [][]byte
	for _, i := range order {
		list = append(list, pieces[i])
	}
	return list
}

// assembly puts together what comes in on a link, as a strict receiver would:
// fragments of one datagram have its addresses, protocol and identification, do
// not overlap, and the whole has right checksums.
type assembly struct {
	mu     sync.Mutex
	parts  map[string]*parts
	whole  []Whole
	pieces []piece
}

// piece is one fragment or whole packet as it came.
type piece struct {
	ID     uint16
	Offset int
	more   bool
	Size   int // of the IP datagram
	ttl    byte
}

type parts struct {
	header []byte
	data   []byte
	have   map[int]int // offset to length
	end    int
	count  int
}

// Whole is a datagram and in how many pieces it came.
type Whole struct {
	Datagram []byte
	Pieces   int
}

func Assemble(t *testing.T, n *lab.Namespace, link string) *assembly {
	t.Helper()
	tap, err := lab.Capture(n, link)
	Must(t, err)
	a := &assembly{parts: make(map[string]*parts)}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for p := range tap.Packets() {
			if p.Outgoing || len(p.Data) < 34 || binary.BigEndian.Uint16(p.Data[12:]) != EtherIPv4 {
				continue
			}
			if err := a.add(p); err != nil {
				t.Errorf("%s in %s: %v", link, n.Name, err)
			}
		}
	}()
	t.Cleanup(func() {
		tap.Close()
		<-done
	})
	return a
}

func (a *assembly) add(p lab.Packet) error {
	ip := slices.Clone(p.Data[14:])
	length, header := int(binary.BigEndian.Uint16(ip[2:])), int(ip[0]&15)*4
	if length > len(ip) {
		return fmt.Errorf("datagram of %d bytes is cut off at %d", length, len(ip))
	}
	ip = ip[:length]
	field := binary.BigEndian.Uint16(ip[6:])
	offset, more := int(field&0x1fff)*8, field&0x2000 != 0
	a.mu.Lock()
	defer a.mu.Unlock()
	a.pieces = append(a.pieces, piece{binary.BigEndian.Uint16(ip[4:]), offset, more, length, ip[8]})
	if offset == 0 && !more {
		a.whole = append(a.whole, Whole{ip, 1})
		return nil
	}
	key := string(ip[4:6]) + string(ip[9:10]) + string(ip[12:20])
	d := a.parts[key]
	if d == nil {
		d = &parts{have: make(map[int]int), end: -1}
		a.parts[key] = d
	}
	return a.put(key, d, ip, header, offset, more)
}

func (a *assembly) put(key string, d *parts, ip []byte, header, offset int, more bool) error {
	body := ip[header:]
	for at, size := range d.have {
		if offset < at+size && at < offset+len(body) {
			return fmt.Errorf("fragments of one datagram overlap at %d: two were mixed", offset)
		}
	}
	d.have[offset] = len(body)
	d.count++
	if need := offset + len(body); need > len(d.data) {
		d.data = append(d.data, make([]byte, need-len(d.data))...)
	}
	copy(d.data[offset:], body)
	if offset == 0 {
		d.header = slices.Clone(ip[:header])
	}
	if !more {
		d.end = offset + len(body)
	}
	total := 0
	for _, size := range d.have {
		total += size
	}
	if d.end < 0 || total != d.end || d.header == nil {
		return nil
	}
	delete(a.parts, key)
	datagram := slices.Concat(d.header, d.data)
	binary.BigEndian.PutUint16(datagram[2:], uint16(len(datagram)))
	binary.BigEndian.PutUint16(datagram[6:], 0)
	binary.BigEndian.PutUint16(datagram[10:], 0)
	binary.BigEndian.PutUint16(datagram[10:], ^Checksum(0, datagram[:len(d.header)]))
	a.whole = append(a.whole, Whole{datagram, d.count})
	frame := slices.Concat(make([]byte, 12), []byte{8, 0}, datagram)
	return lab.VerifyChecksums(lab.Packet{Data: frame})
}

// Came are the datagrams of a protocol whose payload begins with text.
func (a *assembly) Came(p model.Protocol, text string) []Whole {
	a.mu.Lock()
	defer a.mu.Unlock()
	var list []Whole
	for _, w := range a.whole {
		if at := payloadAt(w.Datagram); model.Protocol(w.Datagram[9]) == p && len(w.Datagram) >= at+len(text) && string(w.Datagram[at:at+len(text)]) == text {
			list = append(list, w)
		}
	}
	return list
}

func payloadAt(ip []byte) int {
	at := int(ip[0]&15)*4 + 8
	if model.Protocol(ip[9]) == model.TCP {
		at += 12
	}
	return at
}

// Await waits for a datagram that begins with text, and returns it decoded.
func (a *assembly) Await(t *testing.T, p model.Protocol, text string) (Packet, Whole) {
	t.Helper()
	var list []Whole
	Eventually(t, "datagram "+text, func() bool {
		list = a.Came(p, text)
		return len(list) > 0
	})
	var d Packet
	d.DecodeIP(list[0].Datagram)
	return d, list[0]
}

func (a *assembly) Seen() []piece {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.pieces)
}

// Long is a payload that begins with text and of which every 8 bytes differ.
func Long(text string, size int) []byte {
	b := []byte(text)
	for i := 0; len(b) < size; i++ {
		b = fmt.Appendf(b, ".%07d", i)
	}
	return b[:size]
}

const Narrow = 1300 // bytes, MTU of a link in the way

// CheckPieces checks that each datagram's fragments came in order, none longer
// than mtu, and that no two datagrams have an identification in common.
func (a *assembly) CheckPieces(t *testing.T, mtu int) {
	t.Helper()
	next, done := map[uint16]int{}, map[uint16]bool{}
	for _, p := range a.Seen() {
		if p.Size > mtu {
			t.Errorf("%+v is longer than %d", p, mtu)
		}
		if p.Offset == 0 && !p.more {
			continue
		}
		if p.Offset != next[p.ID] || done[p.ID] {
			t.Errorf("%+v came when offset %d was next", p, next[p.ID])
		}
		next[p.ID] = p.Offset + p.Size - 20
		done[p.ID] = !p.more
	}
}
