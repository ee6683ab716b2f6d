package cni

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// What a runtime says is read to its end, and no more than some bytes: who says more is refused.
func TestInputWithoutEnd(t *testing.T) {
	t.Parallel()
	file := func(text string) *os.File {
		path := filepath.Join(t.TempDir(), "said")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		f, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Close() })
		return f
	}
	for _, size := range []int{0, 2, maxInput} { // more than a pipe holds
		said := strings.Repeat("x", size)
		in := file(said)
		if err := bound(&in, maxInput); err != nil {
			t.Fatalf("%d bytes: %v", size, err)
		}
		if got, err := io.ReadAll(in); err != nil || string(got) != said {
			t.Errorf("%d bytes of %d, %v", len(got), size, err)
		}
		in.Close()
	}
	zeros, err := os.Open("/dev/zero")
	if err != nil {
		t.Fatal(err)
	}
	defer zeros.Close()
	for _, in := range []*os.File{zeros, file(strings.Repeat("x", maxInput+1))} {
		if err := bound(&in, maxInput); err == nil || !strings.Contains(err.Error(), "longer than") {
			t.Errorf("%s: %v", in.Name(), err)
		}
	}
}
