package config

import (
	"math/rand/v2"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/hostnat/hostnat/internal/model"
)

// oneToOneConfig is testConfig with 192.168.7.9 mapped to c1 as a whole.
func oneToOneConfig(t *testing.T) Config {
	t.Helper()
	c := testConfig(t)
	must(t)(c.AddMapping(MappingSpec{Protocol: "any", External: "192.168.7.9", Internal: "c1", From: []string{"10.0.0.0/8"}}, noPort))
	return c
}

func TestAddOneToOneMapping(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		spec  MappingSpec
		want  model.Mapping
		texts []string // ExternalText, TargetText, InternalText, String
	}{
		{"endpoint", MappingSpec{Protocol: "ANY", External: "192.168.7.9", Internal: "c1"},
			model.Mapping{NAT: "default", External: model.AddrPorts{Address: netip.MustParseAddr("192.168.7.9")}, From: []netip.Prefix{},
				Targets: []model.Target{{Endpoint: "c1", Network: "web", Internal: model.AddrPorts{Address: netip.MustParseAddr("172.16.1.2")}}}},
			[]string{"192.168.7.9", "c1", "172.16.1.2", "2 (any 192.168.7.9 to c1)"}},
		{"address, remotes", MappingSpec{Protocol: "any", External: "192.168.7.9", Internal: "10.1.0.9", From: []string{"10.0.0.0/8"}},
			model.Mapping{NAT: "office", External: model.AddrPorts{Address: netip.MustParseAddr("192.168.7.9")}, From: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")},
				Targets: []model.Target{{Network: "lab", Internal: model.AddrPorts{Address: netip.MustParseAddr("10.1.0.9")}}}},
			[]string{"192.168.7.9", "10.1.0.9", "10.1.0.9", "2 (any 192.168.7.9 to 10.1.0.9)"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c := testConfig(t)
			got, err := c.AddMapping(tt.spec, noPort)
			if err != nil {
				t.Fatal(err)
			}
			tt.want.ID, tt.want.Protocol = 2, model.AnyProtocol
			if diff := cmp.Diff(tt.want, got, compareNetip); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tt.texts, []string{got.ExternalText(), got.TargetText(), got.InternalText(), got.String()}); diff != "" {
				t.Errorf("texts (-want +got):\n%s", diff)
			}
			if again, err := c.AddMapping(tt.spec, noPort); err != nil || again.ID != got.ID {
				t.Errorf("again: %v, %v", again, err)
			}
		})
	}
}

func TestOneToOneMappingRefusals(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name                                         string
		protocol, external, internal, network, proxy string
		code                                         model.Code
		mentions                                     string
	}{
		{"no address", "any", "", "c2", "", "", model.Invalid, "a mapping of every protocol has no external address; write --external A"},
		{"port", "any", "192.168.7.8:80", "c2", "", "", model.Invalid, `external "192.168.7.8:80" has the port "80", and a mapping of every protocol has all; write --external 192.168.7.8, or --protocol tcp or udp`},
		{"port alone", "any", "80", "c2", "", "", model.Invalid, "80"},
		{"any address", "any", "*", "c2", "", "", model.Invalid, "external address * cannot be mapped as a whole"},
		{"any address as a number", "any", "0.0.0.0", "c2", "", "", model.Invalid, "cannot be mapped as a whole"},
		{"loopback", "any", "127.0.0.1", "c2", "", "", model.Invalid, "external address 127.0.0.1 cannot be mapped as a whole"},
		{"multicast", "any", "224.0.0.1", "c2", "", "", model.Invalid, "multicast"},
		{"IPv6", "any", "2001:db8::1", "c2", "", "", model.Invalid, "IPv6"},
		{"inside", "any", "172.16.1.7", "c2", "", "", model.Conflict, `network "web"`},
		{"target with port", "any", "192.168.7.8", "c2:80", "", "", model.Invalid, `internal "c2:80" has the port "80", and a mapping of every protocol has all; write --internal c2`},
		{"several targets", "any", "192.168.7.8", "c2,v1", "", "", model.Invalid, "a whole address leads to one"},
		{"no target", "any", "192.168.7.8", "", "", "", model.Invalid, "the mapping has no target; give --internal ENDPOINT or A"},
		{"unknown endpoint", "any", "192.168.7.8", "nope", "", "", model.NotFound, `endpoint "nope"`},
		{"gateway", "any", "192.168.7.8", "10.1.0.1", "", "", model.Invalid, "gateway"},
		{"target IPv6", "any", "192.168.7.8", "fd00::1", "", "", model.Invalid, "IPv6"},
		{"two networks", "any", "192.168.7.8", "172.16.1.9", "", "", model.Conflict, "--network"},
		{"address of another NAT", "any", "192.168.7.77", "c2", "", "", model.Conflict, `external address 192.168.7.77 is NAT "office"'s, and c2 is behind NAT "default"`},
		{"mapped to another", "any", "192.168.7.9", "c2", "", "", model.Conflict, "192.168.7.9 is mapped as a whole already: mapping 2 (any 192.168.7.9 to c1); delete it first, or choose another external address"},
		{"other remotes", "any", "192.168.7.9", "c1", "", "", model.Conflict, "allows other remotes"},
		{"a port of it", "tcp", "192.168.7.9:80", "c2:80", "", "", model.Conflict, "192.168.7.9 is mapped as a whole already: mapping 2"},
		{"ports of it", "udp", "192.168.7.9:80-90", "c1:80-90", "", "", model.Conflict, "192.168.7.9 is mapped as a whole already"},
		{"over a port", "any", "192.168.7.10", "c2", "", "", model.Conflict, "192.168.7.10 cannot be mapped as a whole: it has mapping 3 (udp 192.168.7.10:53 to c2:53); delete it first"},
		{"second address of an endpoint", "any", "192.168.7.8", "c1", "", "", model.Conflict, "c1 has external address 192.168.7.9 already: mapping 2 (any 192.168.7.9 to c1); delete it first, or map ports of 192.168.7.8"},
		{"the same by its address", "any", "192.168.7.8", "172.16.1.2", "web", "", model.Conflict, "172.16.1.2 has external address 192.168.7.9 already"},
		{"port proxy there", "any", "192.168.7.8", "c2", "", "192.168.7.8:8443", model.Conflict, "port proxy 1 (v4tov4 tcp 192.168.7.8:8443 to 10.9.9.9:443) listens on tcp 192.168.7.8:8443; delete it first, or choose another external address"},
		{"port proxy everywhere", "any", "192.168.7.8", "c2", "", "8443", model.Conflict, "listens on tcp"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c := oneToOneConfig(t)
			must(t)(c.AddMapping(MappingSpec{Protocol: "udp", External: "192.168.7.10:53", Internal: "c2:53"}, noPort))
			must(t)(c.AddAddress("office", "192.168.7.77"))
			if tt.proxy != "" {
				c.Proxies = []model.Proxy{{ID: 1, Kind: model.V4ToV4, Protocol: model.TCP, Listen: proxyPorts(t, tt.proxy), Connect: proxyPorts(t, "10.9.9.9:443")}}
			}
			before := c.Clone()
			_, err := c.AddMapping(MappingSpec{Protocol: tt.protocol, External: tt.external, Internal: tt.internal, Network: tt.network}, noPort)
			refused(t, err, tt.code, tt.mentions)
			unchanged(t, before, c)
		})
	}
}

func proxyPorts(t *testing.T, text string) model.HostPorts {
	t.Helper()
	if text == "8443" {
		return model.HostPorts{Host: model.AnyHost, Ports: model.PortRange{Low: 8443, High: 8443}}
	}
	var h model.HostPorts
	must(t)(0, h.UnmarshalText([]byte(text)))
	return h
}

// A port on all addresses, one on another address, and the same inside address
// in another compartment do not meet it.
func TestOneToOneMappingBesideOthers(t *testing.T) {
	t.Parallel()
	c := oneToOneConfig(t)
	for _, spec := range []MappingSpec{
		{Protocol: "tcp", External: "9000", Internal: "c2:80"},
		{Protocol: "tcp", External: "192.168.7.5:9000", Internal: "c1:80"},
		{Protocol: "any", External: "192.168.7.8", Internal: "172.16.1.2", Network: "blue"},
	} {
		must(t)(c.AddMapping(spec, noPort))
	}
	if len(c.Mappings) != 5 {
		t.Errorf("%d mappings", len(c.Mappings))
	}
}

// It follows its endpoint, and nobody is given a port of it.
func TestOneToOneMappingFollowsAndKeepsItsPorts(t *testing.T) {
	t.Parallel()
	c := oneToOneConfig(t)
	must(t)(0, c.DetachEndpoint("c1"))
	if m := c.Mappings[1]; m.Resolved() || len(c.Effective().Mappings) != 0 {
		t.Errorf("detached: %v, in effect %v", m, c.Effective().Mappings)
	}
	must(t)(c.AddEndpoint(EndpointSpec{Network: "web", Name: "c1", Netns: "c1", Address: "172.16.1.77"}, hostFacts(), lowest))
	if got := c.Mappings[1].InternalText(); got != "172.16.1.77" {
		t.Errorf("it leads to %s", got)
	}
	use := model.InUse{Mappings: c.Mappings}
	ranges := []model.PortRange{model.DefaultPorts}
	for _, p := range []model.Protocol{model.TCP, model.UDP} {
		if n := use.Free(p, netip.MustParseAddr("192.168.7.9"), ranges); n != 0 {
			t.Errorf("%d free %s ports on it", n, p)
		}
		if _, ok := use.FreePorts(p, netip.MustParseAddr("192.168.7.5"), ranges, 1, rand.IntN); !ok {
			t.Errorf("no free %s port beside it", p)
		}
	}
}
