package config

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/hostnat/hostnat/internal/model"
)

// place gives what testConfig's endpoints do not have.
func place(n model.Network, endpoints []model.Endpoint) (netip.Addr, error) {
	for a := n.Gateway4().Next(); n.Subnet4().Contains(a.Next()); a = a.Next() {
		taken := false
		for _, e := range endpoints {
			taken = taken || e.Address4() == a
		}
		if !taken {
			return a, nil
		}
	}
	return netip.Addr{}, model.Errorf(model.Exhausted, "network %q has no free address", n.Name).WithHint("wait")
}

func free(subnet string) ChooseSubnet {
	return func(model.HostFacts, []model.Network) (netip.Prefix, error) { return netip.ParsePrefix(subnet) }
}

// where is what a renumbering is about: gateway, endpoints, mappings' targets.
type where struct {
	Gateway   string
	Endpoints map[string]string
	MACs      map[string]model.MAC
	Targets   []string
}

func whereIs(t *testing.T, c Config, network string) where {
	t.Helper()
	n, err := c.Network(network)
	if err != nil {
		t.Fatal(err)
	}
	w := where{Gateway: netip.PrefixFrom(n.Gateway4(), n.Subnet4().Bits()).String(), Endpoints: map[string]string{}, MACs: map[string]model.MAC{}}
	for _, e := range c.EndpointsOf(network) {
		w.Endpoints[e.Name], w.MACs[e.Name] = e.Address4().String(), e.MAC
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
				by[m.External.Ports.Text()] = m.InternalText()
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
		code                  model.Code
		mentions              string
	}{
		{"no such network", "nope", "10.3.0.0/24", nil, model.NotFound, "nope"},
		{"no subnet", "web", "10.3.0.0", nil, model.Invalid, "10.3.0.0"},
		{"another network's", "web", "10.1.0.0/25", nil, model.Conflict, `network "lab"`},
		{"the host's", "web", "192.168.0.0/16", nil, model.Conflict, "address of eth0"},
		{"nothing is free", "web", "", noSubnet, model.Exhausted, ""},
		{"too small for the endpoints", "web", "10.3.0.0/30", nil, model.Exhausted, "web"},
		{"too small for a mapping's address", "web", "10.3.0.0/29", nil, model.Conflict, "172.16.1.9:82"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c := renumberConfig(t)
			before := c.Clone()
			_, err := c.RenumberNetwork(tt.network, tt.subnet, hostFacts(), tt.choose, func(n model.Network, e []model.Endpoint) (netip.Addr, error) {
				return place(n, e)
			})
			if tt.code == model.Exhausted {
				if model.CodeOf(err) != model.Exhausted {
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

// Settings that name addresses of the subnet go along; what has no place in a
// smaller one is left out, and of a range what has one stays.
func TestSettingsOfANetworkThatMoves(t *testing.T) {
	t.Parallel()
	tests := []struct{ to, ranges, exclude, routes, ntp, reserved string }{
		{"10.3.0.0/24", "[10.3.0.50-10.3.0.200]", "[10.3.0.100-10.3.0.230 10.3.0.240]", "[10.9.0.0/16=10.3.0.9 10.10.0.0/16=10.3.0.250]", "[10.3.0.8 192.0.2.1 10.3.0.251]", "[10.3.0.7 10.3.0.201]"},
		{"10.3.0.0/25", "[10.3.0.50-10.3.0.126]", "[10.3.0.100-10.3.0.126]", "[10.9.0.0/16=10.3.0.9]", "[10.3.0.8 192.0.2.1]", "[10.3.0.7]"},
	}
	for _, tt := range tests {
		t.Run(tt.to, func(t *testing.T) {
			t.Parallel()
			c := testConfig(t)
			must(t)(c.SetNetwork("web", map[string]string{
				"range": "172.16.1.50-172.16.1.200", "exclude": "172.16.1.100-172.16.1.230,172.16.1.240",
				"routes": "10.9.0.0/16=172.16.1.9,10.10.0.0/16=172.16.1.250", "ntp": "172.16.1.8,192.0.2.1,172.16.1.251",
			}))
			for name, a := range map[string]string{"a": "172.16.1.7", "b": "172.16.1.201"} {
				must(t)(c.AddReservation(ReservationSpec{Network: "web", Name: name, Address: a}, model.HostFacts{}))
			}
			must(t)(c.RenumberNetwork("web", tt.to, hostFacts(), noSubnet, place))
			n, err := c.Network("web")
			if err != nil {
				t.Fatal(err)
			}
			var reserved []netip.Addr
			for _, r := range c.Reservations {
				reserved = append(reserved, r.Address)
			}
			slices.SortFunc(reserved, netip.Addr.Compare)
			got := []string{fmt.Sprint(n.Ranges), fmt.Sprint(n.Exclude), fmt.Sprint(n.Routes), fmt.Sprint(n.NTP), fmt.Sprint(reserved)}
			if diff := cmp.Diff([]string{tt.ranges, tt.exclude, tt.routes, tt.ntp, tt.reserved}, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// A reservation at a place that the gateway takes goes.
func TestGatewayTakesAReservedPlace(t *testing.T) {
	t.Parallel()
	c := NewConfig()
	must(t)(c.AddNetwork(NetworkSpec{Name: "web", Subnet: "172.16.1.0/24", Gateway: "172.16.1.254"}, hostFacts(), noSubnet))
	must(t)(c.AddReservation(ReservationSpec{Network: "web", Name: "a", Address: "172.16.1.1"}, model.HostFacts{}))
	must(t)(c.RenumberNetwork("web", "10.3.0.0/25", hostFacts(), noSubnet, place))
	if len(c.Reservations) != 0 {
		t.Errorf("reserved: %+v", c.Reservations)
	}
}

// A port proxy to an address of the network follows it, and one that listens on
// its gateway; others, and what is another compartment's, stay.
func TestProxiesOfANetworkThatMoves(t *testing.T) {
	t.Parallel()
	c := renumberConfig(t)
	for _, spec := range []ProxySpec{
		{Kind: "v4tov4", Listen: "9000", Connect: "172.16.1.200:80"},
		{Kind: "v4tov4", Listen: "172.16.1.1:9001", Connect: "172.16.1.1:22"},
		{Kind: "v4tov4", Listen: "9002", Connect: "10.1.0.2:80"},
		{Kind: "v4tov4", Listen: "9003", Connect: "c1:80"},
		{Kind: "name", Listen: "9004", Routes: []string{"a.example=172.16.1.9:443", "b.example=c1:443"}},
	} {
		must(t)(c.AddProxy(spec, here(&c)))
	}
	must(t)(c.RenumberNetwork("blue", "10.4.0.0/24", hostFacts(), noSubnet, place))
	must(t)(c.RenumberNetwork("web", "10.3.0.0/25", hostFacts(), noSubnet, place))
	far, err := c.Endpoint("far")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, p := range c.Proxies {
		got = append(got, fmt.Sprint(p.Listen, p.Targets()))
	}
	want := []string{
		"*:9000 [" + far.Address4().String() + ":80]", "10.3.0.1:9001 [10.3.0.1:22]", "*:9002 [10.1.0.2:80]", "*:9003 [c1:80]", "*:9004 [10.3.0.9:443 c1:443]",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// An endpoint that is away while its network moves comes back to its place.
func TestDetachedWhileItsNetworkMoves(t *testing.T) {
	t.Parallel()
	for to, want := range map[string]string{"10.3.0.0/24": "10.3.0.200", "10.3.0.0/25": "10.3.0.4"} {
		c := testConfig(t)
		far, err := c.AddEndpoint(EndpointSpec{Network: "web", Name: "far", Netns: "far", Address: "172.16.1.200"}, hostFacts(), place)
		if err != nil {
			t.Fatal(err)
		}
		if err := c.DetachEndpoint("far"); err != nil {
			t.Fatal(err)
		}
		must(t)(c.RenumberNetwork("web", to, hostFacts(), noSubnet, place))
		again, err := c.AddEndpoint(EndpointSpec{Network: "web", Name: "far", Netns: "far"}, hostFacts(), place)
		if err != nil || again.Address4().String() != want || want == "10.3.0.200" && again.MAC != far.MAC {
			t.Errorf("in %s: %s with MAC %s (it was %s), %v; want %s", to, again.Address4(), again.MAC, far.MAC, err, want)
		}
	}
}
