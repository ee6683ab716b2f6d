package datapath

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/hostnat/hostnat/internal/datapath/kernel"
)

// Of many sessions those are kept that have sent most, in whatever order they come, and the others
// are counted; of equal ones some are kept.
func TestBusiest(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ sessions, different, most int }{{0, 1, 5}, {3, 3, 5}, {5, 5, 5}, {9, 9, 5}, {1000, 1000, 5}, {1000, 1, 5}, {1000, 7, 50}} {
		b := busiest{most: tt.most}
		var all []uint64
		for _, i := range rand.Perm(tt.sessions) {
			bytes := uint64(i % tt.different)
			all = append(all, bytes)
			if err := b.add(&kernel.SessionKey{RemotePort: uint16(i)}, &kernel.Session{BytesOut: bytes / 2, BytesIn: bytes - bytes/2}); err != nil {
				t.Fatal(err)
			}
		}
		b.cut()
		slices.Sort(all)
		slices.Reverse(all)
		want := all[:min(len(all), tt.most)]
		var got []uint64
		for i := range b.rows {
			got = append(got, b.rows[i].bytes())
		}
		slices.Sort(got)
		slices.Reverse(got)
		if !slices.Equal(got, want) || b.left != uint64(tt.sessions-len(want)) {
			t.Errorf("%+v: kept %v and left %d, want %v", tt, got, b.left, want)
		}
	}
}
