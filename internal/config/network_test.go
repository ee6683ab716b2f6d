package config

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/hostnat/hostnat/internal/model"
)

func TestNetworkDomain(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("a.", 94) + "b"
	tests := []struct {
		text, want string
		bad        string // in the refusal
	}{
		{"", "web.internal", ""},
		{"Lab.Example.", "lab.example", ""},
		{"internal", "internal", ""},
		{"x_y.home.arpa", "x_y.home.arpa", ""},
		{long, long, ""},
		{"a." + long, "", "longer than 189 bytes"},
		{".", "web.internal", ""},
		{"a..b", "", `label ""`},
		{"-a.b", "", `label "-a"`},
		{"a b", "", `label "a b"`},
		{"ä.example", "", "label"},
		{"192.0.2.1", "", "looks like an address"},
		{"x.local", "", "a meaning of its own"},
		{"localhost", "", "a meaning of its own"},
		{"10.in-addr.arpa", "", "a meaning of its own"},
	}
	for _, tt := range tests {
		c := testConfig(t)
		got, err := c.SetNetwork("web", map[string]string{"domain": tt.text, "dns": "off"})
		if tt.bad != "" {
			if model.CodeOf(err) != model.Invalid || !strings.Contains(err.Error(), tt.bad) {
				t.Errorf("%q: got %v, want %q", tt.text, err, tt.bad)
			}
			if n, _ := c.Network("web"); !n.DNS.On() {
				t.Errorf("%q: a refusal changes something", tt.text)
			}
			continue
		}
		if err != nil || got.DomainName() != tt.want || got.DNS.On() {
			t.Errorf("%q: got %+v, %v", tt.text, got, err)
		}
	}
	if d := (model.Network{Name: "Web"}).DomainName(); d != "web.internal" {
		t.Errorf("a network that was stored without a domain has %q", d)
	}
}

func TestAliases(t *testing.T) {
	t.Parallel()
	c := testConfig(t)
	attach := func(name string, aliases ...string) (model.Endpoint, error) {
		return c.AddEndpoint(EndpointSpec{Network: "web", Name: name, Netns: name, Aliases: aliases}, hostFacts(), lowest)
	}
	steps := []struct {
		name    string
		aliases []string
		want    string // aliases, or a part of the refusal
	}{
		{"a1", []string{"WWW", "db.eu", "www"}, "db.eu www"},
		{"a2", []string{"www"}, "www"},                         // of both
		{"a1", nil, "db.eu www"},                               // again
		{"a1", []string{"a2"}, `"a2" is the name of endpoint`}, // refused as a whole
		{"a1", []string{"api"}, "api"},
		{"API", nil, `"API" is an alias of endpoint "a1"`},
		{"a3", []string{"a..b"}, "cannot be a name in DNS"},
		{"a3", []string{"-a"}, "starts with"},
		{"a3", []string{"a3"}, "a3"},
	}
	for _, step := range steps {
		got, err := attach(step.name, step.aliases...)
		switch text := strings.Join(got.Aliases, " "); {
		case err != nil && !strings.Contains(err.Error(), step.want), err == nil && text != step.want:
			t.Errorf("%s %v: got %q, %v; want %q", step.name, step.aliases, text, err, step.want)
		}
	}
	if e, _ := c.Endpoint("a1"); strings.Join(e.Aliases, " ") != "api" {
		t.Errorf("stored %v", e.Aliases)
	}
	copied := c.Clone()
	copied.Endpoints[len(copied.Endpoints)-1].Aliases[0] = "changed"
	if e, _ := c.Endpoint("a3"); e.Aliases[0] != "a3" {
		t.Error("a clone shares aliases")
	}
}

func TestNetworkWithoutNAT(t *testing.T) {
	t.Parallel()
	c := testConfig(t)
	n, err := c.AddNetwork(NetworkSpec{Name: "n", Subnet: "172.20.0.0/24", NAT: model.NoNAT, Isolation: "off"}, hostFacts(), nil)
	if err != nil || n.HasNAT() || n.Isolation != model.NotIsolated {
		t.Fatalf("%+v, %v", n, err)
	}
	_, err = c.AddMapping(MappingSpec{Protocol: "tcp", External: "8099", Internal: "172.20.0.2:80", Network: "n"}, nil)
	refused(t, err, model.Conflict, `"n"`, "no NAT")
	_, err = c.AddNAT(NATSpec{Name: model.NoNAT})
	refused(t, err, model.Invalid, model.NoNAT)
}

func TestSetIsolation(t *testing.T) {
	t.Parallel()
	c := testConfig(t)
	for value, want := range map[string]model.Isolation{"off": model.NotIsolated, "endpoint": model.IsolatedEndpoints, "on": model.IsolatedNetwork} {
		if n, err := c.SetNetwork("web", map[string]string{"isolation": value}); err != nil || n.Isolation != want {
			t.Errorf("%s: %q, %v", value, n.Isolation, err)
		}
	}
	_, err := c.SetNetwork("web", map[string]string{"isolation": "no"})
	refused(t, err, model.Invalid, "isolation", "no")
}

func TestSetPortSecurity(t *testing.T) {
	t.Parallel()
	c := testConfig(t)
	for value, want := range map[string]model.Switch{"off": model.Off, "on": model.On} {
		if n, err := c.SetNetwork("web", map[string]string{"port-security": value}); err != nil || n.PortSecurity != want {
			t.Errorf("%s: %q, %v", value, n.PortSecurity, err)
		}
	}
	_, err := c.SetNetwork("web", map[string]string{"port-security": "maybe"})
	refused(t, err, model.Invalid, "port-security", "maybe", "on or off")
}

func TestAddNetwork(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		spec NetworkSpec
		want model.Network
	}{
		{"defaults", NetworkSpec{Name: "n", Subnet: "172.20.0.0/24"}, model.Network{
			Name: "n", Type: model.TypeNAT, NAT: "default", Compartment: "default", Bridge: "hn-n",
			Subnets: []netip.Prefix{netip.MustParsePrefix("172.20.0.0/24")}, Gateways: []netip.Addr{netip.MustParseAddr("172.20.0.1")}}},
		{"all given", NetworkSpec{Name: "n", Subnet: "172.20.0.0/30", Gateway: "172.20.0.2", Bridge: "br9", Compartment: "blue", NAT: "office"}, model.Network{
			Name: "n", Type: model.TypeNAT, NAT: "office", Compartment: "blue", Bridge: "br9",
			Subnets: []netip.Prefix{netip.MustParsePrefix("172.20.0.0/30")}, Gateways: []netip.Addr{netip.MustParseAddr("172.20.0.2")}}},
		{"adopted bridge with its own prefix", NetworkSpec{Name: "n", Subnet: "172.17.0.0/16", Bridge: "docker0", Adopt: true}, model.Network{
			Name: "n", Type: model.TypeNAT, NAT: "default", Compartment: "default", Bridge: "docker0", Adopted: true,
			Subnets: []netip.Prefix{netip.MustParsePrefix("172.17.0.0/16")}, Gateways: []netip.Addr{netip.MustParseAddr("172.17.0.1")}}},
		{"overlap in another compartment", NetworkSpec{Name: "n", Subnet: "172.16.0.0/22", Compartment: "red"}, model.Network{
			Name: "n", Type: model.TypeNAT, NAT: "default", Compartment: "red", Bridge: "hn-n",
			Subnets: []netip.Prefix{netip.MustParsePrefix("172.16.0.0/22")}, Gateways: []netip.Addr{netip.MustParseAddr("172.16.0.1")}}},
		{"free subnet", NetworkSpec{Name: "n"}, model.Network{
			Name: "n", Type: model.TypeNAT, NAT: "default", Compartment: "default", Bridge: "hn-n",
			Subnets: []netip.Prefix{netip.MustParsePrefix("172.31.9.0/24")}, Gateways: []netip.Addr{netip.MustParseAddr("172.31.9.1")}}},
	}
	choose := func(model.HostFacts, []model.Network) (netip.Prefix, error) {
		return netip.MustParsePrefix("172.31.9.0/24"), nil
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c := testConfig(t)
			got, err := c.AddNetwork(tt.spec, hostFacts(), choose)
			if err != nil {
				t.Fatal(err)
			}
			tt.want.ID, tt.want.Domain = got.ID, "n.internal"
			if diff := cmp.Diff(tt.want, got, compareNetip); diff != "" || got.ID == 0 {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if stored, err := c.Network("n"); err != nil || !cmp.Equal(stored, got, compareNetip) {
				t.Errorf("stored %v, %v", stored, err)
			}
			if c.CompartmentID(got.Compartment) == 0 {
				t.Error("its compartment does not exist")
			}
		})
	}
}

func TestAddNetworkRefuses(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("n", model.MaxName+1)
	tests := []struct {
		name     string
		spec     NetworkSpec
		code     model.Code
		mentions []string
	}{
		{"host bits", NetworkSpec{Subnet: "172.20.0.5/24"}, model.Invalid, []string{"host bits", "172.20.0.0/24"}},
		{"/0", NetworkSpec{Subnet: "0.0.0.0/0"}, model.Invalid, []string{"0.0.0.0/0"}},
		{"/0 with host bits", NetworkSpec{Subnet: "10.0.0.0/0"}, model.Invalid, []string{"10.0.0.0/0"}},
		{"/31", NetworkSpec{Subnet: "172.20.0.0/31"}, model.Invalid, []string{"/31", "/30"}},
		{"/32", NetworkSpec{Subnet: "172.20.0.1/32"}, model.Invalid, []string{"/32", "/30"}},
		{"/33", NetworkSpec{Subnet: "172.20.0.0/33"}, model.Invalid, []string{"prefix length"}},
		{"no length", NetworkSpec{Subnet: "172.20.0.0"}, model.Invalid, []string{"prefix length"}},
		{"octal", NetworkSpec{Subnet: "172.016.1.0/24"}, model.Invalid, []string{"leading zero", "172.16.1.0"}},
		{"IPv6", NetworkSpec{Subnet: "fd00::/64"}, model.Invalid, []string{"IPv6"}},
		{"mapped IPv6", NetworkSpec{Subnet: "::ffff:172.20.0.0/120"}, model.Invalid, []string{"IPv6"}},
		{"rubbish", NetworkSpec{Subnet: "rubbish/24"}, model.Invalid, []string{"rubbish"}},
		{"bridge is for routes", NetworkSpec{Bridge: "hostnat0"}, model.Invalid, []string{"bridge hostnat0 is one of hostnat's own links"}},
		{"bridge may be an endpoint's", NetworkSpec{Bridge: "hv-c99"}, model.Invalid, []string{"hostnat's own"}},
		{"adopts a bridge that was ours", NetworkSpec{Bridge: "hn-old", Adopt: true}, model.Invalid, []string{"hostnat's own"}},
		{"adopts the loopback", NetworkSpec{Bridge: "lo", Adopt: true}, model.Invalid, []string{"loopback"}},
		{"multicast", NetworkSpec{Subnet: "224.1.0.0/16"}, model.Invalid, []string{"multicast"}},
		{"loopback", NetworkSpec{Subnet: "127.5.0.0/16"}, model.Invalid, []string{"loopback"}},
		{"overlaps a network", NetworkSpec{Subnet: "172.16.0.0/22"}, model.Conflict, []string{`"web"`, "172.16.1.0/24"}},
		{"overlaps a network of its compartment", NetworkSpec{Subnet: "172.16.1.128/25", Compartment: "blue"}, model.Conflict, []string{`"blue"`}},
		{"overlaps an address", NetworkSpec{Subnet: "192.168.0.0/16"}, model.Conflict, []string{"192.168.7.0/24", "address of eth0"}},
		{"overlaps a route", NetworkSpec{Subnet: "10.8.3.0/24"}, model.Conflict, []string{"10.8.0.0/16", "route via eth1"}},
		{"gateway outside", NetworkSpec{Subnet: "172.20.0.0/24", Gateway: "172.20.1.1"}, model.Invalid, []string{"172.20.1.1", "172.20.0.0/24"}},
		{"gateway is network", NetworkSpec{Subnet: "172.20.0.0/24", Gateway: "172.20.0.0"}, model.Invalid, []string{"network address"}},
		{"gateway is broadcast", NetworkSpec{Subnet: "172.20.0.0/24", Gateway: "172.20.0.255"}, model.Invalid, []string{"broadcast"}},
		{"gateway octal", NetworkSpec{Subnet: "172.20.0.0/24", Gateway: "172.20.0.01"}, model.Invalid, []string{"leading zero", "172.20.0.1"}},
		{"gateway without subnet", NetworkSpec{Gateway: "172.20.0.1"}, model.Invalid, []string{"--subnet"}},
		{"name exists", NetworkSpec{Name: "web", Subnet: "172.20.0.0/24"}, model.Conflict, []string{`"web"`, "exists"}},
		{"name with slash", NetworkSpec{Name: "a/b"}, model.Invalid, []string{"'/'"}},
		{"name with control character", NetworkSpec{Name: "a\nb"}, model.Invalid, []string{`'\n'`}},
		{"name with space", NetworkSpec{Name: "a b"}, model.Invalid, []string{"' '"}},
		{"name too long", NetworkSpec{Name: long}, model.Invalid, []string{"255"}},
		{"name starts with dash", NetworkSpec{Name: "-a"}, model.Invalid, []string{"'-'"}},
		{"name starts with dot", NetworkSpec{Name: ".a"}, model.Invalid, []string{"'.'"}},
		{"name is an address", NetworkSpec{Name: "10.0.0.1"}, model.Invalid, []string{"address"}},
		{"bad compartment", NetworkSpec{Compartment: "a/b"}, model.Invalid, []string{"compartment"}},
		{"unknown NAT", NetworkSpec{NAT: "nope", Subnet: "172.20.0.0/24"}, model.NotFound, []string{`NAT "nope"`}},
		{"adopt nothing", NetworkSpec{Adopt: true, Subnet: "172.20.0.0/24"}, model.Invalid, []string{"--bridge"}},
		{"adopt what is not there", NetworkSpec{Adopt: true, Bridge: "br7", Subnet: "172.20.0.0/24"}, model.NotFound, []string{"br7"}},
		{"adopt the way out", NetworkSpec{Adopt: true, Bridge: "eth0", Subnet: "172.20.0.0/24"}, model.Conflict, []string{"eth0"}},
		{"bridge exists", NetworkSpec{Bridge: "docker0", Subnet: "172.20.0.0/24"}, model.Conflict, []string{"docker0", "--adopt"}},
		{"bridge of another", NetworkSpec{Bridge: "hn-web", Subnet: "172.20.0.0/24"}, model.Conflict, []string{`network "web"`}},
		{"bridge is a port", NetworkSpec{Bridge: "tap0", Adopt: true, Subnet: "172.20.0.0/24"}, model.Conflict, []string{`endpoint "v1"`}},
		{"bridge name too long", NetworkSpec{Bridge: "abcdefghijklmnop", Subnet: "172.20.0.0/24"}, model.Invalid, []string{"15"}},
		{"none free", NetworkSpec{}, model.Exhausted, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c := testConfig(t)
			before := c.Clone()
			if tt.spec.Name == "" {
				tt.spec.Name = "n"
			}
			choose := func(model.HostFacts, []model.Network) (netip.Prefix, error) {
				return netip.Prefix{}, model.Errorf(model.Exhausted, "none").WithHint("x")
			}
			_, err := c.AddNetwork(tt.spec, hostFacts(), choose)
			refused(t, err, tt.code, tt.mentions...)
			unchanged(t, before, c)
		})
	}
}

func TestDeleteNetwork(t *testing.T) {
	t.Parallel()
	c := testConfig(t)
	before := c.Clone()
	refused(t, c.DeleteNetwork("nope", false), model.NotFound, `network "nope"`)
	refused(t, c.DeleteNetwork("web", false), model.Conflict, `endpoint "c1"`, "--force")
	unchanged(t, before, c)

	if err := c.DeleteNetwork("web", true); err != nil {
		t.Fatal(err)
	}
	if len(c.EndpointsOf("web")) != 0 || len(c.Mappings) != 0 {
		t.Errorf("left behind: %v %v", c.EndpointsOf("web"), c.Mappings)
	}
	if _, err := c.Endpoint("v1"); err != nil {
		t.Errorf("an endpoint of another network went: %v", err)
	}
	if err := c.DeleteNetwork("blue", false); err != nil {
		t.Fatal(err)
	}
	if c.CompartmentID("blue") != 0 || c.CompartmentID(model.DefaultCompartment) == 0 {
		t.Errorf("compartments: %v", c.Compartments)
	}
}

func TestIDsAreNeverUsedAgain(t *testing.T) {
	t.Parallel()
	c := NewConfig()
	seen := map[uint32]bool{0: true, c.NATs[0].ID: true, c.Compartments[0].ID: true}
	for range 5 {
		n, err := c.AddNetwork(NetworkSpec{Name: "n", Subnet: "172.20.0.0/24"}, hostFacts(), noSubnet)
		if err != nil || seen[n.ID] {
			t.Fatalf("id %d again, %v", n.ID, err)
		}
		seen[n.ID] = true
		if err := c.DeleteNetwork("n", false); err != nil {
			t.Fatal(err)
		}
	}
}
