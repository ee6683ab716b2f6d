package store

import (
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/hostnat/hostnat/internal/model"
)

func lease(network, a string) model.Lease {
	at := time.Date(2026, 11, 21, 12, 0, 0, 123, time.UTC)
	return model.Lease{Network: network, Address: netip.MustParseAddr(a), MAC: "02:00:00:00:00:01", ClientID: "ff01",
		Hostname: "vm1", State: model.LeaseBound, Since: at, Expires: at.Add(time.Hour)}
}

func TestLeases(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := openStore(t, dir)
	a, b, other := lease("web", "172.16.1.2"), lease("web", "172.16.1.3"), lease("lab", "172.16.1.2")
	if err := s.SaveLeases([]model.Lease{a, b, other}, nil); err != nil {
		t.Fatal(err)
	}
	renewed := a
	renewed.MAC, renewed.Expires = "02:00:00:00:00:02", a.Expires.Add(time.Hour)
	if err := s.SaveLeases([]model.Lease{renewed}, []model.Lease{b}); err != nil {
		t.Fatal(err)
	}
	killed := copyFiles(t, dir) // as a killed daemon leaves it, without Close
	s.Close()
	for _, d := range []string{dir, killed} {
		s := openStore(t, d)
		got, err := s.Leases()
		if diff := cmp.Diff([]model.Lease{other, renewed}, got, compareNetip); diff != "" || err != nil || len(s.Problems()) > 0 {
			t.Errorf("%v, %q (-want +got):\n%s", err, s.Problems(), diff)
		}
	}
}

// Hundreds of renewals a second do not make the file long.
func TestLeasesFileStaysShort(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := openStore(t, dir)
	for i := range 20_000 {
		l := lease("web", "172.16.1.2")
		l.Expires = l.Expires.Add(time.Duration(i) * time.Second)
		if err := s.SaveLeases([]model.Lease{l}, nil); err != nil {
			t.Fatal(err)
		}
	}
	if size := len(contentsOf(t, dir)[LeasesFileName]); size > 2*slack {
		t.Errorf("%d bytes", size)
	}
	if got, _ := s.Leases(); len(got) != 1 {
		t.Errorf("%d leases", len(got))
	}
}

// A client keeps its address whatever happens to the disk, and status says so.
func TestLeasesWithoutTheirFile(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "state")
	s := openStore(t, dir)
	if err := removeAll(dir); err != nil {
		t.Fatal(err)
	}
	if err := s.SaveLeases([]model.Lease{lease("web", "172.16.1.2")}, nil); err != nil {
		t.Fatal(err)
	}
	if list, err := s.Leases(); err != nil || len(list) != 1 {
		t.Errorf("leases %v, %v", list, err)
	}
	if problems := strings.Join(s.Problems(), "\n"); !strings.Contains(problems, "leases are not stored") {
		t.Errorf("problems: %s", problems)
	}
	save(t, s, filled(t, 1)) // makes the directory again
	if err := s.SaveLeases([]model.Lease{lease("web", "172.16.1.3")}, nil); err != nil {
		t.Fatal(err)
	}
	s.Close()
	if list, err := openStore(t, dir).Leases(); err != nil || len(list) != 2 {
		t.Errorf("at the next start: leases %v, %v", list, err)
	}
}
