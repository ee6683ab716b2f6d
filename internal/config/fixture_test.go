package config

import (
	"errors"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/hostnat/hostnat/internal/model"
)

var compareNetip = cmp.Options{
	cmp.Comparer(func(a, b netip.Addr) bool { return a == b }),
	cmp.Comparer(func(a, b netip.Prefix) bool { return a == b }),
	cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b }),
}

// hostFacts is a host at 192.168.7.5/24 with Docker's bridge.
func hostFacts() model.HostFacts {
	return model.HostFacts{
		Prefixes: []model.HostPrefix{
			{Prefix: netip.MustParsePrefix("192.168.7.0/24"), Source: "address of eth0"},
			{Prefix: netip.MustParsePrefix("172.17.0.0/16"), Source: "address of docker0"},
			{Prefix: netip.MustParsePrefix("10.8.0.0/16"), Source: "route via eth1"},
			{Prefix: netip.MustParsePrefix("0.0.0.0/0"), Source: "route via eth0"},
		},
		Addresses: []model.HostAddress{
			{Address: netip.MustParseAddr("192.168.7.5"), Interface: "eth0"},
			{Address: netip.MustParseAddr("172.17.0.1"), Interface: "docker0"},
		},
		DefaultInterface: "eth0", Interfaces: []string{"lo", "eth0", "eth1", "docker0", "tap0"}, MTU: 1500,
	}
}

func noSubnet(model.HostFacts, []model.Network) (netip.Prefix, error) {
	return netip.Prefix{}, model.Errorf(model.Exhausted, "not asked for")
}

// ports reads "0.0.0.0:80" or "172.16.1.2:80-89".
func ports(text string) model.AddrPorts {
	var a model.AddrPorts
	if err := a.UnmarshalText([]byte(text)); err != nil {
		panic(err)
	}
	return a
}

func noPort(model.Mapping) (uint16, error) {
	return 0, model.Errorf(model.Exhausted, "no port").WithHint("wait")
}

// lowest is package ipam's rule, as far as these tests need it.
func lowest(n model.Network, endpoints []model.Endpoint) (netip.Addr, error) {
	a := n.Gateway4()
	for range len(endpoints) + 1 {
		a = a.Next()
	}
	return a, nil
}

// testConfig has web (172.16.1.0/24: c1 .2, c2 .3), the NAT office with lab
// (10.1.0.0/24: v1), and blue, which is web's subnet again in a compartment of its own.
func testConfig(t *testing.T) Config {
	t.Helper()
	c := NewConfig()
	must(t)(c.AddNAT(NATSpec{Name: "office", ExternalInterfaces: []string{"eth1"}}))
	must(t)(c.AddNetwork(NetworkSpec{Name: "web", Subnet: "172.16.1.0/24"}, hostFacts(), noSubnet))
	must(t)(c.AddNetwork(NetworkSpec{Name: "lab", Subnet: "10.1.0.0/24", NAT: "office"}, hostFacts(), noSubnet))
	must(t)(c.AddNetwork(NetworkSpec{Name: "blue", Subnet: "172.16.1.0/24", Compartment: "blue"}, hostFacts(), noSubnet))
	must(t)(c.AddEndpoint(EndpointSpec{Network: "web", Name: "c1", Netns: "c1"}, hostFacts(), lowest))
	must(t)(c.AddEndpoint(EndpointSpec{Network: "web", Name: "c2", PID: "77"}, hostFacts(), lowest))
	must(t)(c.AddEndpoint(EndpointSpec{Network: "lab", Name: "v1", TAP: "tap0"}, hostFacts(), lowest))
	must(t)(c.AddMapping(MappingSpec{Protocol: "tcp", External: "8080", Internal: "c1:80"}, noPort))
	return c
}

func must(t *testing.T) func(any, error) {
	return func(_ any, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
}

// refused checks that err is one clear line that mentions what it should.
func refused(t *testing.T, err error, code model.Code, mentions ...string) {
	t.Helper()
	var e *model.Error
	if !errors.As(err, &e) {
		t.Fatalf("got %v, want an *Error", err)
	}
	if e.Code != code {
		t.Errorf("code %s, want %s: %v", e.Code, code, err)
	}
	if e.Hint == "" || strings.ContainsAny(err.Error(), "\n\r") || len(err.Error()) > 800 {
		t.Errorf("not one clear line with a hint: %q", err)
	}
	for _, m := range mentions {
		if !strings.Contains(err.Error(), m) {
			t.Errorf("%q does not mention %q", err, m)
		}
	}
}

// unchanged checks that a refused change left the configuration alone.
func unchanged(t *testing.T, before, after Config) {
	t.Helper()
	if diff := cmp.Diff(before, after, compareNetip); diff != "" {
		t.Errorf("a refused change changed something (-before +after):\n%s", diff)
	}
}
