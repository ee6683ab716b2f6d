package reconcile

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hostnat/hostnat/internal/config"
	"github.com/hostnat/hostnat/internal/datapath"
	"github.com/hostnat/hostnat/internal/host"
	"github.com/hostnat/hostnat/internal/model"
)

// testConfig has a network on a bridge of ours, with an endpoint in a namespace
// and a TAP, and one on an adopted bridge.
func testConfig() config.Config {
	c := config.NewConfig()
	c.Networks = []model.Network{
		{Name: "web", ID: 3, NAT: "default", Compartment: "default", Bridge: "hn-web",
			Subnets: []netip.Prefix{netip.MustParsePrefix("172.16.1.0/24")}, Gateways: []netip.Addr{netip.MustParseAddr("172.16.1.1")}},
		{Name: "lan", ID: 4, NAT: "default", Compartment: "default", Bridge: "br0", Adopted: true,
			Subnets: []netip.Prefix{netip.MustParsePrefix("172.16.2.0/24")}, Gateways: []netip.Addr{netip.MustParseAddr("172.16.2.1")}},
	}
	c.Endpoints = []model.Endpoint{
		{Name: "c1", ID: 5, Network: "web", Kind: model.KindNetns, Interface: "hv-c1"},
		{Name: "vm", ID: 6, Network: "web", Kind: model.KindTAP, Interface: "tap0"},
	}
	return c
}

func testLinks() []host.Link {
	return []host.Link{
		{Index: 1, Name: "lo", Loopback: true},
		{Index: 2, Name: "eth0"},
		{Index: 3, Name: host.AnchorName, Alias: host.Owner},
		{Index: 15, Name: host.ReassemblyLink, Alias: host.Owner},
		{Index: 4, Name: "hn-web", Alias: host.Owner},
		{Index: 5, Name: "hv-c1", Alias: host.Owner, MasterIndex: 4},
		{Index: 6, Name: "tap0", MasterIndex: 4},
		{Index: 7, Name: "br0", Lent: []netip.Prefix{netip.MustParsePrefix("172.16.2.1/24")}},
		{Index: 8, Name: "tap1", MasterIndex: 7}, // of the bridge's owner
	}
}

func TestMake(t *testing.T) {
	t.Parallel()
	attached := []datapath.Attachment{
		{Interface: 6, Hook: datapath.InsideIngress}, {Interface: 7, Hook: datapath.BridgeIngress},
	}
	adoption := Adoption{Name: "br0", Gateway: netip.MustParsePrefix("172.16.2.1/24")}
	web := host.Bridge{Name: "hn-web", MAC: "02:68:6e:80:00:03", MTU: 1400, Gateway: netip.MustParsePrefix("172.16.1.1/24")}
	moved := testConfig()
	moved.Networks[1].Gateways = []netip.Addr{netip.MustParseAddr("172.16.2.254")}
	jumbo, large := testConfig(), web
	jumbo.Networks[0].MTU, large.MTU = 9000, 9000
	forgotten := testConfig()
	forgotten.Endpoints = nil
	tests := []struct {
		name   string
		config config.Config
		want   Plan
	}{
		{"as it is", testConfig(), Plan{Bridges: []host.Bridge{web}, Adopt: []Adoption{adoption}}},
		{"nothing wanted", config.NewConfig(), Plan{
			Delete: []string{"hn-web", "hv-c1"}, Release: []PortRelease{{Link: "tap0", Index: 6, Bridge: 4}}, Return: []Adoption{adoption},
		}},
		{"without endpoints", forgotten, Plan{
			Bridges: []host.Bridge{web}, Adopt: []Adoption{adoption},
			Delete: []string{"hv-c1"}, Release: []PortRelease{{Link: "tap0", Index: 6, Bridge: 4}},
		}},
		{"an MTU of its own", jumbo, Plan{Bridges: []host.Bridge{large}, Adopt: []Adoption{adoption}}},
		{"another gateway", moved, Plan{
			Bridges: []host.Bridge{web}, Adopt: []Adoption{{Name: "br0", Gateway: netip.MustParsePrefix("172.16.2.254/24")}},
			Return: []Adoption{adoption},
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			tt.want.Endpoints = tt.config.Endpoints
			got := Make(tt.config, testLinks(), attached, 1400)
			if diff := cmp.Diff(tt.want, got, compareNetip); diff != "" {
				t.Errorf("plan (-want +got):\n%s", diff)
			}
		})
	}
}
