package config

import (
	"fmt"
	"net/netip"
	"slices"
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
	want := fmt.Sprintf("%#v", web)
	for name, change := range changes {
		one, other := web.Clone(), web.Clone()
		if err := change(&one); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if slices.EqualFunc(web.Mappings, one.Mappings, func(a, b model.Mapping) bool { return a.Equal(&b) }) {
			t.Errorf("%s changes no mapping", name)
		}
		for what, c := range map[string]Config{"the original": web, "another copy": other} {
			if diff := cmp.Diff(want, fmt.Sprintf("%#v", c)); diff != "" {
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
