package store

import (
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden files")

const layout1Dir = "testdata/layout1" // made by hostnat 9fe2e36, with every kind of object in it

// copyFiles copies the files of a directory, and returns where they are.
func copyFiles(t testing.TB, from string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range contentsOf(t, from) {
		if strings.HasSuffix(name, ".golden") {
			continue
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// textOf is everything that a store has, a line each object.
func textOf(s *Store) string {
	var b strings.Builder
	for _, all := range []objects{s.objects, s.leases.objects} {
		for _, key := range slices.SortedFunc(maps.Keys(all), compareKeys) {
			fmt.Fprintf(&b, "%s %s\n", key, all[key])
		}
	}
	return b.String()
}

// What hostnat 9fe2e36 wrote is read, kept, and there at the next start.
func TestLayout1(t *testing.T) {
	t.Parallel()
	dir := copyFiles(t, layout1Dir)
	before := contentsOf(t, dir)[FileName]
	golden := filepath.Join(layout1Dir, "configuration.golden")
	for i := range 2 {
		s := openStore(t, dir)
		if problems := s.Problems(); len(problems) > 0 {
			t.Errorf("problems: %q", problems)
		}
		got := textOf(s)
		if *update && i == 0 {
			if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), got); diff != "" {
			t.Errorf("start %d (-want +got):\n%s", i, diff)
		}
		s.Close()
	}
	after := contentsOf(t, dir)
	if after[FileName+layout1Mark] != before {
		t.Error("the file of layout 1 is not kept")
	}
	if !strings.HasPrefix(after[FileName], "hostnat configuration, version 2, id ") {
		t.Errorf("the file begins with %.50q", after[FileName])
	}
}

// Peeking reads it too, and leaves it.
func TestLookAtLayout1(t *testing.T) {
	t.Parallel()
	dir := copyFiles(t, layout1Dir)
	before := contentsOf(t, dir)
	sight, err := Look(Options{Dir: dir})
	if err != nil || !sight.Known || len(sight.Config.Networks) != 8 || len(sight.Problems) > 0 {
		t.Errorf("%d networks, known %v, problems %q, %v", len(sight.Config.Networks), sight.Known, sight.Problems, err)
	}
	if diff := cmp.Diff(before, contentsOf(t, dir)); diff != "" {
		t.Errorf("looking changed something:\n%s", diff)
	}
}

// A damaged file of layout 1 is read as it was, or not at all: never in part, and
// never with an end of the program.
func TestDamagedLayout1(t *testing.T) {
	t.Parallel()
	original, err := os.ReadFile(filepath.Join(layout1Dir, FileName))
	if err != nil {
		t.Fatal(err)
	}
	want, is := readLayout1(original)
	if !is || want.condition != whole {
		t.Fatalf("the golden file: %v, %s", is, want.why)
	}
	random := rand.New(rand.NewPCG(1, 2))
	refused := 0
	for i := range damages() {
		data := mutate(random, original)
		c, is := readLayout1(data)
		switch {
		case !is || c.condition == damaged:
			refused++
		case !c.sameAs(want):
			t.Fatalf("mutation %d: changed in silence", i)
		}
		readLeases1(data)
	}
	if refused == 0 {
		t.Error("no damage was ever found")
	}
}

// FuzzLayout1 feeds the reader anything at all.
func FuzzLayout1(f *testing.F) {
	for _, name := range []string{FileName, LeasesFileName} {
		data, err := os.ReadFile(filepath.Join(layout1Dir, name))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		readLayout1(data)
		readLeases1(data)
	})
}
