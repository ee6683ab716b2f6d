package config

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/hostnat/hostnat/internal/model"
)

// What can never work is refused.
func TestUselessSettingsAreRefused(t *testing.T) {
	t.Parallel()
	for _, settings := range []string{
		"ntp=0.0.0.0", "ntp=255.255.255.255", "ntp=127.0.0.1", "ntp=224.0.1.1", "ntp=172.16.1.0", "ntp=172.16.1.255", "ntp=192.0.2.1,0.0.0.0",
		"pxe-next-server=0.0.0.0", "pxe-next-server=127.0.0.1", "pxe-next-server=172.16.1.255",
		"range=172.16.1.20-172.16.1.10", "range=172.16.2.1-172.16.2.9", "range=172.16.1.0-172.16.1.9", "exclude=172.16.1.9-172.16.1.255",
		"routes=127.0.0.0/8=172.16.1.9", "routes=224.0.0.0/4=172.16.1.9", "routes=10.9.0.0/16=172.16.1.9,10.9.0.0/16=172.16.1.8",
		"routes=10.9.0.0/16=172.16.1.0", "domain=local", "domain=10.0.0.1", "mtu=575", "lease-time=0", "port-security=maybe",
	} {
		c := testConfig(t)
		key, value, _ := strings.Cut(settings, "=")
		if _, err := c.SetNetwork("web", map[string]string{key: value}); model.CodeOf(err) != model.Invalid {
			t.Errorf("%s: %v", settings, err)
		}
	}
}

// No packet comes from there.
func TestRemotesThatNobodyIs(t *testing.T) {
	t.Parallel()
	for from, want := range map[string]model.Code{
		"0.0.0.0": model.Invalid, "255.255.255.255": model.Invalid, "224.0.0.0/4": model.Invalid, "0.0.0.0/8": model.Invalid,
		"0.0.0.0/0": "", "127.0.0.0/8": "", "127.0.0.1": "", "10.0.0.0/8": "",
	} {
		c := testConfig(t)
		_, err := c.AddMapping(MappingSpec{Protocol: "tcp", External: "9999", Internal: "c1:80", From: []string{from}}, nil)
		if (err == nil) != (want == "") || err != nil && model.CodeOf(err) != want {
			t.Errorf("from %s: %v", from, err)
		}
	}
}

// The gateway's address is the host's own: it can be no machine's that the host needs.
func TestGatewayIsNobodyTheHostNeeds(t *testing.T) {
	t.Parallel()
	facts := model.HostFacts{
		Routers:   []model.HostMachine{{Address: netip.MustParseAddr("172.16.8.1"), Source: "router of the default route via eth0"}},
		Resolvers: []netip.Addr{netip.MustParseAddr("172.16.9.53")},
	}
	for _, spec := range []NetworkSpec{
		{Name: "n", Subnet: "172.16.8.0/24"},
		{Name: "n", Subnet: "172.16.9.0/24", Gateway: "172.16.9.53"},
		{Name: "n", Subnet: "172.16.9.0/24", Gateway: "172.16.9.53", Compartment: "lab"},
	} {
		c := NewConfig()
		if _, err := c.AddNetwork(spec, facts, nil); model.CodeOf(err) != model.Conflict || !strings.Contains(err.Error(), "(router of ") && !strings.Contains(err.Error(), "(the host's resolver)") {
			t.Errorf("%+v: %v", spec, err)
		}
	}
}
