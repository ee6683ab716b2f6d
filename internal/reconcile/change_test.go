package reconcile

import (
	"fmt"
	"maps"
	"net/netip"
	"reflect"
	"slices"
	"testing"

	"github.com/hostnat/hostnat/internal/config"
	"github.com/hostnat/hostnat/internal/config/diff"
	"github.com/hostnat/hostnat/internal/datapath"
	"github.com/hostnat/hostnat/internal/model"
)

// What a change is made of, put onto what there was, is what Apply would tell.
func TestChangesLeadToTheSameMappings(t *testing.T) {
	t.Parallel()
	c := config.NewConfig()
	if _, err := c.AddNetwork(config.NetworkSpec{Name: "web", Subnet: "172.16.1.0/24"}, model.HostFacts{}, nil); err != nil {
		t.Fatal(err)
	}
	at := func(model.Network, []model.Endpoint) (netip.Addr, error) {
		return netip.MustParseAddr("172.16.1.2"), nil
	}
	if _, err := c.AddEndpoint(config.EndpointSpec{Network: "web", Name: "c1", Netns: "c1"}, model.HostFacts{}, at); err != nil {
		t.Fatal(err)
	}
	told := view{config: c}.datapathConfig().Mappings
	steps := []func() error{
		func() error {
			for i := range 5 {
				spec := config.MappingSpec{Protocol: "udp", External: fmt.Sprint(7000 + i), Internal: c.Endpoints[0].Name + ":53"}
				if _, err := c.AddMapping(spec, nil); err != nil {
					return err
				}
			}
			return nil
		},
		func() error { return c.DeleteMapping(c.Mappings[1].ID) },
		func() error { return c.DetachEndpoint(c.Endpoints[0].Name) },
	}
	for i, step := range steps {
		before := c.Effective()
		if err := step(); err != nil {
			t.Fatal(err)
		}
		after := c.Effective()
		diff := diff.Of(&before, &after)
		part := view{config: after}.part(&change{Difference: diff, is: after})
		maps.DeleteFunc(told, func(id uint32, _ datapath.Mapping) bool { return slices.Contains(part.Gone.Mappings, id) })
		maps.Copy(told, part.Mappings)
		if want := (view{config: after}).datapathConfig().Mappings; !reflect.DeepEqual(want, told) {
			t.Errorf("step %d: got %+v, want %+v", i, told, want)
		}
	}
}
