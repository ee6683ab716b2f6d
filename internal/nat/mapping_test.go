package nat

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestAddMapping(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		spec MappingSpec
		want Mapping
	}{
		{"endpoint", MappingSpec{Protocol: "TCP", External: "81", Internal: "c1:80"},
			Mapping{NAT: "default", Network: "web", Protocol: TCP, Endpoint: "c1", From: []netip.Prefix{},
				External: netip.MustParseAddrPort("0.0.0.0:81"), Internal: netip.MustParseAddrPort("172.16.1.2:80")}},
		{"star, other protocol on the same port", MappingSpec{Protocol: "udp", External: "*:8080", Internal: "v1:53", NAT: "office"},
			Mapping{NAT: "office", Network: "lab", Protocol: UDP, Endpoint: "v1", From: []netip.Prefix{},
				External: netip.MustParseAddrPort("0.0.0.0:8080"), Internal: netip.MustParseAddrPort("10.1.0.2:53")}},
		{"addresses and remotes", MappingSpec{Protocol: "tcp", External: "192.168.7.5:65535", Internal: "10.1.0.9:1", From: []string{"10.0.0.0/8", "192.0.2.7", "10.0.0.0/8"}},
			Mapping{NAT: "office", Network: "lab", Protocol: TCP,
				From:     []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("192.0.2.7/32")},
				External: netip.MustParseAddrPort("192.168.7.5:65535"), Internal: netip.MustParseAddrPort("10.1.0.9:1")}},
		{"network says which", MappingSpec{Protocol: "tcp", External: "0.0.0.0:82", Internal: "172.16.1.9:80", Network: "blue"},
			Mapping{NAT: "default", Network: "blue", Protocol: TCP, From: []netip.Prefix{},
				External: netip.MustParseAddrPort("0.0.0.0:82"), Internal: netip.MustParseAddrPort("172.16.1.9:80")}},
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
		var asked Mapping
		port := uint16(3000)
		spec := MappingSpec{Protocol: "udp", External: external, Internal: "v1:53"}
		for range 2 {
			port++
			got, err := c.AddMapping(spec, func(m Mapping) (uint16, error) { asked = m; return port, nil })
			if err != nil || got.External != netip.AddrPortFrom(netip.MustParseAddr(want), port) {
				t.Errorf("%q: got %v, %v", external, got, err)
			}
		}
		if asked.NAT != "office" || asked.Protocol != UDP || asked.External.Addr().String() != want || asked.Internal.Port() != 53 {
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
		code                         Code
		mentions                     []string
	}{
		{name: "port 0", external: "0", code: Invalid, mentions: []string{`"0"`, "65535"}},
		{name: "port 65536", external: "65536", code: Invalid, mentions: []string{"65536"}},
		{name: "port 80abc", external: "80abc", code: Invalid, mentions: []string{"80abc"}},
		{name: "port +80", external: "+80", code: Invalid, mentions: []string{"+80"}},
		{name: "negative port", external: "-80", code: Invalid},
		{name: "octal port", external: "0080", code: Invalid, mentions: []string{"0080"}},
		{name: "internal port 0", internal: "c1:0", code: Invalid, mentions: []string{`"0"`}},
		{name: "internal port 80abc", internal: "c1:80abc", code: Invalid, mentions: []string{"80abc"}},
		{name: "reversed range", external: "90-80", code: Invalid, mentions: []string{"reversed", "80-90"}},
		{name: "range", external: "80-90", code: Invalid, mentions: []string{"ranges are not supported yet"}},
		{name: "range of one", external: "80-80", code: Invalid, mentions: []string{"ranges are not supported yet"}},
		{name: "internal range", internal: "c1:80-90", code: Invalid, mentions: []string{"ranges are not supported yet"}},
		{name: "no port left", external: "none", code: Exhausted},
		{name: "no port left on an address", external: "192.168.7.5", code: Exhausted},
		{name: "no port to take", external: "192.168.7.5", force: true, code: Invalid, mentions: []string{"--force"}},
		{name: "external colon", external: "192.168.7.5:", code: Invalid, mentions: []string{`""`}},
		{name: "external star for a port", external: "192.168.7.5:*", code: Invalid, mentions: []string{`"*"`}},
		{name: "external star", external: "*", code: Invalid, mentions: []string{`"*"`}},
		{name: "external name", external: "eth0", code: Invalid, mentions: []string{"eth0"}},
		{name: "external prefix", external: "192.168.7.0/24", code: Invalid},
		{name: "external octal address", external: "192.168.07.5", code: Invalid, mentions: []string{"192.168.7.5"}},
		{name: "external IPv6 address", external: "2001:db8::1", code: Invalid, mentions: []string{"IPv6"}},
		{name: "external loopback address", external: "127.0.0.1", code: Invalid, mentions: []string{"loopback"}},
		{name: "external address inside", external: "172.16.1.1", code: Conflict, mentions: []string{`network "web"`}},
		{name: "external octal", external: "192.168.07.5:80", code: Invalid, mentions: []string{"192.168.7.5"}},
		{name: "external IPv6", external: "[2001:db8::1]:80", code: Invalid, mentions: []string{"IPv6"}},
		{name: "external multicast", external: "224.0.0.1:80", code: Invalid, mentions: []string{"multicast"}},
		{name: "external inside", external: "172.16.1.1:80", code: Conflict, mentions: []string{`network "web"`}},
		{name: "unknown protocol", protocol: "sctp", code: Invalid, mentions: []string{"sctp", "tcp or udp"}},
		{name: "ICMP", protocol: "icmp", code: Invalid, mentions: []string{"icmp"}},
		{name: "no protocol", protocol: "none", code: Invalid},
		{name: "other target", external: "8080", internal: "c2:80", code: Conflict, mentions: []string{"1 (tcp *:8080 to c1:80)"}},
		{name: "other target, one address", external: "192.168.7.5:8080", internal: "c2:80", code: Conflict, mentions: []string{"tcp *:8080"}},
		{name: "same target, other remotes", external: "8080", internal: "c1:80", from: []string{"10.0.0.0/8"}, code: Conflict, mentions: []string{"remotes"}},
		{name: "no target", internal: "none", code: Invalid, mentions: []string{"--internal"}},
		{name: "target without port", internal: "c1", code: Invalid, mentions: []string{"no port"}},
		{name: "port without target", internal: ":80", code: Invalid, mentions: []string{"ENDPOINT:PORT"}},
		{name: "unknown endpoint", internal: "nope:80", code: NotFound, mentions: []string{`endpoint "nope"`}},
		{name: "endpoint of another network", internal: "c1:80", network: "lab", code: Conflict, mentions: []string{`"web"`}},
		{name: "target outside", internal: "10.9.0.1:80", code: Invalid, mentions: []string{"10.9.0.1"}},
		{name: "target outside its network", internal: "10.1.0.2:80", network: "web", code: Invalid, mentions: []string{"10.1.0.2", `"web"`}},
		{name: "target is gateway", internal: "10.1.0.1:80", code: Invalid, mentions: []string{"gateway"}},
		{name: "target is network", internal: "10.1.0.0:80", code: Invalid, mentions: []string{"network address"}},
		{name: "target is broadcast", internal: "10.1.0.255:80", code: Invalid, mentions: []string{"broadcast"}},
		{name: "target octal", internal: "10.1.0.010:80", code: Invalid, mentions: []string{"10.1.0.10"}},
		{name: "target IPv6", internal: "[fd00::1]:80", code: Invalid, mentions: []string{"IPv6"}},
		{name: "target in two networks", internal: "172.16.1.2:80", code: Conflict, mentions: []string{`"web"`, `"blue"`, "--network"}},
		{name: "unknown network", internal: "c1:80", network: "nope", code: NotFound, mentions: []string{`network "nope"`}},
		{name: "other NAT", nat: "office", code: Conflict, mentions: []string{`"office"`, "--nat default"}},
		{name: "unknown NAT", nat: "nope", code: NotFound, mentions: []string{`NAT "nope"`}},
		{name: "remotes with host bits", from: []string{"10.0.0.1/8"}, code: Invalid, mentions: []string{"10.0.0.0/8"}},
		{name: "remotes IPv6", from: []string{"fd00::/8"}, code: Invalid, mentions: []string{"IPv6"}},
		{name: "remotes rubbish", from: []string{""}, code: Invalid},
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
	refused(t, c.DeleteMapping(99), NotFound, "mapping 99")
}
