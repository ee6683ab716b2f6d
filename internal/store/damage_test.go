package store

import (
	"bytes"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.etcd.io/bbolt"

	"github.com/hostnat/hostnat/internal/config"
)

// goodFile returns the bytes of a state file with n endpoints.
func goodFile(t testing.TB, n int) (data []byte, c config.Config) {
	t.Helper()
	dir := t.TempDir()
	s, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	c = filled(t, n)
	if err := s.Save(c); err != nil {
		t.Fatal(err)
	}
	s.Close()
	data, err = os.ReadFile(filepath.Join(dir, FileName))
	if err != nil {
		t.Fatal(err)
	}
	return data, c
}

// openBytes starts on a file with the given content. It fails the test unless
// the result is what it was, or a report of the damage with the file kept.
func openBytes(t testing.TB, data []byte, want config.Config) (damaged bool) {
	t.Helper()
	dir := t.TempDir()
	path := filepath.Join(dir, FileName)
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := Open(dir)
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	defer s.Close()
	got, err := s.Load()
	if err != nil {
		t.Fatalf("load: %v", err)
	}
	if err := s.Save(want); err != nil {
		t.Fatalf("save: %v", err)
	}
	aside, _ := filepath.Glob(path + asideMark + "*")
	switch {
	case len(aside) == 0 && len(s.Problems()) == 0:
		if diff := cmp.Diff(want, got, compareNetip); diff != "" {
			t.Fatalf("changed in silence (-want +got):\n%s", diff)
		}
		return false
	case len(aside) == 0: // one header lost: the state before the last change
		if len(s.Problems()) != 1 || !strings.Contains(s.Problems()[0], "header") {
			t.Fatalf("problems: %q", s.Problems())
		}
		return true
	}
	if kept, _ := os.ReadFile(aside[0]); !bytes.Equal(kept, data) {
		t.Fatal("the damaged file was changed")
	}
	if len(s.Problems()) != 1 || !strings.Contains(s.Problems()[0], aside[0]) || strings.Contains(s.Problems()[0], "\n") {
		t.Fatalf("problems: %q", s.Problems())
	}
	if diff := cmp.Diff(config.NewConfig(), got, compareNetip); diff != "" {
		t.Fatalf("started with (-want +got):\n%s", diff)
	}
	return true
}

func TestTruncated(t *testing.T) {
	t.Parallel()
	for _, n := range []int{2, 300} {
		data, c := goodFile(t, n)
		for _, size := range []int{0, 1, 15, 16, 79, 80, 1000, 4095, 4096, 4097, 8191, 8192, 8193, 12288, 16384, 20480, len(data) - 4096, len(data) - 1} {
			if damaged := openBytes(t, data[:min(size, len(data))], c); !damaged && size < 8192 {
				t.Errorf("%d of %d bytes are taken for whole", size, len(data))
			}
		}
	}
}

func TestFlippedBytes(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	found := 0
	for _, n := range []int{2, 300} {
		data, c := goodFile(t, n)
		for i := range 150 {
			bad := bytes.Clone(data)
			for range 1 + i%4 {
				// Half of the flips go where the structure is: page headers and first elements.
				at := random.IntN(len(bad))
				if i%2 == 0 {
					at = at&^4095 + random.IntN(100)
				}
				bad[at%len(bad)] ^= byte(1 + random.IntN(255))
			}
			if openBytes(t, bad, c) {
				found++
			}
		}
	}
	if found == 0 {
		t.Error("no damage was ever found")
	}
}

func TestRubbish(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(3, 4))
	for _, size := range []int{1, 100, 4096, 32768} {
		data := make([]byte, size)
		for i := range data {
			data[i] = byte(random.Uint32())
		}
		if !openBytes(t, data, config.NewConfig()) {
			t.Errorf("%d random bytes are taken for a state file", size)
		}
		if !openBytes(t, make([]byte, size), config.NewConfig()) {
			t.Errorf("%d zero bytes are taken for a state file", size)
		}
	}
}

// A bbolt file that is sound but has no configuration is damage too: an empty
// start would be silent.
func TestSoundButEmpty(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "empty.db")
	db, err := bbolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	db.Close()
	data, _ := os.ReadFile(path)
	if !openBytes(t, data, config.NewConfig()) {
		t.Error("a file without a configuration is taken for whole")
	}
}

func TestDamageIsReportedUntilDealtWith(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, FileName)
	for range 2 { // twice in one second: two names
		if err := os.WriteFile(path, []byte("rubbish"), 0o600); err != nil {
			t.Fatal(err)
		}
		openStore(t, dir).Close()
	}
	s := openStore(t, dir)
	aside, _ := filepath.Glob(path + asideMark + "*")
	if len(aside) != 2 || len(s.Problems()) != 2 || !strings.Contains(s.Problems()[0], aside[0]) {
		t.Fatalf("files %q, problems %q", aside, s.Problems())
	}
	s.Close()
	for _, f := range aside {
		os.Remove(f)
	}
	if s := openStore(t, dir); len(s.Problems()) != 0 {
		t.Errorf("problems: %q", s.Problems())
	}
}

// FuzzOpen damages a sound file at a place, and cuts it.
func FuzzOpen(f *testing.F) {
	data, c := goodFile(f, 3)
	f.Add(uint32(8192+10), uint64(0xffff), uint32(len(data)))
	f.Add(uint32(12288+16), uint64(1), uint32(12288))
	f.Fuzz(func(t *testing.T, at uint32, bits uint64, size uint32) {
		bad := bytes.Clone(data)
		for i := range 8 {
			bad[(int(at)+i)%len(bad)] ^= byte(bits >> (8 * i))
		}
		openBytes(t, bad[:min(int(size), len(bad))], c)
	})
}

// FuzzCheckPages feeds the walk anything at all.
func FuzzCheckPages(f *testing.F) {
	data, _ := goodFile(f, 3)
	f.Add(data)
	f.Fuzz(func(t *testing.T, data []byte) { checkPages(data) })
}
