package store

import (
	"net/netip"
	"os"
	"path/filepath"
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

func leasesIn(t *testing.T, dir string) ([]model.Lease, []string) {
	t.Helper()
	s, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	list, err := s.Leases()
	if err != nil {
		t.Fatal(err)
	}
	return list, s.Problems()
}

var byText = cmp.Comparer(func(a, b netip.Addr) bool { return a == b })

func TestLeases(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	a, b, other := lease("web", "172.16.1.2"), lease("web", "172.16.1.3"), lease("lab", "172.16.1.2")
	if err := s.SaveLeases([]model.Lease{a, b, other}, nil); err != nil {
		t.Fatal(err)
	}
	renewed := a
	renewed.MAC, renewed.Expires = "02:00:00:00:00:02", a.Expires.Add(time.Hour)
	if err := s.SaveLeases([]model.Lease{renewed}, []model.Lease{b}); err != nil {
		t.Fatal(err)
	}
	// What a killed daemon leaves: the file as it is now, without Close.
	copied := t.TempDir()
	for _, name := range []string{FileName, LeasesFileName} {
		text, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(copied, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for _, d := range []string{dir, copied} {
		got, problems := leasesIn(t, d)
		if diff := cmp.Diff([]model.Lease{other, renewed}, got, byText); diff != "" || len(problems) > 0 {
			t.Errorf("%v (-want +got):\n%s", problems, diff)
		}
	}
}

// Damaged leases cost the leases, never the configuration.
func TestDamagedLeases(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	c, _ := s.Load()
	c.NextID = 4711
	if err := s.Save(c); err != nil {
		t.Fatal(err)
	}
	if err := s.SaveLeases([]model.Lease{lease("web", "172.16.1.2")}, nil); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, LeasesFileName)
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for i := range text[:len(text)/2] {
		text[i] ^= 0x5a
	}
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	got, problems := leasesIn(t, dir)
	if len(got) != 0 || len(problems) != 1 {
		t.Errorf("leases %v, problems %q", got, problems)
	}
	got, problems = leasesIn(t, dir)
	if len(got) != 0 || len(problems) != 0 {
		t.Errorf("at the next start: leases %v, problems %q", got, problems)
	}
	s, err = Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if back, err := s.Load(); err != nil || back.NextID != 4711 {
		t.Errorf("the configuration: %+v, %v", back, err)
	}
}
