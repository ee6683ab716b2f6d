package text

import "testing"

func TestHumanNumbers(t *testing.T) {
	t.Parallel()
	for n, want := range map[uint64]string{0: "0 B", 1023: "1023 B", 1024: "1.0 KiB", 1536: "1.5 KiB",
		1<<20 - 1: "1.0 MiB", 1 << 20: "1.0 MiB", 5 << 30: "5.0 GiB", 1<<64 - 1: "16.0 EiB"} {
		if got := Bytes(n); got != want {
			t.Errorf("bytesText(%d) = %q, want %q", n, got, want)
		}
	}
	for n, want := range map[uint64]string{0: "0s", 59: "59s", 60: "1m", 61: "1m1s", 3600: "1h", 3601: "1h",
		7440: "2h4m", 86400: "1d", 90000: "1d1h", 30 * 86400: "30d"} {
		if got := Seconds(n); got != want {
			t.Errorf("secondsText(%d) = %q, want %q", n, got, want)
		}
	}
}
