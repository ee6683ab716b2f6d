package text

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// TestNatural shuffles what is in order, and orders it.
func TestNatural(t *testing.T) {
	t.Parallel()
	for _, want := range [][]string{
		{"", "172.16.1.2", "172.16.1.9", "172.16.1.10", "172.16.10.1"},
		{"0 B", "900 B", "1.0 KiB", "1.5 KiB", "1.2 MiB", "1.0 GiB"},
		{"0s", "59s", "1m", "1m30s", "2h", "2h4m", "1d"},
		{"7", "80", "443", "8080"},
		{"c1", "c2", "c10", "vm", "vm1"},
		{"tcp *:80", "tcp *:8080", "udp *:53"},
		{"9/1", "10/0", "10/2"},
	} {
		got := slices.Clone(want)
		rand.Shuffle(len(got), func(i, j int) { got[i], got[j] = got[j], got[i] })
		slices.SortFunc(got, Natural)
		if !slices.Equal(got, want) {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
