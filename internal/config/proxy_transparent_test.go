package config

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/hostnat/hostnat/internal/model"
)

// sightConfig has web (172.16.1.0/24: c1 .2), lab (10.1.0.0/24: v1 .2), and twice
// the same subnet with the same address.
func sightConfig() Config {
	a, p := netip.MustParseAddr, netip.MustParsePrefix
	return Config{
		Networks: []model.Network{
			{Name: "web", Subnets: []netip.Prefix{p("172.16.1.0/24")}, Bridge: "hn-web"},
			{Name: "lab", Subnets: []netip.Prefix{p("10.1.0.0/24")}, Bridge: "hn-lab"},
			{Name: "blue", Compartment: "blue", Subnets: []netip.Prefix{p("10.9.0.0/24")}, Bridge: "hn-blue"},
			{Name: "red", Compartment: "red", Subnets: []netip.Prefix{p("10.9.0.0/24")}, Bridge: "hn-red"},
		},
		Endpoints: []model.Endpoint{
			{Name: "c1", Network: "web", Addresses: []netip.Addr{a("172.16.1.2")}},
			{Name: "v1", Network: "lab", Addresses: []netip.Addr{a("10.1.0.2")}},
			{Name: "b1", Network: "blue", Addresses: []netip.Addr{a("10.9.0.2")}},
		},
	}
}

func TestClientSight(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, client, dialled, server string
		want                          bool
	}{
		{"outside to an endpoint", "203.0.113.2", "203.0.113.1", "172.16.1.2", true},
		{"the same over a second network", "198.51.100.2", "198.51.100.1", "10.1.0.2", true},
		{"to a machine outside", "203.0.113.2", "203.0.113.1", "203.0.113.9", false},
		{"to an address of a network that is no endpoint's", "203.0.113.2", "203.0.113.1", "172.16.1.9", false},
		{"to an address that is in two networks", "203.0.113.2", "203.0.113.1", "10.9.0.2", false},
		{"the host by its own address", "203.0.113.1", "203.0.113.1", "172.16.1.2", false},
		{"the host over loopback", "127.0.0.1", "127.0.0.1", "172.16.1.2", false},
		{"the endpoint itself", "172.16.1.2", "203.0.113.1", "172.16.1.2", false},
		{"an endpoint of another network", "10.1.0.2", "203.0.113.1", "172.16.1.2", false},
		{"IPv6", "2001:db8::2", "2001:db8::1", "172.16.1.2", false},
	}
	sight := NewClientSight(sightConfig())
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			a := netip.MustParseAddr
			if got := sight.Shows(a(test.client), a(test.dialled), a(test.server)); got != test.want {
				t.Errorf("%v, want %v", got, test.want)
			}
		})
	}
}

func TestTransparentNetworks(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name        string
		transparent bool
		targets     []string
		want        []string
	}{
		{"not transparent", false, []string{"c1:80"}, nil},
		{"an endpoint", true, []string{"c1:80"}, []string{"web"}},
		{"an endpoint's address", true, []string{"10.1.0.2:80"}, []string{"lab"}},
		{"both", true, []string{"v1:443", "c1:80"}, []string{"web", "lab"}},
		{"a machine outside", true, []string{"203.0.113.9:80"}, nil},
		{"a name", true, []string{"c1:80", "www.example:80"}, []string{"web", "lab", "blue", "red"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			c := sightConfig()
			p := model.Proxy{Kind: model.ByName, Transparent: test.transparent}
			for _, text := range test.targets {
				p.Routes = append(p.Routes, model.ProxyRoute{Pattern: "x", Connect: hostPortsOf(t, text)})
			}
			c.Proxies = []model.Proxy{p}
			var got []string
			for _, n := range c.TransparentNetworks() {
				got = append(got, n.Name)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("networks (-want +got):\n%s", diff)
			}
		})
	}
}
