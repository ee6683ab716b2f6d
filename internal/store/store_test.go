package store

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.etcd.io/bbolt"

	"github.com/hostnat/hostnat/internal/config"
	"github.com/hostnat/hostnat/internal/model"
)

var compareNetip = cmp.Options{
	cmp.Comparer(func(a, b netip.Addr) bool { return a == b }),
	cmp.Comparer(func(a, b netip.Prefix) bool { return a == b }),
	cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b }),
}

func openStore(t *testing.T, dir string) *Store {
	t.Helper()
	s, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func load(t *testing.T, s *Store) config.Config {
	t.Helper()
	c, err := s.Load()
	if err != nil {
		t.Fatal(err)
	}
	return c
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
		a := network.Gateway.Next()
		if len(e) > 0 {
			a = e[len(e)-1].Address.Next()
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

func TestSaveAndLoad(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "state", "deep")
	s := openStore(t, dir)
	if diff := cmp.Diff(config.NewConfig(), load(t, s), compareNetip); diff != "" {
		t.Errorf("fresh (-want +got):\n%s", diff)
	}
	for _, n := range []int{1, 200, 3} { // inline bucket, overflow pages, small again
		want := filled(t, n)
		if err := s.Save(want); err != nil {
			t.Fatal(err)
		}
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

func TestSecondDaemonIsRefused(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := openStore(t, dir)
	_, err := Open(dir)
	var e *model.Error
	if !errors.As(err, &e) || e.Code != model.Conflict || !strings.Contains(e.Message, fmt.Sprintf("another hostnat daemon (pid %d) uses %s", os.Getpid(), dir)) {
		t.Errorf("got %v", err)
	}
	s.Close()
	openStore(t, dir)
}

func TestNewerVersionIsRefusedUntouched(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, FileName)
	openStore(t, dir).Close()
	db, err := bbolt.Open(path, 0o600, nil) // with a synced free list, unlike ours
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		if err := tx.DeleteBucket(bucketName); err != nil {
			return err
		}
		b, err := tx.CreateBucket([]byte("v3"))
		if err != nil {
			return err
		}
		for i := range 500 { // enough for branch pages
			if err := b.Put(fmt.Append(nil, i), make([]byte, 100)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	db.Close()
	before, _ := os.ReadFile(path)
	_, err = Open(dir)
	var e *model.Error
	if !errors.As(err, &e) || e.Code != model.Unavailable || !strings.Contains(e.Message, "newer hostnat (layout 3") {
		t.Errorf("got %v", err)
	}
	if after, _ := os.ReadFile(path); !bytes.Equal(before, after) {
		t.Error("the file was touched")
	}
	if found, _ := filepath.Glob(path + "*"); len(found) != 1 {
		t.Errorf("files: %q", found)
	}
}

func TestUnwritableDirectory(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(file); err == nil {
		t.Error("a file was taken for the state directory")
	}
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, FileName), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(dir); err == nil {
		t.Error("a directory was taken for the state file")
	}
}
