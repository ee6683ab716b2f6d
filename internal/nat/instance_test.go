package nat

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestNewConfigHasDefaults(t *testing.T) {
	t.Parallel()
	c := NewConfig()
	want := NAT{
		Name: "default", ID: 1, Profile: ProfileRFC, ExternalInterfaces: []string{}, ExternalAddresses: []ExternalAddress{},
		Timeouts:     Timeouts{UDP: 300, TCPEstablished: 7440, TCPTransitory: 240, ICMP: 60},
		TCPFiltering: AddressDependent, UDPFiltering: AddressDependent,
	}
	if diff := cmp.Diff([]NAT{want}, c.NATs, compareNetip); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestSetNAT(t *testing.T) {
	t.Parallel()
	c := testConfig(t)
	got, err := c.SetNAT("default", map[string]string{
		"profile": "winnat", "udp-timeout": "2s", "tcp-established-timeout": "3600", "tcp-transitory-timeout": "5m", "icmp-timeout": "720h",
		"filtering": "endpoint-independent", "udp-filtering": "address-and-port-dependent", "udp-inbound-refresh": "true",
	})
	if err != nil {
		t.Fatal(err)
	}
	want := NAT{
		Name: "default", ID: 1, Profile: ProfileWinNAT, ExternalInterfaces: []string{}, ExternalAddresses: []ExternalAddress{},
		Timeouts:     Timeouts{UDP: 2, TCPEstablished: 3600, TCPTransitory: 300, ICMP: 2592000},
		TCPFiltering: EndpointIndependent, UDPFiltering: AddressAndPortDependent, UDPInboundRefresh: true,
	}
	if diff := cmp.Diff(want, got, compareNetip); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	back, err := c.SetNAT("default", map[string]string{"profile": "rfc"})
	if err != nil || back.Timeouts.UDP != 300 || back.UDPInboundRefresh {
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
	}
	for _, tt := range tests {
		t.Run(tt.key+"="+tt.value, func(t *testing.T) {
			t.Parallel()
			c := testConfig(t)
			before := c.Clone()
			_, err := c.SetNAT("default", map[string]string{"icmp-timeout": "5", tt.key: tt.value})
			refused(t, err, Invalid, tt.mentions)
			unchanged(t, before, c)
		})
	}
	c := testConfig(t)
	_, err := c.SetNAT("nope", map[string]string{"profile": "rfc"})
	refused(t, err, NotFound, "nope")
	_, err = c.SetNAT("default", nil)
	refused(t, err, Invalid, "KEY=VALUE")
}

func TestAddNATRefuses(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name     string
		spec     NATSpec
		code     Code
		mentions string
	}{
		{"exists", NATSpec{Name: "office"}, Conflict, "office"},
		{"bad name", NATSpec{Name: "a b"}, Invalid, "' '"},
		{"bad profile", NATSpec{Name: "n", Profile: "x"}, Invalid, "winnat"},
		{"bad interface", NATSpec{Name: "n", ExternalInterfaces: []string{"a/b"}}, Invalid, "a/b"},
		{"our bridge", NATSpec{Name: "n", ExternalInterfaces: []string{"hn-web"}}, Conflict, "web"},
		{"bad address", NATSpec{Name: "n", ExternalAddresses: []string{"fd00::1"}}, Invalid, "IPv6"},
		{"inside address", NATSpec{Name: "n", ExternalAddresses: []string{"172.16.1.7"}}, Conflict, "web"},
		{"address twice", NATSpec{Name: "n", ExternalAddresses: []string{"192.0.2.1:1-9", "192.0.2.1"}}, Conflict, "1-9"},
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
	refused(t, c.DeleteNAT("nope"), NotFound, "nope")
	refused(t, c.DeleteNAT("default"), Conflict, "default")
	refused(t, c.DeleteNAT("office"), Conflict, `network "lab"`)
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
	want := ExternalAddress{netip.MustParseAddr("192.0.2.1"), PortRange{1024, 65535}}
	if err != nil || got != want {
		t.Fatalf("got %v, %v, want %v", got, err, want)
	}
	must(t)(c.AddAddress("office", "192.0.2.1:1024-65535"))
	must(t)(c.AddAddress("office", "192.0.2.2:2000-2999"))
	for _, bad := range []string{"192.0.2.3:0-9", "192.0.2.3:9-1", "192.0.2.3:80abc", "192.0.2.3:1-65536", "192.0.2.3/24", "0.0.0.0", "127.0.0.1", "224.0.0.1", "255.255.255.255", "::1", "", ":1-2"} {
		_, err := c.AddAddress("office", bad)
		refused(t, err, Invalid)
	}
	_, err = c.AddAddress("nope", "192.0.2.1")
	refused(t, err, NotFound, "nope")
	refused(t, c.RemoveAddress("office", "192.0.2.9"), NotFound, "192.0.2.9")
	refused(t, c.RemoveAddress("office", "rubbish"), Invalid, "rubbish")
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
