package store

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/hostnat/hostnat/internal/config"
	"github.com/hostnat/hostnat/internal/model"
)

// damages is how many random damages a test makes: HOSTNAT_DAMAGES=1000 for
// issue 12's bar.
func damages() int {
	if n, err := strconv.Atoi(os.Getenv("HOSTNAT_DAMAGES")); err == nil {
		return n
	}
	return 60
}

// mutate returns data after one accident: flipped bits, a cut, bytes that are
// lost or doubled, a block of zeros or of something else.
func mutate(random *rand.Rand, data []byte) []byte {
	bad := bytes.Clone(data)
	at := random.IntN(len(bad))
	length := min(1+random.IntN(600), len(bad)-at)
	switch random.IntN(7) {
	case 0:
		bad[at] ^= 1 << random.IntN(8)
	case 1:
		for range 1 + random.IntN(8) {
			bad[random.IntN(len(bad))] ^= byte(1 + random.IntN(255))
		}
	case 2:
		return bad[:at]
	case 3:
		return append(bad[:at], bad[at+length:]...)
	case 4:
		return append(bad[:at+length], data[at:]...)
	case 5:
		clear(bad[at : at+length])
	case 6:
		for i := range length {
			bad[at+i] = byte(random.Uint32())
		}
	}
	return bad
}

// running is a state and run directory as a killed daemon leaves them, with some
// changes made one after the other.
func running(t testing.TB) (o Options, want config.Config) {
	t.Helper()
	o = Options{Dir: t.TempDir(), RunDir: t.TempDir(), Running: func() bool { return true }}
	s, err := Open(Options{Dir: o.Dir, RunDir: o.RunDir})
	if err != nil {
		t.Fatal(err)
	}
	for n := range 6 {
		want = filled(t, n+1)
		save(t, s, want)
	}
	if err := s.SaveLeases([]model.Lease{lease("web", "172.16.1.2"), lease("web", "172.16.1.3")}, nil); err != nil {
		t.Fatal(err)
	}
	s.Close()
	return o, want
}

// outcome opens damaged state. Whatever is damaged: either the configuration is
// as it was, or there is none until somebody decides, and both is told.
func outcome(t testing.TB, o Options, want config.Config, what string) (undecided bool) {
	t.Helper()
	s, err := Open(o)
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	defer s.Close()
	for _, line := range s.Problems() {
		if strings.Contains(line, "\n") {
			t.Errorf("%s: a problem of two lines: %q", what, line)
		}
	}
	got, at, err := s.Load()
	if s.Undecided() != nil {
		if model.CodeOf(err) != model.Unavailable || len(s.Problems()) == 0 {
			t.Fatalf("%s: nobody has decided, and Load: %v, problems %q", what, err, s.Problems())
		}
		if _, err := s.Save(want, at); model.CodeOf(err) != model.Unavailable {
			t.Fatalf("%s: nobody has decided, and Save: %v", what, err)
		}
		return true
	}
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	if diff := cmp.Diff(want, got, compareNetip); diff != "" {
		t.Fatalf("%s: another configuration (-want +got):\n%s", what, diff)
	}
	more := filled(t, 9)
	if _, err := s.Save(more, at); err != nil {
		t.Fatalf("%s: a change afterwards: %v", what, err)
	}
	s.Close()
	again := openStore(t, o.Dir)
	if diff := cmp.Diff(more, load(t, again), compareNetip); diff != "" {
		t.Fatalf("%s: after a change and a start (-want +got):\n%s", what, diff)
	}
	again.Close()
	return false
}

// One damaged file of the configuration costs nothing, whichever it is.
func TestOneDamagedFile(t *testing.T) {
	t.Parallel()
	good, want := running(t)
	for _, name := range []string{FileName, CopyName} {
		random := rand.New(rand.NewPCG(3, uint64(len(name))))
		original := contentsOf(t, good.Dir)[name]
		for i := range damages() {
			o := Options{Dir: copyFiles(t, good.Dir), RunDir: copyFiles(t, good.RunDir), Running: good.Running}
			bad := mutate(random, []byte(original))
			if string(bad) == original {
				continue
			}
			write(t, filepath.Join(o.Dir, name), bad)
			if i%2 == 0 {
				o.RunDir = ""
			}
			if outcome(t, o, want, fmt.Sprintf("%s, mutation %d", name, i)) {
				t.Fatalf("%s, mutation %d: nobody decides though the other file is whole", name, i)
			}
			os.RemoveAll(o.Dir)
		}
	}
}

// Two damaged files: what runs goes on by the third copy; without that one,
// somebody has to decide.
func TestBothFilesDamaged(t *testing.T) {
	t.Parallel()
	good, want := running(t)
	random := rand.New(rand.NewPCG(5, 6))
	undecided := 0
	for i := range damages() {
		o := Options{Dir: copyFiles(t, good.Dir), RunDir: copyFiles(t, good.RunDir), Running: good.Running}
		for _, name := range []string{FileName, CopyName} {
			write(t, filepath.Join(o.Dir, name), mutate(random, []byte(contentsOf(t, good.Dir)[name])))
		}
		if i%2 == 0 {
			write(t, filepath.Join(o.RunDir, RunningName), mutate(random, []byte(contentsOf(t, good.RunDir)[RunningName])))
		}
		if outcome(t, o, want, fmt.Sprintf("mutation %d", i)) {
			undecided++
			if i%2 != 0 {
				t.Fatalf("mutation %d: nobody decides though the copy of what runs is whole", i)
			}
		}
		os.RemoveAll(o.Dir)
		os.RemoveAll(o.RunDir)
	}
	if undecided == 0 {
		t.Error("it never came to a decision")
	}
}

// Damaged leases cost leases, never the configuration, and never the daemon.
func TestDamagedLeases(t *testing.T) {
	t.Parallel()
	good, want := running(t)
	random := rand.New(rand.NewPCG(7, 8))
	for i := range damages() {
		o := Options{Dir: copyFiles(t, good.Dir), Running: good.Running}
		original := contentsOf(t, good.Dir)[LeasesFileName]
		bad := mutate(random, []byte(original))
		write(t, filepath.Join(o.Dir, LeasesFileName), bad)
		s := openStore(t, o.Dir)
		if diff := cmp.Diff(want, load(t, s), compareNetip); diff != "" {
			t.Fatalf("mutation %d (-want +got):\n%s", i, diff)
		}
		list, err := s.Leases()
		if err != nil || len(list) > 2 || len(list) < 2 && len(s.Problems()) == 0 && parse(whatLeases, bad).condition != torn {
			t.Fatalf("mutation %d: leases %v, problems %q, %v", i, list, s.Problems(), err)
		}
		if err := s.SaveLeases([]model.Lease{lease("web", "172.16.1.9")}, nil); err != nil {
			t.Fatal(err)
		}
		s.Close()
		s = openStore(t, o.Dir)
		if again, err := s.Leases(); err != nil || len(again) != len(list)+1 || len(s.Problems()) > 0 {
			t.Fatalf("mutation %d: %d leases, then %d, problems %q, %v", i, len(list), len(again), s.Problems(), err)
		}
		s.Close()
		os.RemoveAll(o.Dir)
	}
}

// Whatever else is in the place of the files: with one copy hostnat goes on, with
// none it waits, and it reads nothing without an end.
func TestOtherThingsThanFiles(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("only root can make all of these")
	}
	things := map[string]func(path string) error{
		"nothing":   func(string) error { return nil },
		"empty":     func(path string) error { return os.WriteFile(path, nil, 0o600) },
		"FIFO":      func(path string) error { return unix.Mkfifo(path, 0o600) },
		"/dev/zero": func(path string) error { return os.Symlink("/dev/zero", path) },
		"device":    func(path string) error { return unix.Mknod(path, unix.S_IFCHR|0o600, int(unix.Mkdev(1, 5))) },
		"directory": func(path string) error { return os.MkdirAll(filepath.Join(path, "x"), 0o700) },
		"loop":      func(path string) error { return os.Symlink(filepath.Base(path), path) },
		"socket":    func(path string) error { return unix.Mknod(path, unix.S_IFSOCK|0o600, 0) },
		"huge":      func(path string) error { return errorsOf(os.WriteFile(path, nil, 0o600), os.Truncate(path, maxFile+1)) },
		"sparse":    func(path string) error { return errorsOf(os.WriteFile(path, nil, 0o600), os.Truncate(path, 1<<20)) },
		"of somebody": func(path string) error {
			return errorsOf(os.WriteFile(path, []byte("x"), 0o600), os.Chown(path, 4711, 4711))
		},
	}
	good, want := running(t)
	for name, put := range things {
		for _, lost := range [][]string{{FileName}, {CopyName}, {LeasesFileName}, {FileName, CopyName}, {FileName, CopyName, RunningName}} {
			o := Options{Dir: copyFiles(t, good.Dir), RunDir: copyFiles(t, good.RunDir), Running: good.Running}
			for _, file := range lost {
				path := filepath.Join(o.Dir, file)
				if file == RunningName {
					path = filepath.Join(o.RunDir, file)
				}
				if err := errorsOf(os.Remove(path), put(path)); err != nil {
					t.Fatal(err)
				}
			}
			what := fmt.Sprintf("%s in place of %v", name, lost)
			if got := outcome(t, o, want, what); got != (len(lost) == 3) {
				t.Errorf("%s: waits for a decision: %v", what, got)
			}
		}
	}
}

func errorsOf(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func write(t testing.TB, path string, data []byte) {
	t.Helper()
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// FuzzParse feeds the reader anything at all: what it takes for whole is what is
// written for it.
func FuzzParse(f *testing.F) {
	all, err := allObjects(config.NewConfig())
	if err != nil {
		f.Fatal(err)
	}
	text, sum := snapshot(head{whatConfiguration, version, "0123456789abcdef"}, 1, all)
	more, _ := transaction(sum, 2, objects{"nat 1": nil, "rest": []byte("{}")})
	f.Add(text)
	f.Add(append(text, more...))
	f.Add(append(bytes.Clone(text), more[:len(more)/2]...))
	f.Fuzz(func(t *testing.T, data []byte) {
		c := parse(whatConfiguration, data)
		if c.revision > c.beyond || c.size > int64(len(data)) || c.condition == whole && c.size != int64(len(data)) {
			t.Errorf("%+v", c)
		}
		_, _ = configOf(c.objects)
	})
}
