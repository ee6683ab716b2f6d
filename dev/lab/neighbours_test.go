package lab

import "testing"

func TestNeighboursRefused(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		text string
		want uint64
	}{
		"two CPUs":       {"entries  allocs table_fulls\n0000025f 00008b07 000019c5\n0000025f 00008a96 0000132d\n", 0x19c5 + 0x132d},
		"another kernel": {"entries allocs\n1 2\n", 0},
		"cut off":        {"entries allocs table_fulls\n1 2\n", 0},
		"nothing":        {"", 0},
	} {
		if got := neighboursRefused(tt.text); got != tt.want {
			t.Errorf("%s: %d, want %d", name, got, tt.want)
		}
	}
}
