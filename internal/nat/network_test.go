package nat

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestAddNetwork(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		spec NetworkSpec
		want Network
	}{
		{"defaults", NetworkSpec{Name: "n", Subnet: "172.20.0.0/24"}, Network{
			Name: "n", NAT: "default", Compartment: "default", Bridge: "hn-n",
			Subnet: netip.MustParsePrefix("172.20.0.0/24"), Gateway: netip.MustParseAddr("172.20.0.1")}},
		{"all given", NetworkSpec{Name: "n", Subnet: "172.20.0.0/30", Gateway: "172.20.0.2", Bridge: "br9", Compartment: "blue", NAT: "office"}, Network{
			Name: "n", NAT: "office", Compartment: "blue", Bridge: "br9",
			Subnet: netip.MustParsePrefix("172.20.0.0/30"), Gateway: netip.MustParseAddr("172.20.0.2")}},
		{"adopted bridge with its own prefix", NetworkSpec{Name: "n", Subnet: "172.17.0.0/16", Bridge: "docker0", Adopt: true}, Network{
			Name: "n", NAT: "default", Compartment: "default", Bridge: "docker0", Adopted: true,
			Subnet: netip.MustParsePrefix("172.17.0.0/16"), Gateway: netip.MustParseAddr("172.17.0.1")}},
		{"overlap in another compartment", NetworkSpec{Name: "n", Subnet: "172.16.0.0/22", Compartment: "red"}, Network{
			Name: "n", NAT: "default", Compartment: "red", Bridge: "hn-n",
			Subnet: netip.MustParsePrefix("172.16.0.0/22"), Gateway: netip.MustParseAddr("172.16.0.1")}},
		{"free subnet", NetworkSpec{Name: "n"}, Network{
			Name: "n", NAT: "default", Compartment: "default", Bridge: "hn-n",
			Subnet: netip.MustParsePrefix("172.31.9.0/24"), Gateway: netip.MustParseAddr("172.31.9.1")}},
	}
	choose := func(HostFacts, []Network) (netip.Prefix, error) { return netip.MustParsePrefix("172.31.9.0/24"), nil }
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
	long := strings.Repeat("n", 64)
	tests := []struct {
		name     string
		spec     NetworkSpec
		code     Code
		mentions []string
	}{
		{"host bits", NetworkSpec{Subnet: "172.20.0.5/24"}, Invalid, []string{"host bits", "172.20.0.0/24"}},
		{"/0", NetworkSpec{Subnet: "0.0.0.0/0"}, Invalid, []string{"0.0.0.0/0"}},
		{"/0 with host bits", NetworkSpec{Subnet: "10.0.0.0/0"}, Invalid, []string{"10.0.0.0/0"}},
		{"/31", NetworkSpec{Subnet: "172.20.0.0/31"}, Invalid, []string{"/31", "/30"}},
		{"/32", NetworkSpec{Subnet: "172.20.0.1/32"}, Invalid, []string{"/32", "/30"}},
		{"/33", NetworkSpec{Subnet: "172.20.0.0/33"}, Invalid, []string{"prefix length"}},
		{"no length", NetworkSpec{Subnet: "172.20.0.0"}, Invalid, []string{"prefix length"}},
		{"octal", NetworkSpec{Subnet: "172.016.1.0/24"}, Invalid, []string{"leading zero", "172.16.1.0"}},
		{"IPv6", NetworkSpec{Subnet: "fd00::/64"}, Invalid, []string{"IPv6"}},
		{"mapped IPv6", NetworkSpec{Subnet: "::ffff:172.20.0.0/120"}, Invalid, []string{"IPv6"}},
		{"rubbish", NetworkSpec{Subnet: "rubbish/24"}, Invalid, []string{"rubbish"}},
		{"multicast", NetworkSpec{Subnet: "224.1.0.0/16"}, Invalid, []string{"multicast"}},
		{"loopback", NetworkSpec{Subnet: "127.5.0.0/16"}, Invalid, []string{"loopback"}},
		{"overlaps a network", NetworkSpec{Subnet: "172.16.0.0/22"}, Conflict, []string{`"web"`, "172.16.1.0/24"}},
		{"overlaps a network of its compartment", NetworkSpec{Subnet: "172.16.1.128/25", Compartment: "blue"}, Conflict, []string{`"blue"`}},
		{"overlaps an address", NetworkSpec{Subnet: "192.168.0.0/16"}, Conflict, []string{"192.168.7.0/24", "address of eth0"}},
		{"overlaps a route", NetworkSpec{Subnet: "10.8.3.0/24"}, Conflict, []string{"10.8.0.0/16", "route via eth1"}},
		{"gateway outside", NetworkSpec{Subnet: "172.20.0.0/24", Gateway: "172.20.1.1"}, Invalid, []string{"172.20.1.1", "172.20.0.0/24"}},
		{"gateway is network", NetworkSpec{Subnet: "172.20.0.0/24", Gateway: "172.20.0.0"}, Invalid, []string{"network address"}},
		{"gateway is broadcast", NetworkSpec{Subnet: "172.20.0.0/24", Gateway: "172.20.0.255"}, Invalid, []string{"broadcast"}},
		{"gateway octal", NetworkSpec{Subnet: "172.20.0.0/24", Gateway: "172.20.0.01"}, Invalid, []string{"leading zero", "172.20.0.1"}},
		{"gateway without subnet", NetworkSpec{Gateway: "172.20.0.1"}, Invalid, []string{"--subnet"}},
		{"name exists", NetworkSpec{Name: "web", Subnet: "172.20.0.0/24"}, Conflict, []string{`"web"`, "exists"}},
		{"name with slash", NetworkSpec{Name: "a/b"}, Invalid, []string{"'/'"}},
		{"name with control character", NetworkSpec{Name: "a\nb"}, Invalid, []string{`'\n'`}},
		{"name with space", NetworkSpec{Name: "a b"}, Invalid, []string{"' '"}},
		{"name too long", NetworkSpec{Name: long}, Invalid, []string{"63"}},
		{"name starts with dash", NetworkSpec{Name: "-a"}, Invalid, []string{"'-'"}},
		{"name starts with dot", NetworkSpec{Name: ".a"}, Invalid, []string{"'.'"}},
		{"name is an address", NetworkSpec{Name: "10.0.0.1"}, Invalid, []string{"address"}},
		{"bad compartment", NetworkSpec{Compartment: "a/b"}, Invalid, []string{"compartment"}},
		{"unknown NAT", NetworkSpec{NAT: "nope", Subnet: "172.20.0.0/24"}, NotFound, []string{`NAT "nope"`}},
		{"adopt nothing", NetworkSpec{Adopt: true, Subnet: "172.20.0.0/24"}, Invalid, []string{"--bridge"}},
		{"adopt what is not there", NetworkSpec{Adopt: true, Bridge: "br7", Subnet: "172.20.0.0/24"}, NotFound, []string{"br7"}},
		{"adopt the way out", NetworkSpec{Adopt: true, Bridge: "eth0", Subnet: "172.20.0.0/24"}, Conflict, []string{"eth0"}},
		{"bridge exists", NetworkSpec{Bridge: "docker0", Subnet: "172.20.0.0/24"}, Conflict, []string{"docker0", "--adopt"}},
		{"bridge of another", NetworkSpec{Bridge: "hn-web", Subnet: "172.20.0.0/24"}, Conflict, []string{`network "web"`}},
		{"bridge is a port", NetworkSpec{Bridge: "tap0", Adopt: true, Subnet: "172.20.0.0/24"}, Conflict, []string{`endpoint "v1"`}},
		{"bridge name too long", NetworkSpec{Bridge: "abcdefghijklmnop", Subnet: "172.20.0.0/24"}, Invalid, []string{"15"}},
		{"none free", NetworkSpec{}, Exhausted, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c := testConfig(t)
			before := c.Clone()
			if tt.spec.Name == "" {
				tt.spec.Name = "n"
			}
			choose := func(HostFacts, []Network) (netip.Prefix, error) {
				return netip.Prefix{}, Errorf(Exhausted, "none").WithHint("x")
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
	refused(t, c.DeleteNetwork("nope", false), NotFound, `network "nope"`)
	refused(t, c.DeleteNetwork("web", false), Conflict, `endpoint "c1"`, "--force")
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
	if c.CompartmentID("blue") != 0 || c.CompartmentID(DefaultCompartment) == 0 {
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
