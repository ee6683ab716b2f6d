package config

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/hostnat/hostnat/internal/model"
)

func TestChangedInside(t *testing.T) {
	t.Parallel()
	start := func() Config {
		c := NewConfig()
		c.Networks = []model.Network{{Name: "a", ID: 3}, {Name: "b", ID: 4}}
		c.Endpoints = []model.Endpoint{{Name: "c1", ID: 5, Network: "a"}, {Name: "c2", ID: 6, Network: "b"}}
		return c
	}
	tests := []struct {
		name string
		edit func(*Config)
		want InsideChange
		more bool // than it is for
	}{
		{name: "nothing", edit: func(*Config) {}},
		{name: "what is not the kernel's", edit: func(c *Config) { c.NextID, c.Remembered = 9, []model.Remembered{{}} }},
		{
			name: "endpoint came", edit: func(c *Config) { c.Endpoints = append(c.Endpoints, model.Endpoint{Name: "c3", ID: 7}) },
			want: InsideChange{Endpoints: []model.Endpoint{{Name: "c3", ID: 7}}},
		},
		{
			name: "endpoint went", edit: func(c *Config) { c.Endpoints = c.Endpoints[1:] },
			want: InsideChange{GoneEndpoints: []model.Endpoint{{Name: "c1", ID: 5, Network: "a"}}},
		},
		{
			name: "one for another, in front", edit: func(c *Config) {
				c.Networks = append([]model.Network{{Name: "x", ID: 8}}, c.Networks[:1]...)
			},
			want: InsideChange{Networks: []model.Network{{Name: "x", ID: 8}}, GoneNetworks: []model.Network{{Name: "b", ID: 4}}},
		},
		{name: "endpoint changed", edit: func(c *Config) { c.Endpoints[1].MAC = "02:00:00:00:00:01" }, more: true},
		{name: "network changed", edit: func(c *Config) { c.Networks[1].MTU = 1400 }, more: true},
		{name: "NAT changed", edit: func(c *Config) { c.NATs[0].MSSClamp = true }, more: true},
		{name: "proxy came", edit: func(c *Config) { c.Proxies = []model.Proxy{{ID: 1}} }, more: true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			after := start()
			test.edit(&after)
			got, only := ChangedInside(start(), after)
			if only == test.more {
				t.Errorf("only networks and endpoints that came or went: %v", only)
			}
			if diff := cmp.Diff(test.want, got, cmpopts.EquateComparable(netip.Addr{}, netip.Prefix{})); diff != "" {
				t.Errorf("change (-want +got):\n%s", diff)
			}
		})
	}
}
