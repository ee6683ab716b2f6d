package reconcile

import (
	"net/netip"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hostnat/hostnat/internal/config"
	"github.com/hostnat/hostnat/internal/datapath"
	"github.com/hostnat/hostnat/internal/host"
	"github.com/hostnat/hostnat/internal/model"
)

// privateConfig has two clones, one in a namespace and one behind a TAP.
func privateConfig() config.Config {
	c := config.NewConfig()
	address := netip.MustParseAddr("172.16.1.2")
	c.Networks = []model.Network{{Name: "snap", ID: 3, NAT: "default", Type: model.TypePerEndpoint, Compartment: model.EachCompartment,
		Subnets: []netip.Prefix{netip.MustParsePrefix("172.16.1.0/24")}, Gateways: []netip.Addr{netip.MustParseAddr("172.16.1.1")}}}
	c.Endpoints = []model.Endpoint{
		{Name: "c1", ID: 5, Network: "snap", Kind: model.KindNetns, Interface: "hv-c1", Addresses: []netip.Addr{address}, MAC: "02:00:00:00:00:77"},
		{Name: "vm", ID: 6, Network: "snap", Kind: model.KindTAP, Interface: "tap0", Addresses: []netip.Addr{address}, MAC: "02:00:00:00:00:77"},
	}
	return c
}

const cloneGateway = model.MAC("02:68:6e:80:00:03")

func pointToPointLinks() []host.Link {
	gateway := []netip.Prefix{netip.MustParsePrefix("172.16.1.1/32")}
	return []host.Link{
		{Index: 1, Name: "lo", Loopback: true},
		{Index: 2, Name: "eth0", HasEthernet: true},
		{Index: 3, Name: host.AnchorName, Alias: host.Owner},
		{Index: 4, Name: host.ReassemblyLink, Alias: host.Owner},
		{Index: 5, Name: "hv-c1", Alias: host.Owner, MAC: cloneGateway, Addresses: gateway, Unrouted: gateway},
		{Index: 6, Name: "tap0", MAC: cloneGateway, Addresses: gateway, Unrouted: gateway, Lent: gateway, PointToPoint: true},
	}
}

func TestMakePointToPoint(t *testing.T) {
	t.Parallel()
	lent := Adoption{Name: "tap0", Gateway: netip.MustParsePrefix("172.16.1.1/32")}
	moved, oneLess := privateConfig(), privateConfig()
	moved.Networks[0].Gateways = []netip.Addr{netip.MustParseAddr("172.16.1.9")}
	oneLess.Endpoints = oneLess.Endpoints[:1]
	bridged := privateConfig() // the TAP is another network's port now
	bridged.Endpoints = bridged.Endpoints[:1]
	bridged.Networks = append(bridged.Networks, model.Network{Name: "web", ID: 7, NAT: "default", Compartment: "default", Bridge: "hn-web",
		Subnets: []netip.Prefix{netip.MustParsePrefix("172.16.2.0/24")}, Gateways: []netip.Addr{netip.MustParseAddr("172.16.2.1")}})
	bridged.Endpoints = append(bridged.Endpoints, model.Endpoint{Name: "vm", ID: 8, Network: "web", Kind: model.KindTAP, Interface: "tap0"})
	web := host.Bridge{Name: "hn-web", MAC: "02:68:6e:80:00:07", MTU: 1400, Gateway: netip.MustParsePrefix("172.16.2.1/24")}
	tests := []struct {
		name   string
		config config.Config
		want   Plan
	}{
		{"as it is", privateConfig(), Plan{}},
		{"another gateway", moved, Plan{Return: []Adoption{lent}}},
		{"one is detached", oneLess, Plan{Return: []Adoption{lent}, Restore: []string{"tap0"}}},
		{"one is in a network with a bridge now", bridged, Plan{Bridges: []host.Bridge{web}, Return: []Adoption{lent}, Restore: []string{"tap0"}}},
		{"nothing wanted", config.NewConfig(), Plan{Delete: []string{"hv-c1"}, Return: []Adoption{lent}, Restore: []string{"tap0"}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c := tt.config.Unfolded()
			tt.want.Endpoints = c.Endpoints
			got := Make(c, pointToPointLinks(), nil, 1400)
			if diff := cmp.Diff(tt.want, got, compareNetip); diff != "" {
				t.Errorf("plan (-want +got):\n%s", diff)
			}
		})
	}
}

func TestDatapathConfigOfPointToPoint(t *testing.T) {
	t.Parallel()
	cfg := privateConfig()
	if _, err := cfg.AddMapping(config.MappingSpec{Protocol: "tcp", External: "8080", Internal: "vm:80"}, nil); err != nil {
		t.Fatal(err)
	}
	c := view{config: cfg.Unfolded(), links: pointToPointLinks()}.datapathConfig()
	want := datapath.Network{
		Compartment: 6, NAT: 1, Bridge: 6, Subnet: netip.MustParsePrefix("172.16.1.0/24"), Gateway: netip.MustParseAddr("172.16.1.1"),
		GatewayMAC: cloneGateway, EndpointsIsolated: true, Unrouted: true, Names: true,
	}
	equal := cmp.Options{cmp.Comparer(func(a, b netip.Prefix) bool { return a == b }), cmp.Comparer(func(a, b netip.Addr) bool { return a == b })}
	if diff := cmp.Diff(want, c.Networks[6], equal); diff != "" || len(c.Networks) != 2 {
		t.Errorf("%d networks (-want +got):\n%s", len(c.Networks), diff)
	}
	inside := datapath.Inside{Network: 6, PointToPoint: true, Address: netip.MustParseAddr("172.16.1.2"), MAC: "02:00:00:00:00:77"}
	if diff := cmp.Diff(inside, c.Insides[6], equal); diff != "" || len(c.Insides) != 2 {
		t.Errorf("%d inside interfaces (-want +got):\n%s", len(c.Insides), diff)
	}
	compartments := map[uint32]uint32{}
	for _, e := range c.Endpoints {
		compartments[e.Interface] = e.Compartment
	}
	if diff := cmp.Diff(map[uint32]uint32{5: 5, 6: 6}, compartments); diff != "" {
		t.Errorf("compartments by interface (-want +got):\n%s", diff)
	}
	if _, outside := c.Outsides[6]; outside || len(c.Outsides) != 1 {
		t.Errorf("outsides %v", c.Outsides)
	}
	if m := c.Mappings[1]; m.Compartment != 6 || len(m.Targets) != 1 || m.Targets[0].Network != 6 {
		t.Errorf("mapping %+v", m)
	}
	list := c.Attachments()
	for _, index := range []uint32{5, 6} {
		for _, hook := range pointToPointHooks {
			if !slices.Contains(list, datapath.Attachment{Interface: index, Hook: hook}) {
				t.Errorf("%s is not attached to %d: %v", hook, index, list)
			}
		}
	}
}

func TestNamesOfPointToPoint(t *testing.T) {
	t.Parallel()
	n := namesOf(privateConfig().Unfolded())
	address := netip.MustParseAddr("172.16.1.2")
	if n.networks[5] != "snap" || n.networks[6] != "snap" || n.compartments[6] != "snap/vm" ||
		n.endpoints[endpointKey{5, address}] != "c1" || n.endpoints[endpointKey{6, address}] != "vm" {
		t.Errorf("%+v", n)
	}
}

func TestIsPointToPoint(t *testing.T) {
	t.Parallel()
	cfg := privateConfig().Unfolded()
	n, err := cfg.Network("snap/vm")
	if err != nil {
		t.Fatal(err)
	}
	right := pointToPointLinks()[5]
	other, routed := right, right
	other.MAC, routed.Unrouted = "02:68:6e:80:00:04", nil
	if !isPointToPoint(right, n) || isPointToPoint(other, n) || isPointToPoint(routed, n) {
		t.Error("what is right, or what is wrong, is not seen")
	}
}

// The link of a per-endpoint network's endpoint that others have made is its own port.
func TestPluggedInPointToPoint(t *testing.T) {
	t.Parallel()
	c := privateConfig()
	c.Endpoints = append(c.Endpoints, model.Endpoint{Name: "p", ID: 7, Network: "snap", Kind: model.KindPort, Interface: "p0"})
	links := append(pointToPointLinks(), host.Link{Index: 7, Name: "p0", Type: "veth", Up: true, PointToPoint: true})
	links[4].Type, links[4].Up = "veth", true // ours
	links[5].Type, links[5].Up = "tuntap", true
	u := c.Unfolded()
	var got []int
	for _, n := range u.Networks {
		got = append(got, pluggedIn(u, n, links)...)
	}
	if diff := cmp.Diff([]int{7}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
