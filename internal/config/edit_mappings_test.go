package config

import (
	"encoding/json"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hostnat/hostnat/internal/model"
)

// What is done to a copy never shows in what it was copied from, though both
// share their mappings.
func TestCopiesShareNothingThatChanges(t *testing.T) {
	t.Parallel()
	web := fixtureConfig(t)
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"c1", "c2"} {
		_, err := web.AddEndpoint(EndpointSpec{Network: "web", Name: name, Netns: name}, model.HostFacts{}, lowest)
		check(err)
	}
	for i, internal := range []string{"c1:80", "c2:80,c1:81", "172.16.1.77:80"} {
		_, err := web.AddMapping(MappingSpec{Protocol: "tcp", External: []string{"80", "81", "82"}[i], Internal: internal, From: []string{"192.0.2.0/24"}}, nil)
		check(err)
	}
	lease := model.Lease{Network: "web", Address: netip.MustParseAddr("172.16.1.200"), MAC: "02:00:00:00:00:09", Hostname: "vm", State: model.LeaseBound, Expires: leaseStart.Add(time.Hour)}
	web.SetLeases([]model.Lease{lease}, leaseStart)
	_, err := web.AddMapping(MappingSpec{Protocol: "tcp", External: "83", Internal: "vm:80"}, nil)
	check(err)
	moved := lease
	moved.Address = netip.MustParseAddr("172.16.1.201")
	changes := map[string]func(c *Config) error{
		"add": func(c *Config) error {
			_, err := c.AddMapping(MappingSpec{Protocol: "tcp", External: "84", Internal: "c1:84"}, nil)
			return err
		},
		"delete the first": func(c *Config) error { return c.DeleteMapping(1) },
		"delete the last":  func(c *Config) error { return c.DeleteMapping(4) },
		"detach":           func(c *Config) error { return c.DetachEndpoint("c1") },
		"attach again": func(c *Config) error {
			if err := c.DetachEndpoint("c1"); err != nil {
				return err
			}
			_, err := c.AddEndpoint(EndpointSpec{Network: "web", Name: "c1", Netns: "c1", Address: "172.16.1.99"}, model.HostFacts{}, lowest)
			return err
		},
		"delete the network": func(c *Config) error { return c.DeleteNetwork("web", true) },
		"renumber": func(c *Config) error {
			_, err := c.RenumberNetwork("web", "10.7.0.0/16", model.HostFacts{}, nil, nil)
			return err
		},
		"learn that one has moved": func(c *Config) error { c.SetLeases([]model.Lease{moved}, leaseStart); return nil },
		"learn that all have gone": func(c *Config) error { c.SetLeases(nil, leaseStart); return nil },
	}
	want, err := json.Marshal(web)
	check(err)
	for name, change := range changes {
		one, other := web.Clone(), web.Clone()
		if err := change(&one); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if changed, gone := ChangedMappings(web.Mappings, one.Mappings); len(changed)+len(gone) == 0 {
			t.Errorf("%s changes no mapping", name)
		}
		for what, c := range map[string]Config{"the original": web, "another copy": other} {
			got, err := json.Marshal(c)
			check(err)
			if diff := cmp.Diff(string(want), string(got)); diff != "" {
				t.Errorf("%s changed %s:\n%s", name, what, diff)
			}
		}
		if one.Effective(); len(web.Effective().Mappings) != 4 {
			t.Errorf("%s: Effective changed", name)
		}
	}
}

// fixtureConfig has a network and nothing in it.
func fixtureConfig(t *testing.T) Config {
	t.Helper()
	c := NewConfig()
	if _, err := c.AddNetwork(NetworkSpec{Name: "web", Subnet: "172.16.1.0/24"}, model.HostFacts{}, nil); err != nil {
		t.Fatal(err)
	}
	return c
}

func TestChangedMappings(t *testing.T) {
	t.Parallel()
	list := func(ids ...uint32) (list []model.Mapping) {
		for _, id := range ids {
			list = append(list, model.Mapping{ID: id % 100, Targets: []model.Target{{Network: string(rune('a' + id/100))}}})
		}
		return list
	}
	for _, tt := range []struct {
		before, after []model.Mapping
		changed, gone []uint32
	}{
		{nil, nil, nil, nil},
		{list(1, 2, 3), list(1, 2, 3), nil, nil},
		{nil, list(1, 2), []uint32{1, 2}, nil},
		{list(1, 2), nil, nil, []uint32{1, 2}},
		{list(1, 2, 3, 5), list(2, 103, 4), []uint32{3, 4}, []uint32{1, 5}},
		{list(7), list(1), []uint32{1}, []uint32{7}},
	} {
		changed, gone := ChangedMappings(tt.before, tt.after)
		ids := func(list []model.Mapping) (ids []uint32) {
			for _, m := range list {
				ids = append(ids, m.ID)
			}
			return ids
		}
		if diff := cmp.Diff([][]uint32{tt.changed, tt.gone}, [][]uint32{ids(changed), ids(gone)}); diff != "" {
			t.Errorf("%v to %v: %s", tt.before, tt.after, diff)
		}
	}
}

func TestEqualBesideMappings(t *testing.T) {
	t.Parallel()
	a := fixtureConfig(t)
	b := a.Clone()
	if _, err := b.AddMapping(MappingSpec{Protocol: "tcp", External: "80", Internal: "172.16.1.9:80"}, nil); err != nil {
		t.Fatal(err)
	}
	if !a.EqualBesideMappings(b) {
		t.Error("a mapping is seen")
	}
	if _, err := b.SetNAT(model.DefaultNAT, map[string]string{"udp-timeout": "7s"}); err != nil {
		t.Fatal(err)
	}
	if a.EqualBesideMappings(b) {
		t.Error("a setting is not seen")
	}
}
