package costly_test

import (
	"errors"
	"testing"
	"time"

	"github.com/hostnat/hostnat/internal/costly"
)

// A monitor that asks each second does not have a large table counted each
// second; a small one is always as it is.
func TestReading(t *testing.T) {
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
			count := func() (int, error) {
				counted++
				clock = clock.Add(tt.took)
				return counted, nil
			}
			var r costly.Reading[int]
			for second := range 60 {
				clock = time.Unix(int64(second), 0)
				got, err := r.Get(func() time.Time { return clock }, count)
				if err != nil || got != counted {
					t.Fatalf("got %d, %v after %d counts", got, err, counted)
				}
			}
			if counted != tt.want {
				t.Errorf("counted %d times in a minute, want %d", counted, tt.want)
			}
		})
	}
}

// A count that fails is no count.
func TestReadingFails(t *testing.T) {
	t.Parallel()
	var r costly.Reading[int]
	broken := errors.New("no such map")
	if _, err := r.Get(time.Now, func() (int, error) { return 1, broken }); !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
	if got, err := r.Get(time.Now, func() (int, error) { return 2, nil }); err != nil || got != 2 {
		t.Errorf("got %d, %v", got, err)
	}
}
