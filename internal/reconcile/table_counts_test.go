package reconcile

import (
	"errors"
	"testing"
	"time"
)

// A monitor that asks each second does not have a large table counted each
// second; a small one is always as it is.
func TestTableCounts(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		took time.Duration // to count
		want int           // counts in a minute, asked each second
	}{
		{"small", time.Millisecond, 60},
		{"a million", 300 * time.Millisecond, 9},
		{"on a slow machine", 2 * time.Second, 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			clock, counted := time.Unix(0, 0), 0
			count := func() (uint64, uint64, error) {
				counted++
				clock = clock.Add(tt.took)
				return uint64(counted), 7, nil
			}
			var c tableCounts
			for second := range 60 {
				clock = time.Unix(int64(second), 0)
				sessions, bindings, err := c.counts(func() time.Time { return clock }, count)
				if err != nil || sessions != uint64(counted) || bindings != 7 {
					t.Fatalf("%d sessions, %d bindings, %v after %d counts", sessions, bindings, err, counted)
				}
			}
			if counted != tt.want {
				t.Errorf("counted %d times in a minute, want %d", counted, tt.want)
			}
		})
	}
}

// A count that fails is no count.
func TestTableCountsFail(t *testing.T) {
	t.Parallel()
	var c tableCounts
	broken := errors.New("no such map")
	if _, _, err := c.counts(time.Now, func() (uint64, uint64, error) { return 1, 1, broken }); !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
	if sessions, _, err := c.counts(time.Now, func() (uint64, uint64, error) { return 2, 2, nil }); err != nil || sessions != 2 {
		t.Errorf("got %d, %v", sessions, err)
	}
}
