package nat

import (
	"net/netip"
	"reflect"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func TestChangedInside(t *testing.T) {
	t.Parallel()
	start := func() Config {
		c := NewConfig()
		c.Networks = []Network{{Name: "a", ID: 3}, {Name: "b", ID: 4}}
		c.Endpoints = []Endpoint{{Name: "c1", ID: 5, Network: "a"}, {Name: "c2", ID: 6, Network: "b"}}
		return c
	}
	tests := []struct {
		name string
		edit func(*Config)
		want InsideChange
		more bool // than it is for
	}{
		{name: "nothing", edit: func(*Config) {}},
		{name: "what is not the kernel's", edit: func(c *Config) { c.NextID, c.Remembered = 9, []Remembered{{}} }},
		{
			name: "endpoint came", edit: func(c *Config) { c.Endpoints = append(c.Endpoints, Endpoint{Name: "c3", ID: 7}) },
			want: InsideChange{Endpoints: []Endpoint{{Name: "c3", ID: 7}}},
		},
		{
			name: "endpoint went", edit: func(c *Config) { c.Endpoints = c.Endpoints[1:] },
			want: InsideChange{GoneEndpoints: []Endpoint{{Name: "c1", ID: 5, Network: "a"}}},
		},
		{
			name: "one for another, in front", edit: func(c *Config) {
				c.Networks = append([]Network{{Name: "x", ID: 8}}, c.Networks[:1]...)
			},
			want: InsideChange{Networks: []Network{{Name: "x", ID: 8}}, GoneNetworks: []Network{{Name: "b", ID: 4}}},
		},
		{name: "endpoint changed", edit: func(c *Config) { c.Endpoints[1].MAC = "02:00:00:00:00:01" }, more: true},
		{name: "network changed", edit: func(c *Config) { c.Networks[1].MTU = 1400 }, more: true},
		{name: "NAT changed", edit: func(c *Config) { c.NATs[0].MSSClamp = true }, more: true},
		{name: "proxy came", edit: func(c *Config) { c.Proxies = []Proxy{{ID: 1}} }, more: true},
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

// A field that is added to a network or an endpoint must be added to Equal.
func TestEqualSeesEveryField(t *testing.T) {
	t.Parallel()
	for field := range reflect.TypeFor[Network]().NumField() {
		var a, b Network
		fill(t, reflect.ValueOf(&b).Elem().Field(field))
		if a.Equal(&b) || b.Equal(&a) || !b.Equal(&b) {
			t.Errorf("Network.%s", reflect.TypeFor[Network]().Field(field).Name)
		}
	}
	for field := range reflect.TypeFor[Endpoint]().NumField() {
		var a, b Endpoint
		fill(t, reflect.ValueOf(&b).Elem().Field(field))
		if a.Equal(&b) || b.Equal(&a) || !b.Equal(&b) {
			t.Errorf("Endpoint.%s", reflect.TypeFor[Endpoint]().Field(field).Name)
		}
	}
}

// fill gives a field a value that it does not have by itself.
func fill(t *testing.T, v reflect.Value) {
	t.Helper()
	switch {
	case v.Type() == reflect.TypeFor[netip.Addr]():
		v.Set(reflect.ValueOf(netip.MustParseAddr("10.0.0.1")))
	case v.Type() == reflect.TypeFor[netip.Prefix]():
		v.Set(reflect.ValueOf(netip.MustParsePrefix("10.0.0.0/8")))
	case v.Kind() == reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
	case v.Kind() == reflect.String:
		v.SetString("x")
	case v.CanInt():
		v.SetInt(1)
	case v.CanUint():
		v.SetUint(1)
	case v.Kind() == reflect.Bool:
		v.SetBool(true)
	default:
		t.Fatalf("a field of type %s", v.Type())
	}
}
