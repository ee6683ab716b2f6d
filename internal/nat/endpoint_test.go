package nat

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestAddEndpoint(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		spec EndpointSpec
		want Endpoint
	}{
		{"named namespace", EndpointSpec{Network: "web", Name: "e", Netns: "blue"},
			Endpoint{Name: "e", Network: "web", Kind: KindNetns, Target: "blue", Interface: "hv-e", IfName: "eth0",
				Address: netip.MustParseAddr("172.16.1.4"), MAC: DeriveMAC(2, netip.MustParseAddr("172.16.1.4"))}},
		{"path of a named namespace", EndpointSpec{Network: "web", Name: "e", Netns: "/var/run/netns/blue", Address: "172.16.1.9", MAC: "02-AA-00-00-00-01", IfName: "net1"},
			Endpoint{Name: "e", Network: "web", Kind: KindNetns, Target: "blue", Interface: "hv-e", IfName: "net1",
				Address: netip.MustParseAddr("172.16.1.9"), MAC: "02:aa:00:00:00:01"}},
		{"path", EndpointSpec{Network: "web", Name: "e", Netns: "/proc/9/ns//net"},
			Endpoint{Name: "e", Network: "web", Kind: KindNetns, Target: "/proc/9/ns/net", Interface: "hv-e", IfName: "eth0",
				Address: netip.MustParseAddr("172.16.1.4"), MAC: DeriveMAC(2, netip.MustParseAddr("172.16.1.4"))}},
		{"process", EndpointSpec{Network: "web", Name: "e", PID: "12"},
			Endpoint{Name: "e", Network: "web", Kind: KindPID, Target: "12", Interface: "hv-e", IfName: "eth0",
				Address: netip.MustParseAddr("172.16.1.4"), MAC: DeriveMAC(2, netip.MustParseAddr("172.16.1.4"))}},
		{"TAP, with the command line's default interface name", EndpointSpec{Network: "web", Name: "e", TAP: "vm7", IfName: "eth0"},
			Endpoint{Name: "e", Network: "web", Kind: KindTAP, Target: "vm7", Interface: "vm7",
				Address: netip.MustParseAddr("172.16.1.4"), MAC: DeriveMAC(2, netip.MustParseAddr("172.16.1.4"))}},
		{"port", EndpointSpec{Network: "web", Name: "e", Port: "veth7"},
			Endpoint{Name: "e", Network: "web", Kind: KindPort, Target: "veth7", Interface: "veth7",
				Address: netip.MustParseAddr("172.16.1.4"), MAC: DeriveMAC(2, netip.MustParseAddr("172.16.1.4"))}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c := testConfig(t)
			got, err := c.AddEndpoint(tt.spec, hostFacts(), lowest)
			if err != nil {
				t.Fatal(err)
			}
			tt.want.ID = got.ID
			if diff := cmp.Diff(tt.want, got, compareNetip); diff != "" || got.ID == 0 {
				t.Errorf("(-want +got):\n%s", diff)
			}
			before := c.Clone()
			again, err := c.AddEndpoint(tt.spec, hostFacts(), lowest)
			if err != nil || !cmp.Equal(again, got, compareNetip) {
				t.Errorf("again: %v, %v", again, err)
			}
			unchanged(t, before, c)
		})
	}
}

func TestAddEndpointRefuses(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name     string
		spec     EndpointSpec
		code     Code
		mentions []string
	}{
		{"nothing to attach to", EndpointSpec{}, Invalid, []string{"--netns", "--pid", "--tap", "--port"}},
		{"two things to attach to", EndpointSpec{Netns: "x", TAP: "y"}, Invalid, []string{"netns", "tap"}},
		{"unknown network", EndpointSpec{Network: "nope", Netns: "x"}, NotFound, []string{`network "nope"`}},
		{"bad name", EndpointSpec{Name: "a:b", Netns: "x"}, Invalid, []string{"':'"}},
		{"pid 0", EndpointSpec{PID: "0"}, Invalid, []string{`"0"`}},
		{"pid text", EndpointSpec{PID: "1x"}, Invalid, []string{"1x"}},
		{"relative path", EndpointSpec{Netns: "a/b"}, Invalid, []string{"relative"}},
		{"namespace with control character", EndpointSpec{Netns: "a\x00b"}, Invalid, []string{"namespace"}},
		{"TAP name too long", EndpointSpec{TAP: "abcdefghijklmnop"}, Invalid, []string{"15"}},
		{"interface name for a TAP", EndpointSpec{TAP: "vm7", IfName: "net1"}, Invalid, []string{"net1"}},
		{"interface name lo", EndpointSpec{Netns: "x", IfName: "lo"}, Invalid, []string{"loopback"}},
		{"bad interface name", EndpointSpec{Netns: "x", IfName: "a/b"}, Invalid, []string{"a/b"}},
		{"namespace taken", EndpointSpec{Netns: "/run/netns/c1"}, Conflict, []string{`endpoint "c1"`, "--ifname"}},
		{"pid taken", EndpointSpec{PID: "077"}, Conflict, []string{`endpoint "c2"`}},
		{"TAP taken", EndpointSpec{TAP: "tap0"}, Conflict, []string{`endpoint "v1"`}},
		{"TAP taken, as port", EndpointSpec{Port: "tap0"}, Conflict, []string{`endpoint "v1"`}},
		{"port is a bridge of ours", EndpointSpec{Port: "hn-web"}, Conflict, []string{`network "web"`}},
		{"port is an outside", EndpointSpec{Port: "eth1"}, Conflict, []string{`NAT "office"`}},
		{"port is the way out", EndpointSpec{Port: "eth0"}, Conflict, []string{"192.168.7.5"}},
		{"attached otherwise", EndpointSpec{Name: "c1", Netns: "other"}, Conflict, []string{`"c1"`, "attached already", "detach"}},
		{"attached elsewhere", EndpointSpec{Name: "c1", Network: "lab", Netns: "c1"}, Conflict, []string{`network "web"`}},
		{"attached with another address", EndpointSpec{Name: "c1", Netns: "c1", Address: "172.16.1.77"}, Conflict, []string{"172.16.1.2"}},
		{"address outside", EndpointSpec{Netns: "x", Address: "10.9.9.9"}, Invalid, []string{"172.16.1.0/24"}},
		{"address is gateway", EndpointSpec{Netns: "x", Address: "172.16.1.1"}, Conflict, []string{"gateway"}},
		{"address is network", EndpointSpec{Netns: "x", Address: "172.16.1.0"}, Invalid, []string{"network address"}},
		{"address is broadcast", EndpointSpec{Netns: "x", Address: "172.16.1.255"}, Invalid, []string{"broadcast"}},
		{"address taken", EndpointSpec{Netns: "x", Address: "172.16.1.2"}, Conflict, []string{`endpoint "c1"`}},
		{"address IPv6", EndpointSpec{Netns: "x", Address: "fe80::1%eth0"}, Invalid, []string{"IPv6"}},
		{"MAC multicast", EndpointSpec{Netns: "x", MAC: "01:00:5e:00:00:01"}, Invalid, []string{"multicast"}},
		{"MAC broadcast", EndpointSpec{Netns: "x", MAC: "ff:ff:ff:ff:ff:ff"}, Invalid, []string{"multicast"}},
		{"MAC zero", EndpointSpec{Netns: "x", MAC: "00:00:00:00:00:00"}, Invalid, []string{"zero"}},
		{"MAC of InfiniBand", EndpointSpec{Netns: "x", MAC: "02:00:5e:10:00:00:00:01"}, Invalid, []string{"Ethernet"}},
		{"MAC taken", EndpointSpec{Netns: "x", MAC: string(DeriveMAC(2, netip.MustParseAddr("172.16.1.2")))}, Conflict, []string{`endpoint "c1"`}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c := testConfig(t)
			before := c.Clone()
			tt.spec.Name, tt.spec.Network = or(tt.spec.Name, "e"), or(tt.spec.Network, "web")
			_, err := c.AddEndpoint(tt.spec, hostFacts(), lowest)
			refused(t, err, tt.code, tt.mentions...)
			unchanged(t, before, c)
		})
	}
}

func TestMappingFollowsEndpoint(t *testing.T) {
	t.Parallel()
	c := testConfig(t)
	refused(t, c.DetachEndpoint("nope"), NotFound, `endpoint "nope"`)
	if err := c.DetachEndpoint("c1"); err != nil {
		t.Fatal(err)
	}
	if m := c.Mappings[0]; m.Resolved() || len(c.Effective().Mappings) != 0 {
		t.Errorf("mapping to a detached endpoint: %v", m)
	}
	must(t)(c.AddEndpoint(EndpointSpec{Network: "lab", Name: "c1", Netns: "c1", Address: "10.1.0.50"}, hostFacts(), lowest))
	want := Mapping{ID: 1, NAT: "office", Protocol: TCP, From: []netip.Prefix{}, External: ports("0.0.0.0:8080"),
		Targets: []Target{{Endpoint: "c1", Network: "lab", Internal: ports("10.1.0.50:80")}}}
	if diff := cmp.Diff(want, c.Mappings[0], compareNetip); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if len(c.Effective().Mappings) != 1 {
		t.Error("the mapping does not serve again")
	}
}
