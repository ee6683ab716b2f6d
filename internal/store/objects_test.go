package store

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"maps"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.etcd.io/bbolt"

	"github.com/hostnat/hostnat/internal/config"
	"github.com/hostnat/hostnat/internal/model"
)

// writeLayout1 is how a configuration was kept before: as one text.
func writeLayout1(t *testing.T, path string, c config.Config) {
	t.Helper()
	db, err := bbolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	text, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(text)
	err = db.Update(func(tx *bbolt.Tx) error {
		b, err := tx.CreateBucket(bucketName1)
		if err != nil {
			return err
		}
		return errors.Join(b.Put(configKey1, text), b.Put(sumKey1, sum[:]))
	})
	if err != nil {
		t.Fatal(err)
	}
}

// A file of the layout before is read, and is of this one after the first change.
func TestLayout1IsReadAndConverted(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	want := filled(t, 40)
	writeLayout1(t, filepath.Join(dir, FileName), want)
	for range 2 { // looking changes nothing
		s := openStore(t, dir)
		if diff := cmp.Diff(want, load(t, s), compareNetip); diff != "" {
			t.Errorf("read (-want +got):\n%s", diff)
		}
		if len(s.Problems()) > 0 {
			t.Errorf("problems: %q", s.Problems())
		}
		s.Close()
	}
	s := openStore(t, dir)
	for range 3 {
		if err := want.DeleteMapping(want.Mappings[3].ID); err != nil {
			t.Fatal(err)
		}
		if err := s.Save(want); err != nil {
			t.Fatal(err)
		}
	}
	s.Close()
	s = openStore(t, dir)
	if diff := cmp.Diff(want, load(t, s), compareNetip); diff != "" {
		t.Errorf("converted (-want +got):\n%s", diff)
	}
	if err := s.db.View(func(tx *bbolt.Tx) error {
		if tx.Bucket(bucketName1) != nil {
			t.Error("the old layout is still there")
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
}

func TestOnlyWhatDiffersIsWritten(t *testing.T) {
	t.Parallel()
	before := filled(t, 20)
	tests := map[string]struct {
		change func(c *config.Config) error
		want   []string // kinds and number of what is written
	}{
		"nothing": {func(*config.Config) error { return nil }, nil},
		"a mapping more": {func(c *config.Config) error {
			_, err := c.AddMapping(config.MappingSpec{Protocol: "udp", External: "7", Internal: "c1:7"}, nil)
			return err
		}, []string{"d", restKey}}, // and the next id
		"a mapping less": {func(c *config.Config) error { return c.DeleteMapping(7) }, []string{"d"}},
		"a setting": {func(c *config.Config) error {
			_, err := c.SetNAT(model.DefaultNAT, map[string]string{"udp-timeout": "7s"})
			return err
		}, []string{"a"}},
		"an endpoint less": {func(c *config.Config) error { return c.DetachEndpoint("c3") }, []string{"c", "d", restKey}},
	}
	for name, tt := range tests {
		after := before.Clone()
		if err := tt.change(&after); err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, key := range slices.Sorted(maps.Keys(changedObjects(before, after))) {
			if key != restKey {
				key = key[:1]
			}
			got = append(got, key)
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// However a configuration came about, what is read is what was saved last.
func TestChangesAddUp(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := openStore(t, dir)
	for _, n := range []int{5, 0, 300, 299, 1, 120} {
		if err := s.Save(filled(t, n)); err != nil {
			t.Fatal(err)
		}
	}
	want := filled(t, 120)
	for i := 0; i < 60; i++ {
		if err := want.DeleteMapping(want.Mappings[i].ID); err != nil {
			t.Fatal(err)
		}
		if err := s.Save(want); err != nil {
			t.Fatal(err)
		}
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

func BenchmarkSaveOneMappingMore(b *testing.B) {
	s, err := Open(b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	c := filled(b, 1)
	list := c.Mappings[0]
	for i := range 10_000 {
		m := list
		m.ID = uint32(i + 2)
		c.Mappings = append(c.Mappings, m)
	}
	if err := s.Save(c); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		more := list
		more.ID = c.Mappings[len(c.Mappings)-1].ID + 1
		c.Mappings = append(slices.Clip(c.Mappings), more)
		if err := s.Save(c); err != nil {
			b.Fatal(err)
		}
	}
}
