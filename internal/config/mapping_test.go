package config

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/hostnat/hostnat/internal/model"
)

func TestAddMapping(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		spec MappingSpec
		want model.Mapping
	}{
		{"endpoint", MappingSpec{Protocol: "TCP", External: "81", Internal: "c1:80"},
			model.Mapping{NAT: "default", Protocol: model.TCP, From: []netip.Prefix{},
				External: ports("0.0.0.0:81"), Targets: []model.Target{{Endpoint: "c1", Network: "web", Internal: ports("172.16.1.2:80")}}}},
		{"star, other protocol on the same port", MappingSpec{Protocol: "udp", External: "*:8080", Internal: "v1:53", NAT: "office"},
			model.Mapping{NAT: "office", Protocol: model.UDP, From: []netip.Prefix{},
				External: ports("0.0.0.0:8080"), Targets: []model.Target{{Endpoint: "v1", Network: "lab", Internal: ports("10.1.0.2:53")}}}},
		{"addresses and remotes", MappingSpec{Protocol: "tcp", External: "192.168.7.5:65535", Internal: "10.1.0.9:1", From: []string{"10.0.0.0/8", "192.0.2.7", "10.0.0.0/8"}},
			model.Mapping{NAT: "office", Protocol: model.TCP,
				From:     []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("192.0.2.7/32")},
				External: ports("192.168.7.5:65535"), Targets: []model.Target{{Network: "lab", Internal: ports("10.1.0.9:1")}}}},
		{"network says which", MappingSpec{Protocol: "tcp", External: "0.0.0.0:82", Internal: "172.16.1.9:80", Network: "blue"},
			model.Mapping{NAT: "default", Protocol: model.TCP, From: []netip.Prefix{},
				External: ports("0.0.0.0:82"), Targets: []model.Target{{Network: "blue", Internal: ports("172.16.1.9:80")}}}},
		{"range, shifted", MappingSpec{Protocol: "tcp", External: "7000-7999", Internal: "c1:9000-9999"},
			model.Mapping{NAT: "default", Protocol: model.TCP, From: []netip.Prefix{},
				External: ports("0.0.0.0:7000-7999"), Targets: []model.Target{{Endpoint: "c1", Network: "web", Internal: ports("172.16.1.2:9000-9999")}}}},
		{"range of one", MappingSpec{Protocol: "tcp", External: "81-81", Internal: "c1:80"},
			model.Mapping{NAT: "default", Protocol: model.TCP, From: []netip.Prefix{},
				External: ports("0.0.0.0:81"), Targets: []model.Target{{Endpoint: "c1", Network: "web", Internal: ports("172.16.1.2:80")}}}},
		{"nearly every port", MappingSpec{Protocol: "udp", External: "192.168.7.5:1-65535", Internal: "172.16.1.9:1-65535", Network: "web"},
			model.Mapping{NAT: "default", Protocol: model.UDP, From: []netip.Prefix{},
				External: ports("192.168.7.5:1-65535"), Targets: []model.Target{{Network: "web", Internal: ports("172.16.1.9:1-65535")}}}},
		{"several targets", MappingSpec{Protocol: "tcp", External: "81-82", Internal: "c1:80-81,c2:90-91,172.16.1.9:1-2", Network: "web"},
			model.Mapping{NAT: "default", Protocol: model.TCP, From: []netip.Prefix{}, External: ports("0.0.0.0:81-82"), Targets: []model.Target{
				{Endpoint: "c1", Network: "web", Internal: ports("172.16.1.2:80-81")}, {Endpoint: "c2", Network: "web", Internal: ports("172.16.1.3:90-91")}, {Network: "web", Internal: ports("172.16.1.9:1-2")}}}},
		{"one address beside all", MappingSpec{Protocol: "tcp", External: "192.168.7.5:8080", Internal: "c2:80"},
			model.Mapping{NAT: "default", Protocol: model.TCP, From: []netip.Prefix{},
				External: ports("192.168.7.5:8080"), Targets: []model.Target{{Endpoint: "c2", Network: "web", Internal: ports("172.16.1.3:80")}}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c := testConfig(t)
			got, err := c.AddMapping(tt.spec, noPort)
			if err != nil {
				t.Fatal(err)
			}
			tt.want.ID = 2
			if diff := cmp.Diff(tt.want, got, compareNetip); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			before := c.Clone()
			again, err := c.AddMapping(tt.spec, noPort)
			if err != nil || again.ID != got.ID {
				t.Errorf("again: %v, %v", again, err)
			}
			unchanged(t, before, c)
			if err := c.DeleteMapping(got.ID); err != nil {
				t.Fatal(err)
			}
			if later, err := c.AddMapping(tt.spec, noPort); err != nil || later.ID == got.ID {
				t.Errorf("after deleting: %v, %v", later, err)
			}
		})
	}
}

// The port is asked for when everything else is known, and a new one each time.
func TestAddMappingChoosesPort(t *testing.T) {
	t.Parallel()
	for external, want := range map[string]string{"": "0.0.0.0", "0.0.0.0": "0.0.0.0", "192.168.7.5": "192.168.7.5"} {
		c := testConfig(t)
		var asked model.Mapping
		port := uint16(3000)
		spec := MappingSpec{Protocol: "udp", External: external, Internal: "v1:53"}
		for range 2 {
			port++
			got, err := c.AddMapping(spec, func(m model.Mapping) (uint16, error) { asked = m; return port, nil })
			if err != nil || got.External.First() != netip.AddrPortFrom(netip.MustParseAddr(want), port) {
				t.Errorf("%q: got %v, %v", external, got, err)
			}
		}
		if asked.NAT != "office" || asked.Protocol != model.UDP || asked.External.Address.String() != want || asked.Targets[0].Internal.Ports.Low != 53 {
			t.Errorf("%q: asked for %+v", external, asked)
		}
		if len(c.Mappings) != 3 {
			t.Errorf("%q: mappings %v", external, c.Mappings)
		}
	}
}

func TestAddMappingRefuses(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name                         string
		external, internal, protocol string
		network, nat                 string
		from                         []string
		force                        bool
		code                         model.Code
		mentions                     []string
	}{
		{name: "port 0", external: "0", code: model.Invalid, mentions: []string{`"0"`, "65535"}},
		{name: "port 65536", external: "65536", code: model.Invalid, mentions: []string{"65536"}},
		{name: "port 80abc", external: "80abc", code: model.Invalid, mentions: []string{"80abc"}},
		{name: "port +80", external: "+80", code: model.Invalid, mentions: []string{"+80"}},
		{name: "negative port", external: "-80", code: model.Invalid},
		{name: "octal port", external: "0080", code: model.Invalid, mentions: []string{"0080"}},
		{name: "internal port 0", internal: "c1:0", code: model.Invalid, mentions: []string{`"0"`}},
		{name: "internal port 80abc", internal: "c1:80abc", code: model.Invalid, mentions: []string{"80abc"}},
		{name: "reversed range", external: "90-80", code: model.Invalid, mentions: []string{"reversed", "80-90"}},
		{name: "range and port", external: "80-90", code: model.Invalid, mentions: []string{
			"external *:80-90 has 11 ports, but internal c1:80 has 1 port; give both ranges the same length"}},
		{name: "ranges of different lengths", external: "192.168.7.5:80-90", internal: "172.16.1.2:80-89", network: "web", code: model.Invalid, mentions: []string{
			"external 192.168.7.5:80-90 has 11 ports, but internal 172.16.1.2:80-89 has 10 ports"}},
		{name: "internal range", internal: "c1:80-90", code: model.Invalid, mentions: []string{"external *:9000 has 1 port, but internal c1:80-90 has 11 ports"}},
		{name: "reversed internal range", internal: "c1:90-80", code: model.Invalid, mentions: []string{"internal port range 90-80 is reversed; write 80-90"}},
		{name: "range over the end", external: "65000-65536", internal: "c1:1-537", code: model.Invalid, mentions: []string{`"65536"`}},
		{name: "range over another mapping", external: "8000-8999", internal: "c1:8000-8999", code: model.Conflict, mentions: []string{
			"tcp *:8000-8999 overlaps mapping 1 (tcp *:8080 to c1:80) at *:8080; delete it first"}},
		{name: "targets of different lengths", external: "80-81", internal: "c1:80-81,c2:80", code: model.Invalid, mentions: []string{
			"internal c1:80-81 has 2 ports, but internal c2:80 has 1 port; give all targets as many ports"}},
		{name: "target twice", internal: "c1:80,c2:80,c1:80", code: model.Invalid, mentions: []string{"c1:80 and c1:80 lead to the same address 172.16.1.2; name each target once"}},
		{name: "target twice, other ports", internal: "c1:80,c1:81", code: model.Invalid, mentions: []string{"c1:80 and c1:81"}},
		{name: "target twice, by name and address", internal: "c1:80,172.16.1.2:80", network: "web", code: model.Invalid, mentions: []string{"c1:80 and 172.16.1.2:80"}},
		{name: "targets of two NATs", internal: "c1:80,v1:80", code: model.Conflict, mentions: []string{
			`c1:80 is behind NAT "default" and v1:80 behind "office"; give each a mapping of its own`}},
		{name: "empty target", internal: "c1:80,", code: model.Invalid, mentions: []string{"a target of the mapping is empty"}},
		{name: "no target but a comma", internal: ",", code: model.Invalid, mentions: []string{"a target of the mapping is empty"}},
		{name: "too many targets", internal: strings.Repeat("c1:80,", 64) + "c1:80", code: model.Invalid, mentions: []string{"65 targets", "may have 64"}},
		{name: "target is loopback", internal: "127.0.0.1:80", code: model.Invalid, mentions: []string{"the host's own"}},
		{name: "no port left", external: "none", code: model.Exhausted},
		{name: "no port left on an address", external: "192.168.7.5", code: model.Exhausted},
		{name: "no port to take", external: "192.168.7.5", force: true, code: model.Invalid, mentions: []string{"--force"}},
		{name: "external colon", external: "192.168.7.5:", code: model.Invalid, mentions: []string{`""`}},
		{name: "external star for a port", external: "192.168.7.5:*", code: model.Invalid, mentions: []string{`"*"`}},
		{name: "external star", external: "*", code: model.Invalid, mentions: []string{`"*"`}},
		{name: "external name", external: "eth0", code: model.Invalid, mentions: []string{"eth0"}},
		{name: "external prefix", external: "192.168.7.0/24", code: model.Invalid},
		{name: "external octal address", external: "192.168.07.5", code: model.Invalid, mentions: []string{"192.168.7.5"}},
		{name: "external IPv6 address", external: "2001:db8::1", code: model.Invalid, mentions: []string{"IPv6"}},
		{name: "external loopback address", external: "127.0.0.1", code: model.Invalid, mentions: []string{"loopback"}},
		{name: "external address inside", external: "172.16.1.1", code: model.Conflict, mentions: []string{`network "web"`}},
		{name: "external octal", external: "192.168.07.5:80", code: model.Invalid, mentions: []string{"192.168.7.5"}},
		{name: "external IPv6", external: "[2001:db8::1]:80", code: model.Invalid, mentions: []string{"IPv6"}},
		{name: "external multicast", external: "224.0.0.1:80", code: model.Invalid, mentions: []string{"multicast"}},
		{name: "external inside", external: "172.16.1.1:80", code: model.Conflict, mentions: []string{`network "web"`}},
		{name: "unknown protocol", protocol: "sctp", code: model.Invalid, mentions: []string{"sctp", "tcp or udp, or any"}},
		{name: "ICMP", protocol: "icmp", code: model.Invalid, mentions: []string{"icmp"}},
		{name: "no protocol", protocol: "none", code: model.Invalid},
		{name: "other target", external: "8080", internal: "c2:80", code: model.Conflict, mentions: []string{"1 (tcp *:8080 to c1:80)"}},
		{name: "same target, other remotes", external: "8080", internal: "c1:80", from: []string{"10.0.0.0/8"}, code: model.Conflict, mentions: []string{"remotes"}},
		{name: "no target", internal: "none", code: model.Invalid, mentions: []string{"--internal"}},
		{name: "target without port", internal: "c1", code: model.Invalid, mentions: []string{"no port"}},
		{name: "port without target", internal: ":80", code: model.Invalid, mentions: []string{"ENDPOINT:PORT"}},
		{name: "unknown endpoint", internal: "nope:80", code: model.NotFound, mentions: []string{`endpoint "nope"`}},
		{name: "endpoint of another network", internal: "c1:80", network: "lab", code: model.Conflict, mentions: []string{`"web"`}},
		{name: "target outside", internal: "10.9.0.1:80", code: model.Invalid, mentions: []string{"10.9.0.1"}},
		{name: "target outside its network", internal: "10.1.0.2:80", network: "web", code: model.Invalid, mentions: []string{"10.1.0.2", `"web"`}},
		{name: "target is gateway", internal: "10.1.0.1:80", code: model.Invalid, mentions: []string{"gateway"}},
		{name: "target is network", internal: "10.1.0.0:80", code: model.Invalid, mentions: []string{"network address"}},
		{name: "target is broadcast", internal: "10.1.0.255:80", code: model.Invalid, mentions: []string{"broadcast"}},
		{name: "target octal", internal: "10.1.0.010:80", code: model.Invalid, mentions: []string{"10.1.0.10"}},
		{name: "target IPv6", internal: "[fd00::1]:80", code: model.Invalid, mentions: []string{"IPv6"}},
		{name: "target in two networks", internal: "172.16.1.2:80", code: model.Conflict, mentions: []string{`"web"`, `"blue"`, "--network"}},
		{name: "unknown network", internal: "c1:80", network: "nope", code: model.NotFound, mentions: []string{`network "nope"`}},
		{name: "other NAT", nat: "office", code: model.Conflict, mentions: []string{`"office"`, "--nat default"}},
		{name: "unknown NAT", nat: "nope", code: model.NotFound, mentions: []string{`NAT "nope"`}},
		{name: "remotes with host bits", from: []string{"10.0.0.1/8"}, code: model.Invalid, mentions: []string{"10.0.0.0/8"}},
		{name: "remotes IPv6", from: []string{"fd00::/8"}, code: model.Invalid, mentions: []string{"IPv6"}},
		{name: "remotes rubbish", from: []string{""}, code: model.Invalid},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c := testConfig(t)
			before := c.Clone()
			text := func(s, otherwise string) string {
				if s == "none" {
					return ""
				}
				return or(s, otherwise)
			}
			_, err := c.AddMapping(MappingSpec{
				NAT: tt.nat, Network: tt.network, From: tt.from,
				Protocol: text(tt.protocol, "tcp"), External: text(tt.external, "9000"), Internal: text(tt.internal, "c1:80"), Force: tt.force,
			}, noPort)
			refused(t, err, tt.code, tt.mentions...)
			unchanged(t, before, c)
		})
	}
}

func TestDeleteMappingRefuses(t *testing.T) {
	t.Parallel()
	c := testConfig(t)
	refused(t, c.DeleteMapping(99), model.NotFound, "mapping 99")
}

// Targets of two compartments could have the same address.
func TestAddMappingRefusesTwoCompartments(t *testing.T) {
	t.Parallel()
	c := testConfig(t)
	must(t)(c.AddEndpoint(EndpointSpec{Network: "blue", Name: "b1", Netns: "b1"}, hostFacts(), lowest))
	_, err := c.AddMapping(MappingSpec{Protocol: "tcp", External: "9000", Internal: "c1:80,b1:80"}, noPort)
	refused(t, err, model.Conflict, `c1:80 is in compartment "default" and b1:80 in "blue"`)
}

// A mapping onto an external address of a NAT would lead back outside.
func TestAddMappingRefusesExternalAddressAsTarget(t *testing.T) {
	t.Parallel()
	c := testConfig(t)
	must(t)(c.AddAddress("office", "192.168.7.5"))
	_, err := c.AddMapping(MappingSpec{Protocol: "tcp", External: "9000", Internal: "192.168.7.5:80"}, noPort)
	refused(t, err, model.Invalid, `internal address 192.168.7.5 is the external address of NAT "office"`)
}

// The order of targets is not part of what was asked for.
func TestAddMappingAgainInAnotherOrder(t *testing.T) {
	t.Parallel()
	c := testConfig(t)
	first := spread(t, &c)
	again, err := c.AddMapping(MappingSpec{Protocol: "tcp", External: "90", Internal: "c2:80,c1:80"}, noPort)
	if err != nil || again.ID != first.ID {
		t.Errorf("got %+v, %v", again, err)
	}
	_, err = c.AddMapping(MappingSpec{Protocol: "tcp", External: "90", Internal: "c1:80"}, noPort)
	refused(t, err, model.Conflict, "tcp *:90 is mapped already: mapping 2 (tcp *:90 to c1:80,c2:80)")
}

// A target that is gone gets nothing; the mapping goes with its last.
func TestEffectiveMappingHasResolvedTargetsAlone(t *testing.T) {
	t.Parallel()
	c := testConfig(t)
	m := spread(t, &c)
	targets := func() string {
		e := c.Effective()
		m, err := e.Mapping(m.ID)
		if err != nil {
			return "none"
		}
		return m.InternalText()
	}
	steps := []struct {
		do   func() error
		want string
	}{
		{func() error { return nil }, "172.16.1.2:80,172.16.1.3:80"},
		{func() error { return c.DetachEndpoint("c1") }, "172.16.1.3:80"},
		{func() error { return c.DetachEndpoint("c2") }, "none"},
		{func() error {
			_, err := c.AddEndpoint(EndpointSpec{Network: "web", Name: "c1", Netns: "c1", Address: "172.16.1.40"}, hostFacts(), lowest)
			return err
		}, "172.16.1.40:80"},
		// Behind another NAT it does not go with the other target.
		{func() error {
			_, err := c.AddEndpoint(EndpointSpec{Network: "lab", Name: "c2", Netns: "c2"}, hostFacts(), lowest)
			return err
		}, "172.16.1.40:80"},
		{func() error { return c.DeleteNetwork("web", true) }, "none"},
	}
	for i, s := range steps { // in order
		if err := s.do(); err != nil {
			t.Fatal(err)
		}
		if got := targets(); got != s.want {
			t.Errorf("step %d: got %s, want %s", i, got, s.want)
		}
	}
}

// spread adds the mapping tcp *:90 to c1:80 and c2:80.
func spread(t *testing.T, c *Config) model.Mapping {
	t.Helper()
	m, err := c.AddMapping(MappingSpec{Protocol: "tcp", External: "90", Internal: "c1:80,c2:80"}, noPort)
	if err != nil {
		t.Fatal(err)
	}
	return m
}
