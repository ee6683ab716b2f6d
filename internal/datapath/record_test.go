package datapath

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hostnat/hostnat/internal/datapath/kernel"
)

// What ends while nobody reads is read once, or counted as missed: written over, or more
// than a reading takes. A record that is being written holds up its part for one reading.
func TestEndReader(t *testing.T) {
	w := newTwin(t)
	records, counts := w.dp.objects.EndRecords, w.dp.objects.EndRecordsWritten
	const room, parts = 1024, 64
	// write has sessions end in a part, whose numbers are first to last.
	write := func(part uint32, first, last uint64) {
		t.Helper()
		for serial := first; serial <= last; serial++ {
			check(t, records.Put(part*room+uint32((serial-1)%room), kernel.EndRecord{Serial: serial, Check: serial, Network: part}))
		}
		check(t, counts.Put(part, last))
	}
	r, err := w.dp.NewEndReader()
	check(t, err)
	type reading struct {
		Read   map[uint32]int // by part
		Missed uint64
	}
	read := func(what string, want reading) {
		t.Helper()
		got := reading{Read: make(map[uint32]int)}
		got.Missed, err = r.Read(func(e Ended) { got.Read[e.Network]++ })
		check(t, err)
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%s (-want +got):\n%s", what, d)
		}
	}
	write(3, 1, 10)
	write(5, 1, 2)
	read("a few", reading{map[uint32]int{3: 10, 5: 2}, 0})
	read("none", reading{map[uint32]int{}, 0})
	write(3, 11, 11+room)
	read("one more than there is room for", reading{map[uint32]int{3: room}, 1})
	check(t, counts.Put(uint32(5), uint64(4))) // two numbers are taken, and one of them has its record already
	write(5, 4, 4)
	read("one that is being written", reading{map[uint32]int{}, 0})
	read("one that is not written at all", reading{map[uint32]int{5: 1}, 0})
	for part := range uint32(8) {
		write(part+8, 1, room)
	}
	want := make(map[uint32]int)
	for part := range uint32(8) {
		want[part+8] = room / 2
	}
	read("twice as many as are read at once", reading{want, 8 * room / 2})
}
