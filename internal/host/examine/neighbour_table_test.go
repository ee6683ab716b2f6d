package examine

import "testing"

func TestSumOfColumn(t *testing.T) {
	t.Parallel()
	const text = "entries  allocs table_fulls\n0000000f 0000d975 000019c5\n0000000f 0000f961 0000132d\n"
	tests := []struct {
		name, text, column string
		want               uint64
	}{
		{"the last one", text, "table_fulls", 0x19c5 + 0x132d},
		{"the first one", text, "entries", 30},
		{"a kernel that does not count it", text, "hash_grows", 0},
		{"a line that is cut off", text + "0000000f\n", "table_fulls", 0x19c5 + 0x132d},
		{"no number", "a b\n1 x\n1 2", "b", 2},
		{"nothing", "", "table_fulls", 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got := sumOfColumn(tt.text, tt.column); got != tt.want {
				t.Errorf("got %d, want %d", got, tt.want)
			}
		})
	}
}
