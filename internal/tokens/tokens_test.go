package tokens

import (
	"testing"
	"time"
)

func TestBucket(t *testing.T) {
	t.Parallel()
	rate := Rate{PerSecond: 10, Burst: 3}
	now := time.Unix(1000, 0)
	var b Bucket
	take := func(want ...bool) {
		t.Helper()
		for i, w := range want {
			if got := b.Take(rate, now); got != w {
				t.Errorf("take %d: %v, want %v", i, got, w)
			}
		}
	}
	take(true, true, true, false)
	now = now.Add(100 * time.Millisecond)
	take(true, false)
	now = now.Add(time.Hour)
	take(true, true, true, false)
	now = now.Add(-time.Minute) // the clock is another thread's
	take(false)
	for i, want := range []time.Duration{100 * time.Millisecond, 200 * time.Millisecond, 300 * time.Millisecond} {
		if got := b.Reserve(rate, now); got != want {
			t.Errorf("reservation %d: %v, want %v", i, got, want)
		}
	}
	now = now.Add(time.Minute + 300*time.Millisecond)
	take(false)
	now = now.Add(100 * time.Millisecond)
	take(true, false)
}

// Each one has a bucket of its own, and what is remembered is bounded.
func TestEach(t *testing.T) {
	var e Each[int]
	rate, now := Rate{PerSecond: 1, Burst: 1}, time.Unix(1000, 0)
	for i := range 3 * most {
		if !e.Of(i).Take(rate, now) || e.Of(i).Take(rate, now) {
			t.Fatalf("%d has not one token", i)
		}
	}
	if len(e.buckets) > most {
		t.Errorf("%d buckets", len(e.buckets))
	}
}
