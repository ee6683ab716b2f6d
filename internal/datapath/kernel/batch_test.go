package kernel

import "testing"

// Rows of 8 KiB were read into a buffer of 8 MiB, however few there were.
func TestBatchOf(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		limit, key, value uint32
		want              int
	}{
		{1 << 20, 20, 128, BatchSize}, // sessions
		{1024, 8, 8200, 31},           // reserved ports
		{8, 4, 4, 8},
		{1, 4, 1 << 20, 1},
	} {
		if got := batchOf(test.limit, test.key, test.value); got != test.want {
			t.Errorf("%+v: got %d", test, got)
		}
	}
}
