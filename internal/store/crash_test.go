package store

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/hostnat/hostnat/internal/config"
)

// A change is written to one file after the other. Killed at any byte of that,
// the next start has the configuration before or after the change, and no problem.
func TestKilledAtAnyByteOfSave(t *testing.T) {
	t.Parallel()
	o := Options{Dir: t.TempDir(), RunDir: t.TempDir()}
	s, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	before, after := filled(t, 2), filled(t, 3)
	save(t, s, before)
	files := o.paths()
	read := func() (texts [places]string) {
		for place, path := range files {
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			texts[place] = string(text)
		}
		return texts
	}
	old := read()
	save(t, s, after)
	s.Close()
	now := read()
	check := func(what string, texts [places]string, start bool) {
		for place, path := range files {
			write(t, path, []byte(texts[place]))
		}
		sight, err := Look(o)
		if err != nil || len(sight.Problems) > 0 || !cmp.Equal(before, sight.Config, compareNetip) && !cmp.Equal(after, sight.Config, compareNetip) {
			t.Fatalf("%s: %v, problems %q", what, err, sight.Problems)
		}
		if !start {
			return
		}
		for _, without := range []bool{false, true} { // as after a reboot
			at := Options{Dir: copyFiles(t, o.Dir), RunDir: copyFiles(t, o.RunDir), Running: func() bool { return !without }}
			if without {
				os.Remove(filepath.Join(at.RunDir, RunningName))
			}
			s, err := Open(at)
			if err != nil {
				t.Fatalf("%s: %v", what, err)
			}
			got, _, err := s.Load()
			if err != nil || len(s.Problems()) > 0 {
				t.Fatalf("%s: %v, problems %q", what, err, s.Problems())
			}
			if !cmp.Equal(before, got, compareNetip) && !cmp.Equal(after, got, compareNetip) {
				t.Fatalf("%s: neither before nor after", what)
			}
			if texts[secondFile] == now[secondFile] && !cmp.Equal(after, got, compareNetip) {
				t.Fatalf("%s: a change that was done is lost", what)
			}
			s.Close()
			os.RemoveAll(at.Dir)
			os.RemoveAll(at.RunDir)
		}
	}
	texts := old
	for place := range files {
		for n := len(old[place]); n <= len(now[place]); n++ {
			texts[place] = now[place][:n]
			check(fmt.Sprintf("%s at byte %d", files[place], n), texts, n%61 == 0)
		}
		texts[place] = now[place]
	}
	check("all is written", texts, true)
}

// The same while the files are made shorter: each is replaced by a rename, and
// what is half made has another name.
func TestKilledWhileFilesAreMadeShorter(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := openStore(t, dir)
	want := filled(t, 5)
	save(t, s, want)
	long := contentsOf(t, dir)
	for _, place := range []copyName{mainFile, secondFile} {
		if err := s.rewrite(place); err != nil {
			t.Fatal(err)
		}
	}
	s.Close()
	short := contentsOf(t, dir)
	for done := range 3 {
		for _, half := range []int{-1, 0, 10, len(short[FileName]) / 2, len(short[FileName])} {
			at := t.TempDir()
			for i, name := range []string{FileName, CopyName} {
				text := long[name]
				if i < done {
					text = short[name]
				}
				write(t, filepath.Join(at, name), []byte(text))
				if i == done && half >= 0 {
					write(t, filepath.Join(at, name+freshMark), []byte(short[name][:half]))
				}
			}
			s := openStore(t, at)
			if diff := cmp.Diff(want, load(t, s), compareNetip); diff != "" || len(s.Problems()) > 0 {
				t.Errorf("%d files done, half of %d bytes: problems %q (-want +got):\n%s", done, half, s.Problems(), diff)
			}
			s.Close()
		}
	}
}

const killedEnv = "HOSTNAT_TEST_STORE_DIR"

// TestSaver is the process that TestKilled kills: it saves one configuration
// after the other, and says so after each.
func TestSaver(t *testing.T) {
	dir := os.Getenv(killedEnv)
	if dir == "" {
		t.Skip("runs as a process of TestKilled's")
	}
	s, err := Open(Options{Dir: dir, RunDir: dir + ".run"})
	if err != nil {
		t.Fatal(err)
	}
	c, at, err := s.Load()
	if err != nil {
		t.Fatal(err)
	}
	big := filled(t, 300).Endpoints // so that files are made shorter now and then
	for {
		c.NextMapping++
		c.Endpoints = nil
		if c.NextMapping%4 == 0 {
			c.Endpoints = big
		}
		if at, err = s.Save(c, at); err != nil {
			t.Fatal(err)
		}
		fmt.Println("saved", c.NextMapping)
	}
}

// A process that is killed at any time has lost no change of which it said that
// it was stored, and leaves nothing that would be called damage.
func TestKilled(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "state")
	random := rand.New(rand.NewPCG(8, 9))
	last := config.NewConfig().NextMapping
	for round := range max(12, damages()/10) {
		ctx := t.Context()
		process := exec.CommandContext(ctx, os.Args[0], "-test.run=^TestSaver$", "-test.v")
		process.Env = append(os.Environ(), killedEnv+"="+dir)
		out, err := process.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := process.Start(); err != nil {
			t.Fatal(err)
		}
		kill := func() {
			time.AfterFunc(time.Duration(random.IntN(30_000))*time.Microsecond, func() { process.Process.Kill() })
		}
		started := false
		for lines := bufio.NewScanner(out); lines.Scan(); {
			var n int
			if _, err := fmt.Sscanf(lines.Text(), "saved %d", &n); err != nil {
				continue
			}
			if !started {
				started = true
				kill()
			}
			last = uint32(n)
		}
		_ = process.Wait()
		if !started {
			t.Fatalf("round %d: the process saved nothing", round)
		}
		s, err := Open(Options{Dir: dir, RunDir: dir + ".run", Running: func() bool { return true }})
		if err != nil {
			t.Fatal(err)
		}
		got := load(t, s)
		if len(s.Problems()) > 0 {
			t.Errorf("round %d: problems %q", round, s.Problems())
		}
		if got.NextMapping != last && got.NextMapping != last+1 {
			t.Errorf("round %d: %d is stored, %d was said to be", round, got.NextMapping, last)
		}
		if want := got.NextMapping%4 == 0; (len(got.Endpoints) > 0) != want {
			t.Errorf("round %d: %d endpoints at %s", round, len(got.Endpoints), strconv.Itoa(int(got.NextMapping)))
		}
		last = got.NextMapping
		s.Close()
	}
}
