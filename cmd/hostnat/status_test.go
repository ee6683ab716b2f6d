package main

import (
	"bytes"
	"testing"

	"github.com/hostnat/hostnat/api"
)

// Problems are red where somebody looks, unless they want no colours.
func TestProblemsAreRed(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		colour   bool
		problems []string
		want     string
	}{
		{false, []string{"a", "b"}, "\nproblems\n  a\n  b\n"},
		{true, []string{"a", "b"}, "\n\x1b[31mproblems\x1b[0m\n  \x1b[31ma\x1b[0m\n  \x1b[31mb\x1b[0m\n"},
		{true, nil, "\nno problems\n"},
	} {
		s := api.Status{Version: "v1", Problems: tt.problems}
		var out bytes.Buffer
		if err := printStatus(&out, s, tt.colour); err != nil {
			t.Fatal(err)
		}
		if !bytes.HasSuffix(out.Bytes(), []byte(tt.want)) {
			t.Errorf("colour %v: got %q, want %q at the end", tt.colour, out.String(), tt.want)
		}
	}
}
