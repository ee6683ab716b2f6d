package store

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hostnat/hostnat/internal/config"
)

// files returns what is in dir with its contents.
func contents(t *testing.T, dir string) map[string]string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for _, e := range entries {
		text, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		out[e.Name()] = string(text)
	}
	return out
}

func TestPeek(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if _, _, err := Peek(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("nothing there: %v", err)
	}
	s, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	want := config.NewConfig()
	want.NextMapping = 77
	if err := s.Save(want); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	before := contents(t, dir)
	got, problems, err := Peek(dir)
	if err != nil || len(problems) > 0 || got.NextMapping != 77 {
		t.Errorf("%+v, %q, %v", got, problems, err)
	}
	if diff := cmp.Diff(before, contents(t, dir)); diff != "" {
		t.Errorf("looking changed something:\n%s", diff)
	}
}

func TestPeekDamaged(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, FileName)
	if err := errors.Join(os.WriteFile(path, []byte("no database"), 0o600), os.WriteFile(path+asideMark+"x", nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	before := contents(t, dir)
	_, problems, err := Peek(dir)
	if err == nil || len(problems) != 2 || !strings.Contains(problems[1], "is damaged") {
		t.Errorf("%q, %v", problems, err)
	}
	if diff := cmp.Diff(before, contents(t, dir)); diff != "" {
		t.Errorf("looking changed something:\n%s", diff)
	}
}
