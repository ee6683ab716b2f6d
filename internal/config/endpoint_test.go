package config

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/hostnat/hostnat/internal/model"
)

func TestAddEndpoint(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		spec EndpointSpec
		want model.Endpoint
	}{
		{"named namespace", EndpointSpec{Network: "web", Name: "e", Netns: "blue"},
			model.Endpoint{Name: "e", Network: "web", Kind: model.KindNetns, Target: "blue", Interface: "hv-e", IfName: "eth0",
				Addresses: []netip.Addr{netip.MustParseAddr("172.16.1.4")}, MAC: model.DeriveMAC(2, netip.MustParseAddr("172.16.1.4"))}},
		{"path of a named namespace", EndpointSpec{Network: "web", Name: "e", Netns: "/var/run/netns/blue", Address: "172.16.1.9", MAC: "02-AA-00-00-00-01", IfName: "net1"},
			model.Endpoint{Name: "e", Network: "web", Kind: model.KindNetns, Target: "blue", Interface: "hv-e", IfName: "net1",
				Addresses: []netip.Addr{netip.MustParseAddr("172.16.1.9")}, MAC: "02:aa:00:00:00:01"}},
		{"path", EndpointSpec{Network: "web", Name: "e", Netns: "/proc/9/ns//net"},
			model.Endpoint{Name: "e", Network: "web", Kind: model.KindNetns, Target: "/proc/9/ns/net", Interface: "hv-e", IfName: "eth0",
				Addresses: []netip.Addr{netip.MustParseAddr("172.16.1.4")}, MAC: model.DeriveMAC(2, netip.MustParseAddr("172.16.1.4"))}},
		{"process", EndpointSpec{Network: "web", Name: "e", PID: "12"},
			model.Endpoint{Name: "e", Network: "web", Kind: model.KindPID, Target: "12", Interface: "hv-e", IfName: "eth0",
				Addresses: []netip.Addr{netip.MustParseAddr("172.16.1.4")}, MAC: model.DeriveMAC(2, netip.MustParseAddr("172.16.1.4"))}},
		{"TAP, with the command line's default interface name", EndpointSpec{Network: "web", Name: "e", TAP: "vm7", IfName: "eth0"},
			model.Endpoint{Name: "e", Network: "web", Kind: model.KindTAP, Target: "vm7", Interface: "vm7",
				Addresses: []netip.Addr{netip.MustParseAddr("172.16.1.4")}, MAC: model.DeriveMAC(2, netip.MustParseAddr("172.16.1.4"))}},
		{"port", EndpointSpec{Network: "web", Name: "e", Port: "veth7"},
			model.Endpoint{Name: "e", Network: "web", Kind: model.KindPort, Target: "veth7", Interface: "veth7",
				Addresses: []netip.Addr{netip.MustParseAddr("172.16.1.4")}, MAC: model.DeriveMAC(2, netip.MustParseAddr("172.16.1.4"))}},
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
		code     model.Code
		mentions []string
	}{
		{"nothing to attach to", EndpointSpec{}, model.Invalid, []string{"--netns", "--pid", "--tap", "--port"}},
		{"two things to attach to", EndpointSpec{Netns: "x", TAP: "y"}, model.Invalid, []string{"netns", "tap"}},
		{"unknown network", EndpointSpec{Network: "nope", Netns: "x"}, model.NotFound, []string{`network "nope"`}},
		{"bad name", EndpointSpec{Name: "a:b", Netns: "x"}, model.Invalid, []string{"':'"}},
		{"pid 0", EndpointSpec{PID: "0"}, model.Invalid, []string{`"0"`}},
		{"pid text", EndpointSpec{PID: "1x"}, model.Invalid, []string{"1x"}},
		{"relative path", EndpointSpec{Netns: "a/b"}, model.Invalid, []string{"relative"}},
		{"namespace with control character", EndpointSpec{Netns: "a\x00b"}, model.Invalid, []string{"namespace"}},
		{"TAP name too long", EndpointSpec{TAP: "abcdefghijklmnop"}, model.Invalid, []string{"15"}},
		{"interface name for a TAP", EndpointSpec{TAP: "vm7", IfName: "net1"}, model.Invalid, []string{"net1"}},
		{"interface name lo", EndpointSpec{Netns: "x", IfName: "lo"}, model.Invalid, []string{"loopback"}},
		{"bad interface name", EndpointSpec{Netns: "x", IfName: "a/b"}, model.Invalid, []string{"a/b"}},
		{"namespace taken", EndpointSpec{Netns: "/run/netns/c1"}, model.Conflict, []string{`endpoint "c1"`, "--ifname"}},
		{"pid taken", EndpointSpec{PID: "077"}, model.Conflict, []string{`endpoint "c2"`}},
		{"TAP taken", EndpointSpec{TAP: "tap0"}, model.Conflict, []string{`endpoint "v1"`}},
		{"TAP taken, as port", EndpointSpec{Port: "tap0"}, model.Conflict, []string{`endpoint "v1"`}},
		{"port is a bridge of ours", EndpointSpec{Port: "hn-web"}, model.Conflict, []string{`network "web"`}},
		{"port is for fragments", EndpointSpec{Port: "hostnat1"}, model.Invalid, []string{"port hostnat1 is one of hostnat's own links"}},
		{"port is for routes", EndpointSpec{TAP: "hostnat0"}, model.Invalid, []string{"tap hostnat0 is one of hostnat's own links"}},
		{"port is a bridge that was ours", EndpointSpec{Port: "hn-old"}, model.Invalid, []string{"hostnat's own"}},
		{"port is an endpoint's that is gone", EndpointSpec{Port: "hv-old"}, model.Invalid, []string{"hostnat's own"}},
		{"port is the loopback", EndpointSpec{Port: "lo"}, model.Invalid, []string{"loopback"}},
		{"the gateway's MAC", EndpointSpec{Netns: "x", MAC: string(webGatewayMAC(t))}, model.Conflict, []string{`the gateway's of network "web"`}},
		{"port is an outside", EndpointSpec{Port: "eth1"}, model.Conflict, []string{`NAT "office"`}},
		{"port is the way out", EndpointSpec{Port: "eth0"}, model.Conflict, []string{"192.168.7.5"}},
		{"attached otherwise", EndpointSpec{Name: "c1", Netns: "other"}, model.Conflict, []string{`"c1"`, "attached already", "detach"}},
		{"attached elsewhere", EndpointSpec{Name: "c1", Network: "lab", Netns: "c1"}, model.Conflict, []string{`network "web"`}},
		{"attached with another address", EndpointSpec{Name: "c1", Netns: "c1", Address: "172.16.1.77"}, model.Conflict, []string{"172.16.1.2"}},
		{"address outside", EndpointSpec{Netns: "x", Address: "10.9.9.9"}, model.Invalid, []string{"172.16.1.0/24"}},
		{"address is gateway", EndpointSpec{Netns: "x", Address: "172.16.1.1"}, model.Conflict, []string{"gateway"}},
		{"address is network", EndpointSpec{Netns: "x", Address: "172.16.1.0"}, model.Invalid, []string{"network address"}},
		{"address is broadcast", EndpointSpec{Netns: "x", Address: "172.16.1.255"}, model.Invalid, []string{"broadcast"}},
		{"address taken", EndpointSpec{Netns: "x", Address: "172.16.1.2"}, model.Conflict, []string{`endpoint "c1"`}},
		{"address IPv6", EndpointSpec{Netns: "x", Address: "fe80::1%eth0"}, model.Invalid, []string{"IPv6"}},
		{"MAC multicast", EndpointSpec{Netns: "x", MAC: "01:00:5e:00:00:01"}, model.Invalid, []string{"multicast"}},
		{"MAC broadcast", EndpointSpec{Netns: "x", MAC: "ff:ff:ff:ff:ff:ff"}, model.Invalid, []string{"multicast"}},
		{"MAC zero", EndpointSpec{Netns: "x", MAC: "00:00:00:00:00:00"}, model.Invalid, []string{"zero"}},
		{"MAC of InfiniBand", EndpointSpec{Netns: "x", MAC: "02:00:5e:10:00:00:00:01"}, model.Invalid, []string{"Ethernet"}},
		{"create without a TAP", EndpointSpec{Netns: "x", Make: model.TAP{Made: true}}, model.Invalid, []string{"--tap"}},
		{"a TAP made in a process's namespace", EndpointSpec{PID: "7", TAP: "y", Make: model.TAP{Made: true}}, model.Invalid, []string{"pid", "tap"}},
		{"a user for a TAP of others", EndpointSpec{TAP: "y", Make: model.TAP{User: "me"}}, model.Invalid, []string{"--create"}},
		{"a user that is none", EndpointSpec{TAP: "y", Make: model.TAP{Made: true, User: "a:b"}}, model.Invalid, []string{"a:b"}},
		{"less than no queue", EndpointSpec{TAP: "y", Make: model.TAP{Made: true, Queues: -1}}, model.Invalid, []string{"-1 queues"}},
		{"a TAP with a name of ours", EndpointSpec{TAP: "hn-y", Make: model.TAP{Made: true}}, model.Invalid, []string{"hostnat's own"}},
		{"MAC taken", EndpointSpec{Netns: "x", MAC: string(model.DeriveMAC(2, netip.MustParseAddr("172.16.1.2")))}, model.Conflict, []string{`endpoint "c1"`}},
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
	refused(t, c.DetachEndpoint("nope"), model.NotFound, `endpoint "nope"`)
	if err := c.DetachEndpoint("c1"); err != nil {
		t.Fatal(err)
	}
	if m := c.Mappings[0]; m.Resolved() || len(c.Effective().Mappings) != 0 {
		t.Errorf("mapping to a detached endpoint: %v", m)
	}
	must(t)(c.AddEndpoint(EndpointSpec{Network: "lab", Name: "c1", Netns: "c1", Address: "10.1.0.50"}, hostFacts(), lowest))
	want := model.Mapping{ID: 1, NAT: "office", Protocol: model.TCP, From: []netip.Prefix{}, External: ports("0.0.0.0:8080"),
		Targets: []model.Target{{Endpoint: "c1", Network: "lab", Internal: ports("10.1.0.50:80")}}}
	if diff := cmp.Diff(want, c.Mappings[0], compareNetip); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if len(c.Effective().Mappings) != 1 {
		t.Error("the mapping does not serve again")
	}
}

func webGatewayMAC(t *testing.T) model.MAC {
	t.Helper()
	c := testConfig(t)
	n, err := c.Network("web")
	if err != nil {
		t.Fatal(err)
	}
	return n.GatewayMAC()
}

// An adopted bridge has a MAC of its own, which the host knows.
func TestMACOfAnAdoptedBridge(t *testing.T) {
	t.Parallel()
	c := testConfig(t)
	facts := model.HostFacts{Interfaces: []string{"br0"}, AdoptedMACs: map[string]model.MAC{"br0": "52:54:00:00:00:01"}}
	if _, err := c.AddNetwork(NetworkSpec{Name: "lan", Subnet: "172.30.0.0/24", Bridge: "br0", Adopt: true}, facts, nil); err != nil {
		t.Fatal(err)
	}
	_, err := c.AddEndpoint(EndpointSpec{Network: "lan", Name: "x", Netns: "x", Address: "172.30.0.2", MAC: "52:54:00:00:00:01"}, facts, nil)
	if model.CodeOf(err) != model.Conflict {
		t.Errorf("got %v", err)
	}
}
