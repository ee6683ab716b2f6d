package config

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/hostnat/hostnat/internal/model"
)

func TestClashes(t *testing.T) {
	t.Parallel()
	at := func(prefix, source string) model.HostPrefix {
		return model.HostPrefix{Prefix: netip.MustParsePrefix(prefix), Source: source}
	}
	tests := []struct {
		name string
		host []model.HostPrefix
		want []string
	}{
		{"as it was", hostFacts().Prefixes, nil},
		{"the same LAN", []model.HostPrefix{at("172.16.1.0/24", "address of wlan0")}, []string{
			"network web (172.16.1.0/24) overlaps 172.16.1.0/24 of the host (address of wlan0)"}}, // and blue, apart, does no harm
		{"a larger VPN", []model.HostPrefix{at("10.0.0.0/13", "route via tun0")}, []string{
			"network lab (10.1.0.0/24) overlaps 10.0.0.0/13 of the host (route via tun0)"}},
		{"one address inside", []model.HostPrefix{at("10.1.0.77/32", "route via tun0")}, []string{
			"network lab (10.1.0.0/24) overlaps 10.1.0.77/32 of the host (route via tun0)"}},
		{"a default route", []model.HostPrefix{at("0.0.0.0/0", "route via tun0"), at("0.0.0.0/1", "route via tun0")}, nil},
		{"an adopted bridge's own", []model.HostPrefix{at("10.9.0.0/16", "address of br0")}, nil},
		{"the same by another link", []model.HostPrefix{at("10.9.0.0/16", "address of xbr0")}, []string{
			"network own (10.9.0.0/16) overlaps 10.9.0.0/16 of the host (address of xbr0)"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c := testConfig(t)
			c.Networks = append(c.Networks, model.Network{Name: "own", Compartment: model.DefaultCompartment, Bridge: "br0", Adopted: true, Subnets: []netip.Prefix{netip.MustParsePrefix("10.9.0.0/16")}})
			var got []string
			for _, clash := range c.Clashes(model.HostFacts{Prefixes: tt.host}) {
				got = append(got, clash.String())
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestSetNetwork(t *testing.T) {
	t.Parallel()
	c := testConfig(t)
	n, err := c.SetNetwork("web", map[string]string{"overlap": "renumber"})
	if err != nil || n.Overlap != model.Renumber {
		t.Fatalf("%+v, %v", n, err)
	}
	before := c.Clone()
	for _, tt := range []struct {
		network  string
		values   map[string]string
		code     model.Code
		mentions string
	}{
		{"nope", map[string]string{"overlap": "keep"}, model.NotFound, "nope"},
		{"web", nil, model.Invalid, "overlap"},
		{"web", map[string]string{"overlap": "x"}, model.Invalid, "overlap: "},
		{"web", map[string]string{"overlap": "keep", "nope": "1"}, model.Invalid, "nope"},
	} {
		_, err := c.SetNetwork(tt.network, tt.values)
		refused(t, err, tt.code, tt.mentions)
		unchanged(t, before, c)
	}
}

// TestClashesOfGateways: the host may have the subnet of a network that its
// routing tables leave out, but not the gateway.
func TestClashesOfGateways(t *testing.T) {
	t.Parallel()
	lan := []model.HostPrefix{{Prefix: netip.MustParsePrefix("172.16.1.0/24"), Source: "address of wlan0"}}
	address := func(a, link string) []model.HostAddress {
		return []model.HostAddress{{Address: netip.MustParseAddr(a), Interface: link}}
	}
	router := func(a string) []model.HostMachine {
		return []model.HostMachine{{Address: netip.MustParseAddr(a), Source: "router of the default route via wlan0"}}
	}
	tests := []struct {
		name    string
		facts   model.HostFacts
		adopted bool
		want    []string
	}{
		{"the same LAN", model.HostFacts{Prefixes: lan, Addresses: address("172.16.1.77", "wlan0"), Routers: router("172.16.1.254")}, false, nil},
		{"the LAN's router", model.HostFacts{Prefixes: lan, Addresses: address("172.16.1.77", "wlan0"), Routers: router("172.16.1.1")}, false, []string{
			"network blue (172.16.1.0/24) has the gateway 172.16.1.1, which the host's own network has too (router of the default route via wlan0)"}},
		{"the host's own address", model.HostFacts{Addresses: address("172.16.1.1", "wlan0")}, false, []string{
			"network blue (172.16.1.0/24) has the gateway 172.16.1.1, which the host's own network has too (address of wlan0)"}},
		{"an adopted bridge's own", model.HostFacts{Addresses: address("172.16.1.1", "hn-blue")}, true, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			n := model.Network{Name: "blue", Compartment: "blue", Bridge: "hn-blue", Adopted: tt.adopted, Subnets: []netip.Prefix{netip.MustParsePrefix("172.16.1.0/24")}, Gateways: []netip.Addr{netip.MustParseAddr("172.16.1.1")}}
			c := Config{Networks: []model.Network{n}}
			var got []string
			for _, clash := range c.Clashes(tt.facts) {
				got = append(got, clash.String())
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if shadows := n.Shadows(tt.facts); len(shadows) != len(tt.facts.Prefixes) {
				t.Errorf("shadows %v of %v", shadows, tt.facts.Prefixes)
			}
			err := checkGateway(n, tt.facts)
			if (err != nil) != (len(tt.want) > 0) {
				t.Fatalf("refused: %v", err)
			}
			if err != nil {
				refused(t, err, model.Conflict, "172.16.1.1", "blue", "--gateway")
			}
		})
	}
}

// TestSubnetOfTheHost: who may have the host's own prefix.
func TestSubnetOfTheHost(t *testing.T) {
	t.Parallel()
	facts := hostFacts()
	facts.Prefixes = append(facts.Prefixes, model.HostPrefix{Prefix: netip.MustParsePrefix("192.168.1.0/24"), Source: "address of wlan0"})
	facts.Routers = []model.HostMachine{{Address: netip.MustParseAddr("192.168.1.1"), Source: "router of the default route via wlan0"}}
	for _, tt := range []struct {
		compartment, gateway string
		mentions             []string // of the refusal
	}{
		{"", "", []string{"192.168.1.0/24", "wlan0", "--compartment"}},
		{"red", "", []string{"192.168.1.1", "router of the default route", "--gateway"}},
		{"red", "192.168.1.200", nil},
		{model.EachCompartment, "", []string{"192.168.1.1", "router of the default route", "--gateway"}},
		{model.EachCompartment, "192.168.1.200", nil},
	} {
		c := testConfig(t)
		before := c.Clone()
		n, err := c.AddNetwork(NetworkSpec{Name: "new", Subnet: "192.168.1.0/24", Compartment: tt.compartment, Gateway: tt.gateway}, facts, nil)
		if tt.mentions != nil {
			refused(t, err, model.Conflict, tt.mentions...)
			unchanged(t, before, c)
			continue
		}
		if err != nil {
			t.Errorf("compartment %q, gateway %q: %v", tt.compartment, tt.gateway, err)
			continue
		}
		if got := n.GatewayPrefix().String(); got != "192.168.1.200/32" {
			t.Errorf("the host has %s", got)
		}
		// It may not move to where its gateway would be the router.
		if _, err := c.RenumberNetwork("new", "172.31.1.0/24", facts, nil, nil); err != nil {
			t.Error(err)
		}
		facts.Routers[0].Address = netip.MustParseAddr("192.168.1.200")
		before = c.Clone()
		_, err = c.RenumberNetwork("new", "192.168.1.0/24", facts, nil, nil)
		refused(t, err, model.Conflict, "192.168.1.200", "another subnet")
		unchanged(t, before, c)
		facts.Routers[0].Address = netip.MustParseAddr("192.168.1.1")
		// An address there may be the host's own, and so a NAT's, but not the gateway.
		if _, err := c.AddAddress(model.DefaultNAT, "192.168.1.77"); err != nil {
			t.Error(err)
		}
		_, err = c.AddAddress(model.DefaultNAT, c.Networks[len(c.Networks)-1].Gateway4().String())
		refused(t, err, model.Conflict, "new")
	}
}
