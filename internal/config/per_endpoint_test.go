package config

import (
	"net/netip"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/hostnat/hostnat/internal/model"
)

// privateConfig is testConfig with snap, which has web's subnet: e1 and e2 with
// all that is given by itself, and e3 with an address and a MAC of its own.
func privateConfig(t *testing.T) Config {
	t.Helper()
	c := testConfig(t)
	must(t)(c.AddNetwork(NetworkSpec{Name: "snap", Subnet: "172.16.1.0/24", Compartment: model.EachCompartment}, hostFacts(), noSubnet))
	must(t)(c.AddEndpoint(EndpointSpec{Network: "snap", Name: "e1", Netns: "e1"}, hostFacts(), lowest))
	must(t)(c.AddEndpoint(EndpointSpec{Network: "snap", Name: "e2", TAP: "tap7"}, hostFacts(), lowest))
	must(t)(c.AddEndpoint(EndpointSpec{Network: "snap", Name: "e3", Netns: "e3", Address: "172.16.1.9", MAC: "02:00:00:00:00:09"}, hostFacts(), lowest))
	return c
}

func endpointOf(t *testing.T, c Config, name string) model.Endpoint {
	t.Helper()
	e, err := c.Endpoint(name)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func TestPrivateNetwork(t *testing.T) {
	t.Parallel()
	c := privateConfig(t)
	n, err := c.Network("snap")
	if err != nil || !n.PerEndpoint() || !n.Unrouted() || n.Bridge != "" || n.Isolation != model.IsolatedEndpoints || n.DomainName() != "snap.internal" {
		t.Fatalf("%+v, %v", n, err)
	}
	if id := c.CompartmentID(model.EachCompartment); id != 0 {
		t.Errorf("there is a compartment %q, id %d: nobody is in it", model.EachCompartment, id)
	}
	// Two of them may have the same prefix too.
	must(t)(c.AddNetwork(NetworkSpec{Name: "snap2", Subnet: "172.16.1.0/25", Compartment: model.EachCompartment}, hostFacts(), noSubnet))
	e1, e2, e3 := endpointOf(t, c, "e1"), endpointOf(t, c, "e2"), endpointOf(t, c, "e3")
	first := netip.MustParseAddr("172.16.1.2")
	if e1.Address4() != first || e2.Address4() != first || e1.MAC != e2.MAC {
		t.Errorf("clones differ: %+v, %+v", e1, e2)
	}
	if e3.Address4() != netip.MustParseAddr("172.16.1.9") || e3.MAC != "02:00:00:00:00:09" {
		t.Errorf("e3: %+v", e3)
	}
}

// A network that somebody put into a compartment of that name, when it had no
// meaning, is what it was.
func TestOldCompartmentEach(t *testing.T) {
	t.Parallel()
	old := model.Network{Name: "old", ID: 9, Type: model.TypeOf(model.EachCompartment, "hn-old", "default"), Compartment: model.EachCompartment, Bridge: "hn-old", Subnets: []netip.Prefix{netip.MustParsePrefix("172.16.1.0/24")}}
	c := NewConfig()
	c.Networks = append(c.Networks, old)
	if diff := cmp.Diff(c, c.Unfolded(), compareNetip); diff != "" || old.PerEndpoint() {
		t.Errorf("it was changed (-want +got):\n%s", diff)
	}
}

func TestUnfolded(t *testing.T) {
	t.Parallel()
	c := privateConfig(t)
	must(t)(c.AddMapping(MappingSpec{Protocol: "tcp", External: "9002", Internal: "e2:80"}, noPort))
	before := c.Clone()
	u := c.Unfolded()
	unchanged(t, before, c)

	snap, _ := c.Network("snap")
	e2 := endpointOf(t, c, "e2")
	want := model.Network{
		Name: "snap/e2", Type: model.TypePointToPoint, ID: e2.ID, NAT: model.DefaultNAT, Compartment: "snap/e2", Subnets: []netip.Prefix{snap.Subnet4()}, Gateways: []netip.Addr{snap.Gateway4()},
		Bridge: "tap7", Isolation: model.IsolatedEndpoints, Domain: "snap.internal", PartOf: snap.ID,
	}
	link, err := u.Network("snap/e2")
	if diff := cmp.Diff(want, link, compareNetip); diff != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	if !link.IsPointToPoint() || link.PerEndpoint() || !link.Unrouted() || link.OwnDomain() != "snap.internal" {
		t.Errorf("point-to-point link %+v", link)
	}
	if _, err := u.Network("snap"); model.CodeOf(err) != model.NotFound {
		t.Errorf("the per-endpoint network itself is there: %v", err)
	}
	if got := u.CompartmentID("snap/e2"); got != e2.ID {
		t.Errorf("compartment %d, want the endpoint's id %d", got, e2.ID)
	}
	if got := endpointOf(t, u, "e2"); got.Network != "snap/e2" {
		t.Errorf("e2 is in %q", got.Network)
	}
	if got := u.Mappings[len(u.Mappings)-1].Targets[0]; got.Network != "snap/e2" || got.Internal != ports("172.16.1.2:80") {
		t.Errorf("the mapping leads to %+v", got)
	}
	ids := map[uint32]bool{}
	for _, n := range u.Networks {
		if ids[n.ID] {
			t.Errorf("two networks have id %d", n.ID)
		}
		ids[n.ID] = true
	}
	if diff := cmp.Diff(u, u.Unfolded(), compareNetip); diff != "" {
		t.Errorf("twice is not once:\n%s", diff)
	}
}

func TestPrivateRefuses(t *testing.T) {
	t.Parallel()
	network := func(s NetworkSpec) func(*Config) error {
		s.Name, s.Compartment = "n", model.EachCompartment
		return func(c *Config) error { _, err := c.AddNetwork(s, hostFacts(), noSubnet); return err }
	}
	mapping := func(protocol, external, internal string) func(*Config) error {
		return func(c *Config) error {
			_, err := c.AddMapping(MappingSpec{Protocol: protocol, External: external, Internal: internal, Network: "snap"}, noPort)
			return err
		}
	}
	set := func(key, value string) func(*Config) error {
		return func(c *Config) error { _, err := c.SetNetwork("snap", map[string]string{key: value}); return err }
	}
	tests := []struct {
		name     string
		change   func(*Config) error
		code     model.Code
		mentions []string
	}{
		{"a bridge", network(NetworkSpec{Subnet: "172.16.9.0/24", Bridge: "br7"}), model.Invalid, []string{"no bridge", "--bridge"}},
		{"a bridge to adopt", network(NetworkSpec{Subnet: "172.16.9.0/24", Bridge: "docker0", Adopt: true}), model.Invalid, []string{"no bridge"}},
		{"isolation off", network(NetworkSpec{Subnet: "172.16.9.0/24", Isolation: "off"}), model.Conflict, []string{"isolation", "compartment each"}},
		{"isolation set off", set("isolation", "off"), model.Conflict, []string{`"snap"`}},
		{"isolation set on", set("isolation", "on"), model.Conflict, []string{`"snap"`}},
		{"port-security set off", set("port-security", "off"), model.Conflict, []string{`"snap"`, "no switch"}},
		{"mapping to an address", mapping("tcp", "9001", "172.16.1.2:80"), model.Conflict, []string{"172.16.1.2", `"snap"`, "name the endpoint"}},
		{"whole address to an address", mapping("any", "192.168.7.5", "172.16.1.2"), model.Conflict, []string{"172.16.1.2", "name the endpoint"}},
		{"mapping to two endpoints", mapping("tcp", "9001", "e1:80,e3:80"), model.Conflict, []string{"e1:80", "e3:80", "per-endpoint"}},
		{"mapping to two of the same address", mapping("tcp", "9001", "e1:80,e2:80"), model.Conflict, []string{"per-endpoint"}},
		{"reservation", func(c *Config) error {
			_, err := c.AddReservation(ReservationSpec{Network: "snap", Name: "e1", Address: "172.16.1.7"}, model.HostFacts{})
			return err
		}, model.Conflict, []string{`"snap"`, "--address"}},
		{"the gateway's address", func(c *Config) error {
			_, err := c.AddEndpoint(EndpointSpec{Network: "snap", Name: "e9", Netns: "e9", Address: "172.16.1.1"}, hostFacts(), lowest)
			return err
		}, model.Conflict, []string{"gateway"}},
		{"a link that is taken", func(c *Config) error {
			_, err := c.AddEndpoint(EndpointSpec{Network: "snap", Name: "e9", TAP: "tap7"}, hostFacts(), lowest)
			return err
		}, model.Conflict, []string{"tap7", `"e2"`}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c := privateConfig(t)
			before := c.Clone()
			refused(t, tt.change(&c), tt.code, tt.mentions...)
			unchanged(t, before, c)
		})
	}
}

// An endpoint that comes back has what it had, whatever the others do.
func TestPrivateEndpointComesBack(t *testing.T) {
	t.Parallel()
	c := privateConfig(t)
	must(t)(c.AddMapping(MappingSpec{Protocol: "tcp", External: "9003", Internal: "e3:80"}, noPort))
	e1, e3 := endpointOf(t, c, "e1"), endpointOf(t, c, "e3")
	for _, name := range []string{"e1", "e3"} {
		if err := c.DetachEndpoint(name); err != nil {
			t.Fatal(err)
		}
	}
	if u := c.Effective().Unfolded(); slices.ContainsFunc(u.Mappings, func(m model.Mapping) bool { return m.Targets[0].Endpoint == "e3" }) {
		t.Error("the mapping of a detached endpoint is in force")
	}
	must(t)(c.AddEndpoint(EndpointSpec{Network: "snap", Name: "e4", Netns: "e4", Address: "172.16.1.9"}, hostFacts(), lowest)) // e3's address
	for _, was := range []model.Endpoint{e1, e3} {
		got, err := c.AddEndpoint(EndpointSpec{Network: "snap", Name: was.Name, Netns: was.Target}, hostFacts(), lowest)
		if err != nil || got.Address4() != was.Address4() || got.MAC != was.MAC || got.ID == was.ID {
			t.Errorf("%+v comes back as %+v, %v", was, got, err)
		}
	}
	if m := c.Mappings[len(c.Mappings)-1]; m.Targets[0].Internal != ports("172.16.1.9:80") {
		t.Errorf("mapping %v", m)
	}
}

func TestPrivateOneToOneAddresses(t *testing.T) {
	t.Parallel()
	c := privateConfig(t)
	must(t)(c.AddMapping(MappingSpec{Protocol: "any", External: "192.168.7.5", Internal: "e1"}, noPort))
	must(t)(c.AddMapping(MappingSpec{Protocol: "any", External: "192.168.7.6", Internal: "e2"}, noPort))
	_, err := c.AddMapping(MappingSpec{Protocol: "any", External: "192.168.7.7", Internal: "e1"}, noPort)
	refused(t, err, model.Conflict, "192.168.7.5")
}

func TestRenumberPrivateNetwork(t *testing.T) {
	t.Parallel()
	c := privateConfig(t)
	must(t)(c.AddMapping(MappingSpec{Protocol: "tcp", External: "9001", Internal: "e1:80"}, noPort))
	must(t)(c.AddMapping(MappingSpec{Protocol: "tcp", External: "9003", Internal: "e3:80"}, noPort))
	mac := endpointOf(t, c, "e1").MAC
	must(t)(c.RenumberNetwork("snap", "10.9.0.0/29", hostFacts(), noSubnet, lowest)) // e3 has no place there
	second := netip.MustParseAddr("10.9.0.2")
	for _, name := range []string{"e1", "e2"} {
		if e := endpointOf(t, c, name); e.Address4() != second || e.MAC != mac {
			t.Errorf("%s: %+v", name, e)
		}
	}
	e3 := endpointOf(t, c, "e3")
	if !netip.MustParsePrefix("10.9.0.0/29").Contains(e3.Address4()) {
		t.Errorf("e3: %+v", e3)
	}
	for _, m := range c.Mappings[len(c.Mappings)-2:] {
		if e := endpointOf(t, c, m.Targets[0].Endpoint); m.Targets[0].Internal.Address != e.Address4() {
			t.Errorf("mapping %v, and %s has %s", m, e.Name, e.Address4())
		}
	}
}

// A connection under the client's address is bound to no link, and could end at
// any clone.
func TestNoTransparentProxyToClones(t *testing.T) {
	t.Parallel()
	c := privateConfig(t)
	must(t)(c.AddNetwork(NetworkSpec{Name: "alone", Subnet: "172.20.1.0/24", Compartment: model.EachCompartment}, hostFacts(), noSubnet))
	must(t)(c.AddEndpoint(EndpointSpec{Network: "alone", Name: "e4", Netns: "e4"}, hostFacts(), lowest))
	c.Proxies = []model.Proxy{{Kind: model.ByName, Transparent: true, Routes: []model.ProxyRoute{{Connect: model.HostPorts{Host: "e4"}}, {Connect: model.HostPorts{Host: "v1"}}}}}
	u := c.Unfolded()
	sight := NewClientSight(u)
	client, dialled := netip.MustParseAddr("203.0.113.9"), netip.MustParseAddr("192.168.7.5")
	if server := endpointOf(t, u, "e4").Address4(); sight.Shows(client, dialled, server) {
		t.Errorf("%s is shown the client", server)
	}
	if server := endpointOf(t, u, "v1").Address4(); !sight.Shows(client, dialled, server) {
		t.Errorf("%s is not shown the client, and is in a network with a bridge", server)
	}
	networks := u.TransparentNetworks()
	if len(networks) != 1 || networks[0].Name != "lab" {
		t.Errorf("transparent networks %+v", networks)
	}
}
