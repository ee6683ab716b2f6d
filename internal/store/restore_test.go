package store

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hostnat/hostnat/internal/config"
	"github.com/hostnat/hostnat/internal/model"
)

// cut truncates a file by n bytes.
func cut(t testing.TB, path string, n int64) {
	t.Helper()
	info, err := os.Stat(path)
	if err == nil {
		err = os.Truncate(path, info.Size()-n)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// undecidedState has lost the last change of both files, and the copy of what runs.
func undecidedState(t testing.TB) (o Options, was config.Config) {
	t.Helper()
	o, was = running(t)
	cut(t, filepath.Join(o.Dir, FileName), 20)
	cut(t, filepath.Join(o.Dir, CopyName), 2000)
	os.Remove(filepath.Join(o.RunDir, RunningName))
	return o, was
}

func TestChoices(t *testing.T) {
	t.Parallel()
	o, _ := undecidedState(t)
	before := contentsOf(t, o.Dir)
	sight, err := Look(o)
	if err != nil || sight.Known || sight.Undecided == nil {
		t.Fatalf("%+v, %v", sight, err)
	}
	s, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if diff := cmp.Diff(sight.Undecided, s.Undecided()); diff != "" {
		t.Errorf("who looks sees other choices than the daemon (-look +daemon):\n%s", diff)
	}
	if diff := cmp.Diff(before, contentsOf(t, o.Dir)); diff != "" {
		t.Errorf("something was changed before anybody decided:\n%s", diff)
	}
	var got []string
	for _, c := range s.Undecided().Choices {
		got = append(got, c.Command+": "+c.What)
	}
	want := []string{
		"hostnat restore --copy: what can be read of " + filepath.Join(o.Dir, FileName) + ": networks 1, endpoints 5, mappings 5, port proxies 0; later changes are lost (1)",
		"hostnat restore --from FILE: a backup of a state file",
		"hostnat restore --empty: a new configuration: everything of hostnat that runs is taken down",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if problems := strings.Join(s.Problems(), "\n"); !strings.Contains(problems, "hostnat restore") {
		t.Errorf("problems: %q", problems)
	}
}

func TestRestore(t *testing.T) {
	t.Parallel()
	layout1, err := os.ReadFile(filepath.Join(layout1Dir, FileName))
	if err != nil {
		t.Fatal(err)
	}
	backup := func() []byte {
		dir := t.TempDir()
		s := openStore(t, dir)
		save(t, s, filled(t, 42))
		return []byte(contentsOf(t, dir)[FileName])
	}()
	tests := map[string]struct {
		from      Source
		endpoints int
		refused   string
	}{
		"what can be read": {from: Source{Copy: true}, endpoints: 5},
		"empty":            {from: Source{Empty: true}},
		"a backup":         {from: Source{File: backup}, endpoints: 42},
		"a layout 1":       {from: Source{File: layout1}, endpoints: 8},
		"a bad backup":     {from: Source{File: backup[:len(backup)-5]}, refused: "ends in the middle of a change"},
		"anything":         {from: Source{File: []byte("hello")}, refused: "does not begin as"},
		"an empty file":    {from: Source{File: []byte{}}, refused: "is empty"},
	}
	for name, test := range tests {
		o, _ := undecidedState(t)
		s, err := Open(o)
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		err = s.Restore(test.from)
		if test.refused != "" {
			if model.CodeOf(err) != model.Invalid || !strings.Contains(err.Error(), test.refused) || s.Undecided() == nil {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		if err != nil || s.Undecided() != nil {
			t.Fatalf("%s: %v", name, err)
		}
		got := load(t, s)
		if len(got.Endpoints) != test.endpoints {
			t.Errorf("%s: %d endpoints", name, len(got.Endpoints))
		}
		more := got.Clone()
		more.NextProxy = 99
		save(t, s, more)
		s.Close()
		again, err := Open(o)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(more, load(t, again), compareNetip); diff != "" {
			t.Errorf("%s: at the next start (-want +got):\n%s", name, diff)
		}
		again.Close()
		aside := 0
		for file := range contentsOf(t, o.Dir) {
			if isAside(file) {
				aside++
			}
		}
		if aside != 2 {
			t.Errorf("%s: %d of 2 damaged files are kept", name, aside)
		}
	}
}

// A sound configuration may be put away too, and is kept.
func TestRestoreOverWhatIsRight(t *testing.T) {
	t.Parallel()
	o, want := running(t)
	s, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := s.Restore(Source{Empty: true}); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(config.NewConfig(), load(t, s), compareNetip); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for name, text := range contentsOf(t, o.Dir) {
		if !strings.HasPrefix(name, FileName+asideMark) {
			continue
		}
		if err := s.Restore(Source{File: []byte(text)}); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(want, load(t, s), compareNetip); diff != "" {
		t.Errorf("and back (-want +got):\n%s", diff)
	}
}

func TestNothingToRestore(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, filepath.Join(dir, FileName), []byte("rubbish"))
	write(t, filepath.Join(dir, CopyName), nil)
	s := openStore(t, dir)
	if err := s.Restore(Source{Copy: true}); model.CodeOf(err) != model.NotFound {
		t.Errorf("%v", err)
	}
	if choices := s.Undecided().Choices; len(choices) != 2 {
		t.Errorf("%q", choices)
	}
}
