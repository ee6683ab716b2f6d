package main

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestResultIsWholeOrNotThere: a file that cannot be written whole stays as it was.
func TestResultIsWholeOrNotThere(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	path := filepath.Join(folder, "small.hnr")
	for _, tt := range []struct {
		text string
		err  error
		want string
	}{{"first", nil, "first"}, {"half", errors.New("no space left"), "first"}, {"second", nil, "second"}} {
		out, err := newResult(path)
		if err != nil {
			t.Fatal(err)
		}
		err = out.write(func(to io.Writer) error {
			_, _ = io.WriteString(to, tt.text)
			return tt.err
		})
		out.discard()
		if !errors.Is(err, tt.err) {
			t.Errorf("%s: %v", tt.text, err)
		}
		if got, _ := os.ReadFile(path); string(got) != tt.want {
			t.Errorf("after %q it has %q, want %q", tt.text, got, tt.want)
		}
		if all, _ := os.ReadDir(folder); len(all) != 1 {
			t.Errorf("after %q there are %v", tt.text, all)
		}
	}
	if _, err := newResult(filepath.Join(folder, "no", "x")); err == nil || !strings.Contains(err.Error(), filepath.Join(folder, "no", "x")+": no such file") {
		t.Errorf("in no folder: %v", err)
	}
}

// TestFIFO: nobody waits for the other end of a FIFO, since he could not be interrupted.
func TestFIFO(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "fifo")
	if err := unix.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := createOutput(path); err == nil || !strings.Contains(err.Error(), "nobody reads from "+path) {
		t.Errorf("to write: %v", err)
	}
	if _, err := newResult(path); err == nil {
		t.Error("a result waits for nobody either, and is not made")
	}
	if _, err := openInput(path); err == nil || !strings.Contains(err.Error(), "is no regular file") {
		t.Errorf("to read: %v", err)
	}
}
