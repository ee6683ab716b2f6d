package store

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/hostnat/hostnat/internal/model"
)

func removeAll(dir string) error { return os.RemoveAll(dir) }

// What somebody does to the files while hostnat runs is seen at once, and the
// next change is stored, or refused.
func TestChangedWhileRunning(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		do      func(dir string) error
		problem string // before the change
		refused bool
		after   string // a problem after it
	}{
		"directory removed": {removeAll, "was removed: the next change makes it again", false, "made again with everything"},
		"directory emptied": {func(dir string) error {
			return errorsOf(os.Remove(filepath.Join(dir, FileName)), os.Remove(filepath.Join(dir, CopyName)))
		}, "the next change makes the file again", false, "was removed while hostnat ran"},
		"directory made anew": {func(dir string) error { return errorsOf(removeAll(dir), os.Mkdir(dir, 0o700)) }, "was removed", false, "made again with everything"},
		"directory replaced": {func(dir string) error {
			return errorsOf(os.Rename(dir, dir+".old"), os.Mkdir(dir, 0o700), os.WriteFile(filepath.Join(dir, FileName), []byte("x"), 0o600))
		}, "another directory is in the place", true, "another directory is in the place"},
		"a file in its place": {func(dir string) error {
			return errorsOf(removeAll(dir), os.WriteFile(dir, nil, 0o600))
		}, "another directory is in the place", true, "another directory is in the place"},
		"file truncated": {func(dir string) error { return os.Truncate(filepath.Join(dir, FileName), 100) }, "is not what hostnat wrote there", false, "was changed by somebody else"},
		"copy emptied":   {func(dir string) error { return os.Truncate(filepath.Join(dir, CopyName), 0) }, "is not what hostnat wrote there", false, "was changed by somebody else"},
		"file replaced":  {func(dir string) error { return replaceBy(filepath.Join(dir, FileName), "text") }, "is not what hostnat wrote there", false, "was changed by somebody else"},
		"FIFO": {func(dir string) error {
			return errorsOf(os.Remove(filepath.Join(dir, FileName)), unix.Mkfifo(filepath.Join(dir, FileName), 0o600))
		}, "is not what hostnat wrote there", false, "was changed by somebody else"},
		"directory for copy": {func(dir string) error {
			return errorsOf(os.Remove(filepath.Join(dir, CopyName)), os.Mkdir(filepath.Join(dir, CopyName), 0o700))
		}, "is not what hostnat wrote there", false, "was changed by somebody else"},
		"the same again": {func(dir string) error {
			path := filepath.Join(dir, FileName)
			text, err := os.ReadFile(path)
			return errorsOf(err, replaceBy(path, string(text)))
		}, "is not what hostnat wrote there", false, ""},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := filepath.Join(t.TempDir(), "state")
			s := openStore(t, dir)
			save(t, s, filled(t, 2))
			if err := test.do(dir); err != nil {
				t.Fatal(err)
			}
			if got := strings.Join(s.Problems(), "\n"); !strings.Contains(got, test.problem) {
				t.Errorf("problems before: %q, want %q", got, test.problem)
			}
			want := filled(t, 3)
			_, at, _ := s.Load()
			_, err := s.Save(want, at)
			if (err != nil) != test.refused || test.refused && model.CodeOf(err) != model.Unavailable {
				t.Fatalf("refused %v: %v", test.refused, err)
			}
			if got := strings.Join(s.Problems(), "\n"); !strings.Contains(got, test.after) {
				t.Errorf("problems after: %q, want %q", got, test.after)
			}
			if test.refused {
				want = filled(t, 2)
				if diff := cmp.Diff(want, load(t, s), compareNetip); diff != "" {
					t.Errorf("after the refusal (-want +got):\n%s", diff)
				}
				return
			}
			s.Close()
			if diff := cmp.Diff(want, load(t, openStore(t, dir)), compareNetip); diff != "" {
				t.Errorf("at the next start (-want +got):\n%s", diff)
			}
		})
	}
}

func replaceBy(path, text string) error {
	return errorsOf(os.WriteFile(path+".x", []byte(text), 0o600), os.Rename(path+".x", path))
}

// smallDisk is a directory on a file system of its own.
func smallDisk(t *testing.T, options string) string {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root can mount")
	}
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, options); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// A full disk refuses changes, in one line, and loses nothing; with room again it
// goes on.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	dir := smallDisk(t, "size=256k")
	s := openStore(t, dir)
	want := filled(t, 3)
	save(t, s, want)
	full := filepath.Join(dir, "full")
	write(t, full, nil)
	f, err := os.OpenFile(full, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	for err == nil {
		_, err = f.Write(make([]byte, 1024))
	}
	f.Close()
	refused := 0
	for n := range 30 { // the last page of a file may still have some room
		_, at, _ := s.Load()
		next := filled(t, 3+n)
		if _, err := s.Save(next, at); err == nil {
			want = next
			continue
		} else if model.CodeOf(err) != model.Unavailable || !strings.Contains(err.Error(), "no space left") || strings.Contains(err.Error(), "\n") {
			t.Fatalf("%v", err)
		}
		refused++
	}
	if problems := strings.Join(s.Problems(), "\n"); refused == 0 || !strings.Contains(problems, "no space left") {
		t.Errorf("%d refused, problems: %q", refused, problems)
	}
	if diff := cmp.Diff(want, load(t, openStore(t, copyWithout(t, dir, "full"))), compareNetip); diff != "" {
		t.Errorf("at a start with a full disk (-want +got):\n%s", diff)
	}
	if err := os.Remove(full); err != nil {
		t.Fatal(err)
	}
	want = filled(t, 40)
	save(t, s, want)
	if problems := s.Problems(); len(problems) > 0 {
		t.Errorf("with room again: %q", problems)
	}
	s.Close()
	if diff := cmp.Diff(want, load(t, openStore(t, dir)), compareNetip); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func copyWithout(t *testing.T, dir, name string) string {
	t.Helper()
	to := copyFiles(t, dir)
	if err := os.Remove(filepath.Join(to, name)); err != nil {
		t.Fatal(err)
	}
	return to
}

// A read-only disk: hostnat starts with what is there, and refuses changes.
func TestReadOnlyDisk(t *testing.T) {
	t.Parallel()
	dir := smallDisk(t, "size=1m")
	s := openStore(t, dir)
	want := filled(t, 3)
	save(t, s, want)
	s.Close()
	if err := unix.Mount("", dir, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
	s = openStore(t, dir)
	if diff := cmp.Diff(want, load(t, s), compareNetip); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	_, at, _ := s.Load()
	if _, err := s.Save(filled(t, 4), at); model.CodeOf(err) != model.Unavailable || !strings.Contains(err.Error(), "read-only") {
		t.Errorf("a change: %v", err)
	}
	if problems := strings.Join(s.Problems(), "\n"); !strings.Contains(problems, "read-only") {
		t.Errorf("problems: %q", problems)
	}
	if diff := cmp.Diff(want, load(t, s), compareNetip); diff != "" {
		t.Errorf("after the refusal (-want +got):\n%s", diff)
	}
}
