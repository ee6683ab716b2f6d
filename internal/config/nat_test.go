package config

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/hostnat/hostnat/internal/model"
)

func TestNewConfigHasDefaults(t *testing.T) {
	t.Parallel()
	c := NewConfig()
	want := model.NAT{
		Name: "default", ID: 1, Profile: model.ProfileRFC, ExternalInterfaces: []string{}, ExternalAddresses: []model.ExternalAddress{},
		Timeouts:     model.Timeouts{UDP: 300, TCPEstablished: 7440, TCPTransitory: 240, ICMP: 60},
		TCPFiltering: model.AddressDependent, UDPFiltering: model.AddressDependent,
		Pooling: model.Paired, EndpointDependent: true, HoldDown: 120, Exhaustion: model.Prohibited,
	}
	if diff := cmp.Diff([]model.NAT{want}, c.NATs, compareNetip); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestSetNAT(t *testing.T) {
	t.Parallel()
	c := testConfig(t)
	got, err := c.SetNAT("default", map[string]string{
		"profile": "winnat", "udp-timeout": "2s", "tcp-established-timeout": "3600", "tcp-transitory-timeout": "5m", "icmp-timeout": "720h",
		"filtering": "endpoint-independent", "udp-filtering": "address-and-port-dependent", "udp-inbound-refresh": "true",
		"pooling": "arbitrary", "endpoint-dependent": "on", "max-sessions": "1000", "max-ports": "500", "max-rate": "4294967295", "mss-clamp": "on",
		"exhaustion": "silent", "external-interface": "eth0,eth1,eth0",
	})
	if err != nil {
		t.Fatal(err)
	}
	want := model.NAT{
		Name: "default", ID: 1, Profile: model.ProfileWinNAT, ExternalInterfaces: []string{"eth0", "eth1"}, ExternalAddresses: []model.ExternalAddress{},
		Timeouts:     model.Timeouts{UDP: 2, TCPEstablished: 3600, TCPTransitory: 300, ICMP: 2592000},
		TCPFiltering: model.EndpointIndependent, UDPFiltering: model.AddressAndPortDependent, UDPInboundRefresh: true,
		Pooling: model.Arbitrary, EndpointDependent: true, Limits: model.Limits{Sessions: 1000, Ports: 500, Rate: 4294967295}, MSSClamp: true, Exhaustion: model.Silent,
	}
	if diff := cmp.Diff(want, got, compareNetip); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	back, err := c.SetNAT("default", map[string]string{"profile": "rfc", "external-interface": "any", "max-rate": "0"})
	if err != nil || back.Timeouts.UDP != 300 || back.UDPInboundRefresh || back.HoldDown != 120 || len(back.ExternalInterfaces) != 0 ||
		back.Limits.Rate != 0 || back.Pooling != model.Arbitrary {
		t.Errorf("back to the profile: %+v, %v", back, err)
	}
}

func TestSetNATRefuses(t *testing.T) {
	t.Parallel()
	tests := []struct {
		key, value string
		mentions   string
	}{
		{"colour", "red", "tcp-established-timeout"},
		{"udp-timeout", "0", "out of range"},
		{"udp-timeout", "-5s", "out of range"},
		{"udp-timeout", "721h", "out of range"},
		{"udp-timeout", "1500ms", "whole number"},
		{"udp-timeout", "soon", "soon"},
		{"udp-timeout", "99999999999999999999", "udp-timeout"},
		{"udp-timeout", "", "duration"},
		{"filtering", "strict", "address-dependent"},
		{"udp-inbound-refresh", "maybe", "true or false"},
		{"profile", "linux", "winnat"},
		{"pooling", "random", `pooling "random" is not known; use paired or arbitrary`},
		{"exhaustion", "", `exhaustion "" is not known; use prohibited, unreachable or silent`},
		{"endpoint-dependent", "perhaps", "true or false"},
		{"mss-clamp", "1400", "true or false"},
		{"hold-down", "3601", "hold-down: 3601 is out of range; use 0 to 3600 seconds"},
		{"hold-down", "-1", `"-1" is not a number of seconds`},
		{"max-sessions", "-1", `max-sessions: "-1" is not a number from 0 to 4294967295; 0 is no limit`},
		{"max-ports", "4294967296", "not a number"},
		{"max-rate", "10/s", "not a number"},
		{"external-interface", "", "external interface"},
		{"external-interface", "eth0,", "external interface"},
		{"external-interface", "hostnat0", "one of hostnat's own links"},
		{"external-interface", "eth0,hv-c9", "one of hostnat's own links"},
		{"external-interface", "lo", "loopback"},
		{"external-interface", "eth0,hn-web", `external interface hn-web is the bridge of network "web"`},
	}
	for _, tt := range tests {
		t.Run(tt.key+"="+tt.value, func(t *testing.T) {
			t.Parallel()
			c := testConfig(t)
			before := c.Clone()
			_, err := c.SetNAT("default", map[string]string{"icmp-timeout": "5", tt.key: tt.value})
			code := model.Invalid
			if strings.Contains(tt.value, "hn-") {
				code = model.Conflict
			}
			refused(t, err, code, tt.mentions)
			unchanged(t, before, c)
		})
	}
	c := testConfig(t)
	_, err := c.SetNAT("nope", map[string]string{"profile": "rfc"})
	refused(t, err, model.NotFound, "nope")
	_, err = c.SetNAT("default", nil)
	refused(t, err, model.Invalid, "KEY=VALUE")
}

func TestAddNATRefuses(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name     string
		spec     NATSpec
		code     model.Code
		mentions string
	}{
		{"exists", NATSpec{Name: "office"}, model.Conflict, "office"},
		{"bad name", NATSpec{Name: "a b"}, model.Invalid, "' '"},
		{"bad profile", NATSpec{Name: "n", Profile: "x"}, model.Invalid, "winnat"},
		{"bad interface", NATSpec{Name: "n", ExternalInterfaces: []string{"a/b"}}, model.Invalid, "a/b"},
		{"our bridge", NATSpec{Name: "n", ExternalInterfaces: []string{"hn-web"}}, model.Conflict, "web"},
		{"bad address", NATSpec{Name: "n", ExternalAddresses: []string{"fd00::1"}}, model.Invalid, "IPv6"},
		{"inside address", NATSpec{Name: "n", ExternalAddresses: []string{"172.16.1.7"}}, model.Conflict, "web"},
		{"address twice", NATSpec{Name: "n", ExternalAddresses: []string{"192.0.2.1:1-1024", "192.0.2.1"}}, model.Conflict, "1-1024"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c := testConfig(t)
			before := c.Clone()
			_, err := c.AddNAT(tt.spec)
			refused(t, err, tt.code, tt.mentions)
			unchanged(t, before, c)
		})
	}
}

func TestDeleteNAT(t *testing.T) {
	t.Parallel()
	c := testConfig(t)
	refused(t, c.DeleteNAT("nope"), model.NotFound, "nope")
	refused(t, c.DeleteNAT("default"), model.Conflict, "default")
	refused(t, c.DeleteNAT("office"), model.Conflict, `network "lab"`)
	if err := c.DeleteNetwork("lab", true); err != nil {
		t.Fatal(err)
	}
	if err := c.DeleteNAT("office"); err != nil {
		t.Fatal(err)
	}
}

func TestExternalAddresses(t *testing.T) {
	t.Parallel()
	c := testConfig(t)
	before := c.Clone()
	got, err := c.AddAddress("office", "192.0.2.1")
	want := model.ExternalAddress{Address: netip.MustParseAddr("192.0.2.1"), Ports: model.PortRange{Low: 1024, High: 65535}}
	if err != nil || got != want {
		t.Fatalf("got %v, %v, want %v", got, err, want)
	}
	must(t)(c.AddAddress("office", "192.0.2.1:1024-65535"))
	must(t)(c.AddAddress("office", "192.0.2.2:2000-2999"))
	for _, bad := range []string{"192.0.2.3:0-9", "192.0.2.3:9-1", "192.0.2.3:80abc", "192.0.2.3:1-65536", "192.0.2.3/24", "0.0.0.0", "127.0.0.1", "224.0.0.1", "255.255.255.255", "::1", "", ":1-2"} {
		_, err := c.AddAddress("office", bad)
		refused(t, err, model.Invalid)
	}
	_, err = c.AddAddress("nope", "192.0.2.1")
	refused(t, err, model.NotFound, "nope")
	refused(t, c.RemoveAddress("office", "192.0.2.9"), model.NotFound, "192.0.2.9")
	refused(t, c.RemoveAddress("office", "rubbish"), model.Invalid, "rubbish")
	for _, a := range []string{"192.0.2.1", "192.0.2.2"} {
		if err := c.RemoveAddress("office", a); err != nil {
			t.Fatal(err)
		}
	}
	unchanged(t, before, c)
}

func TestCloneSharesNothing(t *testing.T) {
	t.Parallel()
	c := testConfig(t)
	must(t)(c.AddAddress("default", "192.0.2.1"))
	must(t)(c.AddMapping(MappingSpec{Protocol: "udp", External: "53", Internal: "c1:53", From: []string{"10.0.0.0/8"}}, noPort))
	before := c.Clone()
	d := c.Clone()
	d.NATs[0].ExternalAddresses[0].Ports.Low = 7
	d.NATs[1].ExternalInterfaces[0] = "x"
	d.Networks[0].Name, d.Endpoints[0].Name, d.Compartments[0].Name = "x", "x", "x"
	d.Mappings[1].From[0] = netip.MustParsePrefix("1.0.0.0/8")
	unchanged(t, before, c)
}

func TestRangesOfAnAddress(t *testing.T) {
	t.Parallel()
	c := testConfig(t)
	for _, r := range []string{"2000-2009", "2010-2019", "2030-2039", "1000-1009"} {
		must(t)(c.AddAddress("office", "192.0.2.1:"+r))
	}
	for text, want := range map[string]string{
		"192.0.2.1":           `NAT "office" has 192.0.2.1 with ports 2000-2009 already; remove it first, or give ports beside these`,
		"192.0.2.1:2005":      "2000-2009",
		"192.0.2.1:1999-2000": "2000-2009",
		"192.0.2.1:2019-2030": "2010-2019",
		"192.0.2.1:5000-5009": `NAT "office" has 4 port ranges on 192.0.2.1 already; remove one first`,
	} {
		_, err := c.AddAddress("office", text)
		refused(t, err, model.Conflict, want)
	}
	refused(t, c.RemoveAddress("office", "192.0.2.1:2000-2019"), model.NotFound, "192.0.2.1:2000-2019")
	if err := c.RemoveAddress("office", "192.0.2.1:2010-2019"); err != nil {
		t.Fatal(err)
	}
	must(t)(c.AddAddress("office", "192.0.2.1:2010-2018"))
	c.MarkAdded("office", netip.MustParseAddr("192.0.2.1"))
	for i := 2; i <= 8; i++ {
		must(t)(c.AddAddress("office", fmt.Sprintf("192.0.2.%d", i)))
	}
	_, err := c.AddAddress("office", "192.0.2.9")
	refused(t, err, model.Conflict, `NAT "office" has 8 external addresses already`)
	n, err := c.NAT("office")
	for _, a := range n.ExternalAddresses {
		if err != nil || a.Added != (a.Address == netip.MustParseAddr("192.0.2.1")) {
			t.Errorf("%+v, %v", a, err)
		}
	}
	if err := c.RemoveAddress("office", "192.0.2.1"); err != nil {
		t.Fatal(err)
	}
	if n, _ := c.NAT("office"); len(n.ExternalAddresses) != 7 {
		t.Errorf("left: %v", n.ExternalAddresses)
	}
}
