package bench

import (
	"testing"
	"time"
)

func TestParseCPUTime(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		stat string
		want time.Duration // 0: refused
	}{
		{"cpu  100 20 300 9999 88 4 60 7 0 0\ncpu0 1 1 1 1\n", 4840 * time.Millisecond},
		{"cpu  1 0 0 0 0 0\n", 0},
		{"cpu  1 0 0 0 0 0 x\n", 0},
		{"intr 1 2 3 4 5 6 7 8\n", 0},
		{"", 0},
	} {
		got, err := parseCPUTime([]byte(tt.stat))
		if got != tt.want || (err != nil) != (tt.want == 0) {
			t.Errorf("%q: %v, %v; want %v", tt.stat, got, err, tt.want)
		}
	}
}

// The machine's own clock runs.
func TestCPUTimePasses(t *testing.T) {
	t.Parallel()
	before, err := cpuTime()
	if err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); {
		if now, err := cpuTime(); err != nil || now > before {
			return
		}
	}
	t.Error("no CPU has worked for 10 s, though this test does")
}
