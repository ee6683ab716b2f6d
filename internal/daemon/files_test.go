package daemon

import (
	"strings"
	"testing"
)

func TestFilesProblem(t *testing.T) {
	t.Parallel()
	tests := []struct {
		networks int
		limit    uint64
		want     string // part of it; empty: none
	}{
		{0, 1024, ""},
		{85, 1024, ""},
		{86, 1024, "may open 1024 files, and 86 networks need up to 1028"},
		{1000, 4096, "LimitNOFILE"},
		{1000, 524288, ""},
	}
	for _, test := range tests {
		got := filesProblemWith(test.networks, test.limit)
		if !strings.Contains(got, test.want) || (got == "") != (test.want == "") {
			t.Errorf("%d networks, limit %d: %q, want %q", test.networks, test.limit, got, test.want)
		}
	}
}
