package store

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/hostnat/hostnat/internal/config/diff"

	"github.com/hostnat/hostnat/internal/config"
	"github.com/hostnat/hostnat/internal/model"
)

func openStore(t testing.TB, dir string) *Store {
	t.Helper()
	s, err := Open(Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func load(t testing.TB, s *Store) config.Config {
	t.Helper()
	c, _, err := s.Load()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// save stores a configuration, whatever is stored now.
func save(t testing.TB, s *Store, c config.Config) {
	t.Helper()
	_, at, err := s.Load()
	if err == nil {
		_, err = s.Save(c, at)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// filled is a configuration of a few networks and n endpoints and mappings.
func filled(t testing.TB, n int) config.Config {
	t.Helper()
	c := config.NewConfig()
	_, err := c.AddNetwork(config.NetworkSpec{Name: "web", Subnet: "172.16.0.0/16"}, model.HostFacts{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	next := func(network model.Network, e []model.Endpoint) (netip.Addr, error) {
		a := network.Gateway4().Next()
		if len(e) > 0 {
			a = e[len(e)-1].Address4().Next()
		}
		return a, nil
	}
	for i := range n {
		name := fmt.Sprintf("c%d", i)
		if _, err := c.AddEndpoint(config.EndpointSpec{Network: "web", Name: name, Netns: name}, model.HostFacts{}, next); err != nil {
			t.Fatal(err)
		}
		if _, err := c.AddMapping(config.MappingSpec{Protocol: "tcp", External: fmt.Sprint(1000 + i), Internal: name + ":80"}, nil); err != nil {
			t.Fatal(err)
		}
	}
	return c
}

func difference(before, after config.Config) (objects, error) {
	d := diff.Of(&before, &after)
	return changedObjects(&d, &after)
}

func TestSaveAndLoad(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "state", "deep")
	s := openStore(t, dir)
	if diff := cmp.Diff(config.NewConfig(), load(t, s), compareNetip); diff != "" {
		t.Errorf("fresh (-want +got):\n%s", diff)
	}
	for _, n := range []int{1, 200, 3} {
		want := filled(t, n)
		save(t, s, want)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		s = openStore(t, dir)
		if diff := cmp.Diff(want, load(t, s), compareNetip); diff != "" {
			t.Errorf("%d endpoints (-want +got):\n%s", n, diff)
		}
		if len(s.Problems()) != 0 {
			t.Errorf("problems: %q", s.Problems())
		}
	}
}

// However a configuration came about, what is read is what was saved last.
func TestChangesAddUp(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := openStore(t, dir)
	for _, n := range []int{5, 0, 300, 299, 1, 120} {
		save(t, s, filled(t, n))
	}
	want := filled(t, 120)
	for i := 0; i < 60; i++ {
		if err := want.DeleteMapping(want.Mappings[i].ID); err != nil {
			t.Fatal(err)
		}
		save(t, s, want)
	}
	s.Close()
	s = openStore(t, dir)
	if len(s.Problems()) > 0 {
		t.Errorf("problems: %q", s.Problems())
	}
	if diff := cmp.Diff(want, load(t, s), compareNetip); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// Files do not grow for ever: now and then they are written anew.
func TestFilesStayShort(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := openStore(t, dir)
	one, two := filled(t, 200), filled(t, 400)
	for range 30 {
		save(t, s, one)
		save(t, s, two)
	}
	for _, name := range []string{FileName, CopyName} {
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Size() > 3*slack {
			t.Errorf("%s: %v, %v", name, info.Size(), err)
		}
	}
	s.Close()
	if diff := cmp.Diff(two, load(t, openStore(t, dir)), compareNetip); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestOldRevisionIsRefused(t *testing.T) {
	t.Parallel()
	s := openStore(t, t.TempDir())
	_, at, err := s.Load()
	if err != nil {
		t.Fatal(err)
	}
	next, err := s.Save(filled(t, 1), at)
	if err != nil || next != at+1 {
		t.Fatalf("revision %d after %d: %v", next, at, err)
	}
	if same, err := s.Save(filled(t, 1), next); err != nil || same != next {
		t.Errorf("saving the same: revision %d after %d, %v", same, next, err)
	}
	if _, err := s.Save(filled(t, 2), at); model.CodeOf(err) != model.Conflict {
		t.Errorf("saving what was made from an old one: %v", err)
	}
	if diff := cmp.Diff(filled(t, 1), load(t, s), compareNetip); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestOnlyWhatDiffersIsWritten(t *testing.T) {
	t.Parallel()
	before := filled(t, 20)
	tests := map[string]struct {
		change func(c *config.Config) error
		want   []string
	}{
		"nothing": {func(*config.Config) error { return nil }, nil},
		"a mapping more": {func(c *config.Config) error {
			_, err := c.AddMapping(config.MappingSpec{Protocol: "udp", External: "7", Internal: "c1:7"}, nil)
			return err
		}, []string{"counters", "mapping 21"}},
		"a mapping less": {func(c *config.Config) error { return c.DeleteMapping(7) }, []string{"mapping 7"}},
		"a setting": {func(c *config.Config) error {
			_, err := c.SetNAT(model.DefaultNAT, map[string]string{"udp-timeout": "7s"})
			return err
		}, []string{"nat 1"}},
		"an endpoint less": {func(c *config.Config) error { return c.DetachEndpoint("c3") }, []string{"endpoint 7", "mapping 4", "rest"}},
	}
	for name, tt := range tests {
		after := before.Clone()
		if err := tt.change(&after); err != nil {
			t.Fatal(err)
		}
		changed, err := difference(before, after)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(tt.want, slices.Sorted(maps.Keys(changed))); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestSecondDaemonIsRefused(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := openStore(t, dir)
	_, err := Open(Options{Dir: dir})
	var e *model.Error
	if !errors.As(err, &e) || e.Code != model.Conflict || !strings.Contains(e.Message, fmt.Sprintf("another hostnat daemon (pid %d) uses %s", os.Getpid(), dir)) {
		t.Errorf("got %v", err)
	}
	s.Close()
	openStore(t, dir)
}

func TestNewerVersionIsRefusedUntouched(t *testing.T) {
	t.Parallel()
	for _, names := range [][]string{{FileName, CopyName}, {CopyName, FileName}} {
		dir := t.TempDir()
		openStore(t, dir).Close()
		for _, name := range names {
			if name == names[1] && names[0] == CopyName {
				removeAll(filepath.Join(dir, name))
				continue
			}
			path := filepath.Join(dir, name)
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			write(t, path, bytes.Replace(data, []byte("version 2"), []byte("version 3"), 1))
		}
		before := contentsOf(t, dir)
		_, err := Open(Options{Dir: dir})
		var e *model.Error
		if !errors.As(err, &e) || e.Code != model.Unavailable || !strings.Contains(e.Message, "newer hostnat (layout 3") {
			t.Errorf("%s: got %v", names, err)
		}
		if diff := cmp.Diff(before, contentsOf(t, dir)); diff != "" {
			t.Errorf("%s: something was touched:\n%s", names, diff)
		}
	}
}

// One bit makes a 3 of a 2: a file that says it is newer, beside one that is
// whole, is damaged.
func TestOneFileOfANewerVersionIsDamage(t *testing.T) {
	t.Parallel()
	for _, name := range []string{FileName, CopyName} {
		dir := t.TempDir()
		s := openStore(t, dir)
		want := filled(t, 2)
		save(t, s, want)
		s.Close()
		path := filepath.Join(dir, name)
		write(t, path, []byte(strings.Replace(contentsOf(t, dir)[name], "version 2", "version 3", 1)))
		s = openStore(t, dir)
		if diff := cmp.Diff(want, load(t, s), compareNetip); diff != "" || len(s.Problems()) != 1 {
			t.Errorf("%s: problems %q (-want +got):\n%s", name, s.Problems(), diff)
		}
		s.Close()
	}
}

// contentsOf returns what is in dir, by name.
func contentsOf(t testing.TB, dir string) map[string]string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for _, e := range entries {
		if !e.Type().IsRegular() {
			out[e.Name()] = e.Type().String()
			continue
		}
		text, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		out[e.Name()] = string(text)
	}
	return out
}

func TestUnusableDirectory(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(Options{Dir: file}); err == nil {
		t.Error("a file was taken for the state directory")
	}
	for _, name := range []string{"dir", "loop"} {
		dir := t.TempDir()
		path := filepath.Join(dir, FileName)
		if name == "dir" {
			if err := os.Mkdir(path, 0o700); err != nil {
				t.Fatal(err)
			}
		} else if err := os.Symlink(FileName, path); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(Options{Dir: dir}); model.CodeOf(err) != model.Unavailable {
			t.Errorf("%s was taken for the state file: %v", name, err)
		}
	}
}

func BenchmarkSaveOneMappingMore(b *testing.B) {
	s := openStore(b, b.TempDir())
	c := filled(b, 1)
	list := c.Mappings[0]
	for i := range 10_000 {
		m := list
		m.ID = uint32(i + 2)
		c.Mappings = append(c.Mappings, m)
	}
	save(b, s, c)
	_, at, _ := s.Load()
	for b.Loop() {
		more := list
		more.ID = c.Mappings[len(c.Mappings)-1].ID + 1
		c.Mappings = append(slices.Clip(c.Mappings), more)
		var err error
		if at, err = s.Save(c, at); err != nil {
			b.Fatal(err)
		}
	}
}
