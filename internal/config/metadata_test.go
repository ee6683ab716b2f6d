package config

import (
	"maps"
	"testing"

	"github.com/hostnat/hostnat/internal/model"
)

// Everything that is made keeps its labels and owner; asked for again, it is the
// same thing to its owner and to who asks for neither, and to nobody else.
func TestMetadataIsKept(t *testing.T) {
	t.Parallel()
	labels := map[string]string{"com.example/part": "front"}
	makers := map[string]func(c *Config, labels map[string]string, owner string) (model.Metadata, error){
		"endpoint": func(c *Config, labels map[string]string, owner string) (model.Metadata, error) {
			e, err := c.AddEndpoint(EndpointSpec{Network: "web", Name: "c9", Netns: "c9", Labels: labels, Owner: owner}, hostFacts(), lowest)
			return e.Metadata, err
		},
		"mapping": func(c *Config, labels map[string]string, owner string) (model.Metadata, error) {
			m, err := c.AddMapping(MappingSpec{Protocol: "tcp", External: "99", Internal: "172.16.1.9:99", Labels: labels, Owner: owner}, noPort)
			return m.Metadata, err
		},
		"proxy": func(c *Config, labels map[string]string, owner string) (model.Metadata, error) {
			p, err := c.AddProxy(ProxySpec{Kind: "v4tov6", Listen: "8099", Connect: "[2001:db8::1]:80", Labels: labels, Owner: owner}, Locate{})
			return p.Metadata, err
		},
		"reservation": func(c *Config, labels map[string]string, owner string) (model.Metadata, error) {
			r, err := c.AddReservation(ReservationSpec{Network: "web", Name: "x", Address: "172.16.1.99", Labels: labels, Owner: owner}, hostFacts())
			return r.Metadata, err
		},
	}
	for name, make := range makers {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := fixtureConfig(t)
			for _, owner := range []string{"docker", ""} {
				asked := labels
				if owner == "" {
					asked = nil
				}
				got, err := make(&c, asked, owner)
				if err != nil || got.Owner != "docker" || !maps.Equal(got.Labels, labels) {
					t.Errorf("asked by %q: %v, %v", owner, got, err)
				}
			}
			if _, err := make(&c, nil, "cni"); model.CodeOf(err) != model.Conflict {
				t.Errorf("another owner: %v", err)
			}
			if _, err := make(&c, map[string]string{"a": "b"}, "docker"); model.CodeOf(err) != model.Conflict {
				t.Errorf("other labels: %v", err)
			}
			if _, err := make(&c, nil, "a b"); model.CodeOf(err) != model.Invalid {
				t.Errorf("an owner that is no name: %v", err)
			}
		})
	}
	c := fixtureConfig(t)
	n, err := c.AddNAT(NATSpec{Name: "n", Labels: labels, Owner: "docker"})
	if err != nil || n.Owner != "docker" {
		t.Errorf("NAT: %v, %v", n, err)
	}
	network, err := c.AddNetwork(NetworkSpec{Name: "lab", Subnet: "10.99.0.0/24", Labels: labels, Owner: "docker"}, hostFacts(), noSubnet)
	if err != nil || network.Owner != "docker" {
		t.Errorf("network: %v, %v", network, err)
	}
}

func TestNetworkTypes(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		kind, nat, compartment string
		want                   model.NetworkType // empty: refused
	}{
		{"", "", "", model.TypeNAT},
		{"", "none", "", model.TypeInternal},
		{"", "", "each", model.TypePerEndpoint},
		{"", "none", "each", model.TypePerEndpoint},
		{"nat", "", "blue", model.TypeNAT},
		{"nat", "none", "", ""},
		{"nat", "", "each", ""},
		{"internal", "", "", model.TypeInternal},
		{"internal", "none", "", model.TypeInternal},
		{"internal", "default", "", ""},
		{"internal", "", "each", ""},
		{"per-endpoint", "", "", model.TypePerEndpoint},
		{"per-endpoint", "none", "each", model.TypePerEndpoint},
		{"per-endpoint", "", "blue", ""},
		{"point-to-point", "", "", ""},
		{"NAT", "", "", ""},
	} {
		c := NewConfig()
		n, err := c.AddNetwork(NetworkSpec{Name: "n", Type: tt.kind, NAT: tt.nat, Compartment: tt.compartment, Subnet: "172.16.1.0/24"}, hostFacts(), noSubnet)
		if n.Type != tt.want || (tt.want == "") != (model.CodeOf(err) == model.Invalid) {
			t.Errorf("%+v: %q, %v", tt, n.Type, err)
			continue
		}
		if err == nil && (n.HasNAT() == (n.NAT == model.NoNAT) || n.PerEndpoint() != (n.Compartment == "each") || n.PerEndpoint() != (n.Bridge == "")) {
			t.Errorf("%+v: %+v", tt, n)
		}
	}
}
