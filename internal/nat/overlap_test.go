package nat

import (
	"encoding/json"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestClashes(t *testing.T) {
	t.Parallel()
	at := func(prefix, source string) HostPrefix { return HostPrefix{netip.MustParsePrefix(prefix), source} }
	tests := []struct {
		name string
		host []HostPrefix
		want []string
	}{
		{"as it was", hostFacts().Prefixes, nil},
		{"the same LAN", []HostPrefix{at("172.16.1.0/24", "address of wlan0")}, []string{
			"network web (172.16.1.0/24) overlaps 172.16.1.0/24 of the host (address of wlan0)"}}, // and blue, apart, does no harm
		{"a larger VPN", []HostPrefix{at("10.0.0.0/13", "route via tun0")}, []string{
			"network lab (10.1.0.0/24) overlaps 10.0.0.0/13 of the host (route via tun0)"}},
		{"one address inside", []HostPrefix{at("10.1.0.77/32", "route via tun0")}, []string{
			"network lab (10.1.0.0/24) overlaps 10.1.0.77/32 of the host (route via tun0)"}},
		{"a default route", []HostPrefix{at("0.0.0.0/0", "route via tun0"), at("0.0.0.0/1", "route via tun0")}, nil},
		{"an adopted bridge's own", []HostPrefix{at("10.9.0.0/16", "address of br0")}, nil},
		{"the same by another link", []HostPrefix{at("10.9.0.0/16", "address of xbr0")}, []string{
			"network own (10.9.0.0/16) overlaps 10.9.0.0/16 of the host (address of xbr0)"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c := testConfig(t)
			c.Networks = append(c.Networks, Network{Name: "own", Compartment: DefaultCompartment, Bridge: "br0", Adopted: true, Subnet: netip.MustParsePrefix("10.9.0.0/16")})
			var got []string
			for _, clash := range c.Clashes(HostFacts{Prefixes: tt.host}) {
				got = append(got, clash.String())
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestOverlapText(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]Overlap{`{"overlap":"keep"}`: Keep, `{"overlap":"renumber"}`: Renumber, `{}`: Keep} {
		var n Network
		if err := json.Unmarshal([]byte(text), &n); err != nil || n.Overlap != want {
			t.Errorf("%s: %v, %v", text, n.Overlap, err)
		}
		out, err := json.Marshal(n)
		var back Network
		if err == nil {
			err = json.Unmarshal(out, &back)
		}
		if err != nil || back.Overlap != want {
			t.Errorf("%s became %s, %v", text, out, err)
		}
	}
	var o Overlap
	refused(t, o.UnmarshalText([]byte("move")), Invalid, "move", "renumber")
}

func TestSetNetwork(t *testing.T) {
	t.Parallel()
	c := testConfig(t)
	n, err := c.SetNetwork("web", map[string]string{"overlap": "renumber"})
	if err != nil || n.Overlap != Renumber {
		t.Fatalf("%+v, %v", n, err)
	}
	before := c.Clone()
	for _, tt := range []struct {
		network  string
		values   map[string]string
		code     Code
		mentions string
	}{
		{"nope", map[string]string{"overlap": "keep"}, NotFound, "nope"},
		{"web", nil, Invalid, "overlap"},
		{"web", map[string]string{"overlap": "x"}, Invalid, "overlap: "},
		{"web", map[string]string{"overlap": "keep", "nope": "1"}, Invalid, "nope"},
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
	lan := []HostPrefix{{netip.MustParsePrefix("172.16.1.0/24"), "address of wlan0"}}
	address := func(a, link string) []HostAddress {
		return []HostAddress{{Address: netip.MustParseAddr(a), Interface: link}}
	}
	router := func(a string) []HostRouter {
		return []HostRouter{{Address: netip.MustParseAddr(a), Source: "router of the default route via wlan0"}}
	}
	tests := []struct {
		name    string
		facts   HostFacts
		adopted bool
		want    []string
	}{
		{"the same LAN", HostFacts{Prefixes: lan, Addresses: address("172.16.1.77", "wlan0"), Routers: router("172.16.1.254")}, false, nil},
		{"the LAN's router", HostFacts{Prefixes: lan, Addresses: address("172.16.1.77", "wlan0"), Routers: router("172.16.1.1")}, false, []string{
			"network blue (172.16.1.0/24) has the gateway 172.16.1.1, which the host's own network has too (router of the default route via wlan0)"}},
		{"the host's own address", HostFacts{Addresses: address("172.16.1.1", "wlan0")}, false, []string{
			"network blue (172.16.1.0/24) has the gateway 172.16.1.1, which the host's own network has too (address of wlan0)"}},
		{"an adopted bridge's own", HostFacts{Addresses: address("172.16.1.1", "hn-blue")}, true, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			n := Network{Name: "blue", Compartment: "blue", Bridge: "hn-blue", Adopted: tt.adopted, Subnet: netip.MustParsePrefix("172.16.1.0/24"), Gateway: netip.MustParseAddr("172.16.1.1")}
			c := Config{Networks: []Network{n}}
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
			err := n.checkGateway(tt.facts)
			if (err != nil) != (len(tt.want) > 0) {
				t.Fatalf("refused: %v", err)
			}
			if err != nil {
				refused(t, err, Conflict, "172.16.1.1", "blue", "--gateway")
			}
		})
	}
}

// TestSubnetOfTheHost: who may have the host's own prefix.
func TestSubnetOfTheHost(t *testing.T) {
	t.Parallel()
	facts := hostFacts()
	facts.Prefixes = append(facts.Prefixes, HostPrefix{netip.MustParsePrefix("192.168.1.0/24"), "address of wlan0"})
	facts.Routers = []HostRouter{{netip.MustParseAddr("192.168.1.1"), "router of the default route via wlan0"}}
	for _, tt := range []struct {
		compartment, gateway string
		mentions             []string // of the refusal
	}{
		{"", "", []string{"192.168.1.0/24", "wlan0", "--compartment"}},
		{"red", "", []string{"192.168.1.1", "router of the default route", "--gateway"}},
		{"red", "192.168.1.200", nil},
		{EachCompartment, "", []string{"192.168.1.1", "router of the default route", "--gateway"}},
		{EachCompartment, "192.168.1.200", nil},
	} {
		c := testConfig(t)
		before := c.Clone()
		n, err := c.AddNetwork(NetworkSpec{Name: "new", Subnet: "192.168.1.0/24", Compartment: tt.compartment, Gateway: tt.gateway}, facts, nil)
		if tt.mentions != nil {
			refused(t, err, Conflict, tt.mentions...)
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
		refused(t, err, Conflict, "192.168.1.200", "another subnet")
		unchanged(t, before, c)
		facts.Routers[0].Address = netip.MustParseAddr("192.168.1.1")
		// An address there may be the host's own, and so a NAT's, but not the gateway.
		if _, err := c.AddAddress(DefaultNAT, "192.168.1.77"); err != nil {
			t.Error(err)
		}
		_, err = c.AddAddress(DefaultNAT, c.Networks[len(c.Networks)-1].Gateway.String())
		refused(t, err, Conflict, "new")
	}
}
