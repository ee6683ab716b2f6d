package reconcile

import (
	"errors"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/hostnat/hostnat/internal/config/diff"

	"github.com/hostnat/hostnat/internal/config"
	"github.com/hostnat/hostnat/internal/datapath"
	"github.com/hostnat/hostnat/internal/host"
	"github.com/hostnat/hostnat/internal/model"
)

func TestIsPlain(t *testing.T) {
	t.Parallel()
	inside := model.Endpoint{Name: "c2", Network: "web", Kind: model.KindNetns, Interface: "hv-c2"}
	tap := model.Endpoint{Name: "vm", Network: "web", Kind: model.KindTAP, Interface: "tap0"}
	tests := []struct {
		name string
		diff diff.Difference
		edit func(before *applied, c *config.Config)
		want bool
	}{
		{name: "endpoint in a namespace", diff: diff.Difference{Endpoints: diff.List[model.Endpoint]{Added: []model.Endpoint{inside}}}, want: true},
		{name: "TAP", diff: diff.Difference{Endpoints: diff.List[model.Endpoint]{Added: []model.Endpoint{tap}}}, want: true},
		{
			name: "TAP that a NAT is bound to", diff: diff.Difference{Endpoints: diff.List[model.Endpoint]{Added: []model.Endpoint{tap}}},
			edit: func(_ *applied, c *config.Config) { c.NATs[0].ExternalInterfaces = []string{"tap0"} },
		},
		{name: "TAP of its own network", diff: diff.Difference{
			Networks:  diff.List[model.Network]{Added: []model.Network{{Name: "web", Type: model.TypePointToPoint, PartOf: 7}}},
			Endpoints: diff.List[model.Endpoint]{Added: []model.Endpoint{tap}},
		}},
		{
			name: "endpoint that was not there", diff: diff.Difference{Endpoints: diff.List[model.Endpoint]{Removed: []model.Endpoint{inside}}},
			edit: func(before *applied, _ *config.Config) { before.report.Absent["c2"] = errors.New("gone") },
		},
		{name: "bridge of others", diff: diff.Difference{Networks: diff.List[model.Network]{Added: []model.Network{{Name: "theirs", Adopted: true}}}}},
		{
			name: "first network behind a NAT", diff: diff.Difference{Networks: diff.List[model.Network]{Added: []model.Network{{Name: "web"}}}},
			edit: func(before *applied, _ *config.Config) { before.config.Networks = nil },
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			c := config.NewConfig()
			c.Networks = []model.Network{{Name: "web", ID: 3, NAT: model.DefaultNAT}}
			before := applied{config: c.Clone(), report: model.Report{Absent: make(map[string]error)}}
			if test.edit != nil {
				test.edit(&before, &c)
			}
			if got := isPlain(before, c, test.diff); got != test.want {
				t.Errorf("%v, want %v", got, test.want)
			}
		})
	}
}

// The data path is told of a TAP that it is an endpoint's, and when it is outside again.
func TestPartOfAPluggedLink(t *testing.T) {
	t.Parallel()
	c := config.NewConfig()
	c.Networks = []model.Network{{
		Name: "web", ID: 3, NAT: model.DefaultNAT, Compartment: model.DefaultCompartment, Bridge: "hn-web",
		Subnets: []netip.Prefix{netip.MustParsePrefix("172.16.1.0/24")}, Gateways: []netip.Addr{netip.MustParseAddr("172.16.1.1")},
	}}
	tap := model.Endpoint{Name: "vm", ID: 4, Network: "web", Kind: model.KindTAP, Interface: "tap0", Addresses: []netip.Addr{netip.MustParseAddr("172.16.1.2")}, MAC: "02:00:00:00:00:02"}
	after := c.Clone()
	after.Endpoints = []model.Endpoint{tap}
	bridge := host.Link{Index: 5, Name: "hn-web", Type: "bridge", MAC: "02:00:00:00:00:01"}
	free := host.Link{Index: 6, Name: "tap0", HasEthernet: true, MTU: 1500}
	port := free
	port.MasterIndex = 5
	x := change{Difference: diff.Difference{Endpoints: diff.List[model.Endpoint]{Added: []model.Endpoint{tap}}}, is: after}
	got := view{config: after}.withLinks([]host.Link{bridge, port}).part(&x)
	want := datapath.Part{
		Insides: map[uint32]datapath.Inside{5: {Network: 3, Bridge: true}, 6: {Network: 3, Address: tap.Address4(), MAC: tap.MAC}},
		Endpoints: []datapath.Endpoint{{
			ID: 4, Compartment: c.CompartmentID(model.DefaultCompartment), Address: tap.Address4(), Interface: 6, Network: 3, MTU: 1500, MAC: tap.MAC, GatewayMAC: bridge.MAC,
		}},
		Leases: new([]datapath.Lease),
	}
	comparable := cmpopts.EquateComparable(netip.Addr{}, netip.Prefix{})
	if diff := cmp.Diff(want, got, comparable, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("plugged in (-want +got):\n%s", diff)
	}
	x = change{Difference: diff.Difference{Endpoints: diff.List[model.Endpoint]{Removed: []model.Endpoint{tap}}}, is: c, free: []host.Link{free}}
	got = view{config: c}.withLinks([]host.Link{bridge}).part(&x)
	want = datapath.Part{
		Insides:  map[uint32]datapath.Inside{5: {Network: 3, Bridge: true}},
		Outsides: map[uint32]datapath.Outside{6: {}},
		Leases:   new([]datapath.Lease),
		Gone:     datapath.Gone{Endpoints: []uint32{4}},
	}
	if diff := cmp.Diff(want, got, comparable, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("pulled out (-want +got):\n%s", diff)
	}
}
