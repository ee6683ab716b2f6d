package nat

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// place gives what testConfig's endpoints do not have.
func place(n Network, endpoints []Endpoint) (netip.Addr, error) {
	for a := n.Gateway.Next(); n.Subnet.Contains(a.Next()); a = a.Next() {
		taken := false
		for _, e := range endpoints {
			taken = taken || e.Address == a
		}
		if !taken {
			return a, nil
		}
	}
	return netip.Addr{}, Errorf(Exhausted, "network %q has no free address", n.Name).WithHint("wait")
}

func free(subnet string) ChooseSubnet {
	return func(HostFacts, []Network) (netip.Prefix, error) { return netip.ParsePrefix(subnet) }
}

// where is what a renumbering is about: gateway, endpoints, mappings' targets.
type where struct {
	Gateway   string
	Endpoints map[string]string
	MACs      map[string]MAC
	Targets   []string
}

func whereIs(t *testing.T, c Config, network string) where {
	t.Helper()
	n, err := c.Network(network)
	if err != nil {
		t.Fatal(err)
	}
	w := where{Gateway: netip.PrefixFrom(n.Gateway, n.Subnet.Bits()).String(), Endpoints: map[string]string{}, MACs: map[string]MAC{}}
	for _, e := range c.EndpointsOf(network) {
		w.Endpoints[e.Name], w.MACs[e.Name] = e.Address.String(), e.MAC
	}
	for _, m := range c.Mappings {
		w.Targets = append(w.Targets, m.InternalText())
	}
	return w
}

// renumberConfig is testConfig with more endpoints and mappings by address:
// to an endpoint's, to nobody's, to that of another network.
func renumberConfig(t *testing.T) Config {
	t.Helper()
	c := testConfig(t)
	must(t)(c.AddEndpoint(EndpointSpec{Network: "web", Name: "far", Netns: "far", Address: "172.16.1.200"}, hostFacts(), lowest))
	for port, to := range map[string]string{"81": "172.16.1.200:81", "82": "172.16.1.9:82"} {
		must(t)(c.AddMapping(MappingSpec{Protocol: "tcp", External: port, Internal: to, Network: "web"}, noPort))
	}
	must(t)(c.AddMapping(MappingSpec{Protocol: "tcp", External: "83", Internal: "v1:83"}, noPort))
	return c
}

func TestRenumberNetwork(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, subnet string
		choose       ChooseSubnet
		to           string
		gateway      string
		endpoints    map[string]string
		by           map[string]string // what external port leads to
	}{
		{"by hand", "10.3.0.0/24", nil, "10.3.0.0/24", "10.3.0.1/24",
			map[string]string{"c1": "10.3.0.2", "c2": "10.3.0.3", "far": "10.3.0.200"},
			map[string]string{"8080": "10.3.0.2:80", "81": "10.3.0.200:81", "82": "10.3.0.9:82", "83": "10.1.0.2:83"}},
		{"to a free one", "", free("172.16.7.0/24"), "172.16.7.0/24", "172.16.7.1/24",
			map[string]string{"c1": "172.16.7.2", "c2": "172.16.7.3", "far": "172.16.7.200"},
			map[string]string{"8080": "172.16.7.2:80", "81": "172.16.7.200:81", "82": "172.16.7.9:82", "83": "10.1.0.2:83"}},
		{"to a smaller one", "10.3.0.64/28", nil, "10.3.0.64/28", "10.3.0.65/28",
			map[string]string{"c1": "10.3.0.66", "c2": "10.3.0.67", "far": "10.3.0.68"},
			map[string]string{"8080": "10.3.0.66:80", "81": "10.3.0.68:81", "82": "10.3.0.73:82", "83": "10.1.0.2:83"}},
		{"to a larger one", "10.16.0.0/12", nil, "10.16.0.0/12", "10.16.0.1/12",
			map[string]string{"c1": "10.16.0.2", "c2": "10.16.0.3", "far": "10.16.0.200"},
			map[string]string{"8080": "10.16.0.2:80", "81": "10.16.0.200:81", "82": "10.16.0.9:82", "83": "10.1.0.2:83"}},
		{"to where it overlaps itself", "172.16.0.0/23", nil, "172.16.0.0/23", "172.16.0.1/23",
			map[string]string{"c1": "172.16.0.2", "c2": "172.16.0.3", "far": "172.16.0.200"},
			map[string]string{"8080": "172.16.0.2:80", "81": "172.16.0.200:81", "82": "172.16.0.9:82", "83": "10.1.0.2:83"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c := renumberConfig(t)
			before := c.Clone()
			macs := whereIs(t, c, "web").MACs
			got, err := c.RenumberNetwork("web", tt.subnet, hostFacts(), tt.choose, place)
			if err != nil {
				t.Fatal(err)
			}
			want := Renumbering{Network: "web", From: netip.MustParsePrefix("172.16.1.0/24"), To: netip.MustParsePrefix(tt.to)}
			if diff := cmp.Diff(want, got, compareNetip); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			w := whereIs(t, c, "web")
			if diff := cmp.Diff(tt.gateway, w.Gateway); diff != "" {
				t.Errorf("gateway: %s", diff)
			}
			if diff := cmp.Diff(tt.endpoints, w.Endpoints); diff != "" {
				t.Errorf("endpoints (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(macs, w.MACs); diff != "" {
				t.Errorf("MACs changed: %s", diff)
			}
			by := map[string]string{}
			for _, m := range c.Mappings {
				by[m.External.Ports.text()] = m.InternalText()
			}
			if diff := cmp.Diff(tt.by, by); diff != "" {
				t.Errorf("mappings (-want +got):\n%s", diff)
			}
			for _, other := range []string{"lab", "blue"} {
				if diff := cmp.Diff(whereIs(t, before, other).Endpoints, whereIs(t, c, other).Endpoints); diff != "" {
					t.Errorf("network %s: %s", other, diff)
				}
			}
			if got := whereIs(t, before, "web").Gateway; got != "172.16.1.1/24" {
				t.Errorf("the configuration from before changed too: %s", got)
			}
		})
	}
}

func TestRenumberNetworkRefused(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, network, subnet string
		choose                ChooseSubnet
		code                  Code
		mentions              string
	}{
		{"no such network", "nope", "10.3.0.0/24", nil, NotFound, "nope"},
		{"no subnet", "web", "10.3.0.0", nil, Invalid, "10.3.0.0"},
		{"another network's", "web", "10.1.0.0/25", nil, Conflict, `network "lab"`},
		{"the host's", "web", "192.168.0.0/16", nil, Conflict, "address of eth0"},
		{"nothing is free", "web", "", noSubnet, Exhausted, ""},
		{"too small for the endpoints", "web", "10.3.0.0/30", nil, Exhausted, "web"},
		{"too small for a mapping's address", "web", "10.3.0.0/29", nil, Conflict, "172.16.1.9:82"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c := renumberConfig(t)
			before := c.Clone()
			_, err := c.RenumberNetwork(tt.network, tt.subnet, hostFacts(), tt.choose, func(n Network, e []Endpoint) (netip.Addr, error) {
				return place(n, e)
			})
			if tt.code == Exhausted {
				if CodeOf(err) != Exhausted {
					t.Errorf("got %v, want nothing left", err)
				}
			} else {
				refused(t, err, tt.code, tt.mentions)
			}
			unchanged(t, before, c)
		})
	}
}

// TestRenumberForthAndBack: what went away comes back to where it was.
func TestRenumberForthAndBack(t *testing.T) {
	t.Parallel()
	c := renumberConfig(t)
	before := c.Clone()
	for _, subnet := range []string{"10.3.0.0/24", "172.16.1.0/24"} {
		must(t)(c.RenumberNetwork("web", subnet, hostFacts(), nil, place))
	}
	unchanged(t, before, c)
	must(t)(c.RenumberNetwork("web", "172.16.1.0/24", hostFacts(), nil, place)) // where it is
	unchanged(t, before, c)
}

// TestRenumberDetached: a mapping to the name of an endpoint that is not
// attached has no address that could move.
func TestRenumberDetached(t *testing.T) {
	t.Parallel()
	c := renumberConfig(t)
	if err := c.DetachEndpoint("c1"); err != nil {
		t.Fatal(err)
	}
	must(t)(c.RenumberNetwork("web", "10.3.0.0/24", hostFacts(), nil, place))
	must(t)(c.AddEndpoint(EndpointSpec{Network: "web", Name: "c1", Netns: "c1", Address: "10.3.0.77"}, hostFacts(), lowest))
	for _, m := range c.Mappings {
		if m.Endpoints() == "c1" && m.InternalText() != "10.3.0.77:80" {
			t.Errorf("the mapping to c1 leads to %s", m.InternalText())
		}
	}
}
