package ipam

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/hostnat/hostnat/internal/config"
	"github.com/hostnat/hostnat/internal/model"
)

func TestFreeAddress(t *testing.T) {
	t.Parallel()
	network := func(subnet, gateway string) model.Network {
		return model.Network{Name: "web", Subnets: []netip.Prefix{netip.MustParsePrefix(subnet)}, Gateways: []netip.Addr{netip.MustParseAddr(gateway)}}
	}
	tests := []struct {
		name    string
		network model.Network
		used    []string
		want    string // empty: none is free
	}{
		{"first", network("172.16.1.0/24", "172.16.1.1"), nil, "172.16.1.2"},
		{"gateway last", network("172.16.1.0/24", "172.16.1.254"), nil, "172.16.1.1"},
		{"gap", network("172.16.1.0/24", "172.16.1.1"), []string{"172.16.1.4", "172.16.1.2"}, "172.16.1.3"},
		{"last one", network("172.16.1.0/29", "172.16.1.3"), []string{"172.16.1.1", "172.16.1.2", "172.16.1.4", "172.16.1.5"}, "172.16.1.6"},
		{"full", network("172.16.1.0/30", "172.16.1.1"), []string{"172.16.1.2"}, ""},
		{"over an octet", network("172.16.0.252/22", "172.16.0.1"), nil, "172.16.0.2"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			tt.network.Subnets = []netip.Prefix{tt.network.Subnet4().Masked()}
			// The same address in another network is not in the way.
			endpoints := []model.Endpoint{{Network: "other", Addresses: []netip.Addr{netip.MustParseAddr("172.16.1.2")}}}
			for _, u := range tt.used {
				endpoints = append(endpoints, model.Endpoint{Network: "web", Addresses: []netip.Addr{netip.MustParseAddr(u)}})
			}
			got, err := FreeAddress(tt.network, endpoints)
			if tt.want == "" {
				if model.CodeOf(err) != model.Exhausted {
					t.Errorf("got %v, %v, want exhausted", got, err)
				}
				return
			}
			if err != nil || got != netip.MustParseAddr(tt.want) {
				t.Errorf("got %v, %v, want %s", got, err, tt.want)
			}
		})
	}
}

func TestFreeSubnet(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name     string
		host     []string
		networks []string
		want     string
	}{
		{"first", nil, nil, "172.16.0.0/24"},
		{"default route is in nobody's way", []string{"0.0.0.0/0"}, nil, "172.16.0.0/24"},
		{"behind a network", nil, []string{"172.16.0.0/24"}, "172.16.1.0/24"},
		{"behind part of a /24", nil, []string{"172.16.0.128/25"}, "172.16.1.0/24"},
		{"behind the host's", []string{"172.16.0.0/15"}, []string{"172.18.0.0/24"}, "172.18.1.0/24"},
		{"next pool", []string{"172.16.0.0/12"}, nil, "10.0.0.0/24"},
		{"last pool", []string{"172.16.0.0/12", "10.0.0.0/8", "192.168.0.0/17"}, nil, "192.168.128.0/24"},
		{"covering all", []string{"128.0.0.0/2", "192.0.0.0/2", "10.0.0.0/8"}, nil, ""},
		{"none", []string{"172.16.0.0/12", "10.0.0.0/8", "192.168.0.0/16"}, nil, ""},
	}
	adopted := model.HostFacts{Adopted: []model.HostPrefix{
		{Prefix: netip.MustParsePrefix("172.16.0.9/24"), Source: "address of br0"}, {Prefix: netip.MustParsePrefix("172.16.1.0/24"), Source: "route via br0"},
	}}
	if p, err := FreeSubnetIn(model.DefaultPools())(adopted, nil); err != nil || p.String() != "172.16.2.0/24" {
		t.Errorf("beside an adopted bridge's addresses and routes: %v, %v", p, err)
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var facts model.HostFacts
			for _, p := range tt.host {
				facts.Prefixes = append(facts.Prefixes, model.HostPrefix{Prefix: netip.MustParsePrefix(p)})
			}
			var networks []model.Network
			for i, p := range tt.networks {
				networks = append(networks, model.Network{Compartment: fmt.Sprint(i), Subnets: []netip.Prefix{netip.MustParsePrefix(p)}})
			}
			got, err := FreeSubnetIn(model.DefaultPools())(facts, networks)
			if tt.want == "" {
				if model.CodeOf(err) != model.Exhausted {
					t.Errorf("got %v, %v, want exhausted", got, err)
				}
				return
			}
			if err != nil || got.String() != tt.want {
				t.Errorf("got %v, %v, want %s", got, err, tt.want)
			}
		})
	}
}

// Each subnet that is handed out is accepted by nat's rules, down to the last.
func TestFreeSubnetsDoNotOverlap(t *testing.T) {
	t.Parallel()
	c := config.NewConfig()
	facts := model.HostFacts{Prefixes: []model.HostPrefix{{Prefix: netip.MustParsePrefix("172.16.4.0/23"), Source: "address of eth0"}}}
	for i := range 300 {
		chosen, err := c.AddNetwork(config.NetworkSpec{Name: fmt.Sprintf("n%d", i)}, facts, FreeSubnetIn(model.DefaultPools()))
		if err != nil {
			t.Fatal(err)
		}
		other := config.NewConfig()
		if _, err := other.AddNetwork(config.NetworkSpec{Name: "x", Subnet: chosen.Subnet4().String()}, facts, FreeSubnetIn(model.DefaultPools())); err != nil {
			t.Fatal(err)
		}
	}
}
