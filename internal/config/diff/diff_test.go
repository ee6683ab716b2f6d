package diff

import (
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/hostnat/hostnat/internal/config"
	"pgregory.net/rapid"

	"github.com/hostnat/hostnat/internal/model"
)

func TestDiff(t *testing.T) {
	t.Parallel()
	start := func() config.Config {
		c := config.NewConfig()
		c.Networks = []model.Network{{Name: "a", ID: 3}, {Name: "b", ID: 4}}
		c.Endpoints = []model.Endpoint{{Name: "c1", ID: 5, Network: "a"}, {Name: "c2", ID: 6, Network: "b"}}
		c.Mappings = []model.Mapping{mapping(1), mapping(2), mapping(3)}
		c.Reservations = []model.Reservation{{Network: "a", Address: netip.MustParseAddr("10.0.0.1"), Name: "x"}, {Network: "a", Address: netip.MustParseAddr("10.0.0.2"), Name: "y"}}
		c.Pools = []model.Pool{{Prefix: netip.MustParsePrefix("10.0.0.0/8"), Size: 24}}
		c.Remembered = []model.Remembered{{Name: "m"}, {Name: "n"}}
		return c
	}
	changed := mapping(2)
	changed.NAT = "n"
	network := func(name string, id uint32) model.Network { return model.Network{Name: name, ID: id} }
	tests := []struct {
		name                     string
		edit                     func(*config.Config)
		want                     Difference
		onlyMappings, onlyInside bool
		objects                  string
	}{
		{name: "nothing", edit: func(*config.Config) {}, onlyMappings: true, onlyInside: true},
		{name: "an id was taken", edit: func(c *config.Config) { c.NextID++ }, want: Difference{Counters: true}, onlyMappings: true, onlyInside: true},
		{name: "what the host shows", edit: func(c *config.Config) { c.Leases, c.Discovered = []model.Lease{{}}, []model.Endpoint{{}} }, onlyMappings: true, onlyInside: true},
		{
			name: "remembered in another order", edit: func(c *config.Config) { slices.Reverse(c.Remembered) },
			want: Difference{Rest: true}, onlyInside: true,
		},
		{
			name: "reservations", edit: func(c *config.Config) { c.Reservations[0].Name = "z"; c.Reservations = c.Reservations[:1] },
			want: Difference{Rest: true, Reservations: List[model.Reservation]{
				Changed: []Change[model.Reservation]{{start().Reservations[0], model.Reservation{Network: "a", Address: netip.MustParseAddr("10.0.0.1"), Name: "z"}}},
				Removed: start().Reservations[1:],
			}},
			onlyInside: true, objects: "reservation a/10.0.0.2 deleted: name was y\nreservation a/10.0.0.1 changed: name x → z\n",
		},
		{
			name: "pool", edit: func(c *config.Config) { c.Pools[0].Size = 25 },
			want:    Difference{Rest: true, Pools: List[model.Pool]{Changed: []Change[model.Pool]{{start().Pools[0], model.Pool{Prefix: start().Pools[0].Prefix, Size: 25}}}}},
			objects: "pool 10.0.0.0/8 changed: size 24 → 25\n", onlyInside: true,
		},
		{
			name: "endpoint added", edit: func(c *config.Config) { c.Endpoints = append(c.Endpoints, model.Endpoint{Name: "c3", ID: 7}) },
			want:       Difference{Endpoints: List[model.Endpoint]{Added: []model.Endpoint{{Name: "c3", ID: 7}}}},
			onlyInside: true, objects: "endpoint c3 created\n",
		},
		{
			name: "endpoint removed", edit: func(c *config.Config) { c.Endpoints = c.Endpoints[1:] },
			want:       Difference{Endpoints: List[model.Endpoint]{Removed: start().Endpoints[:1]}},
			onlyInside: true, objects: "endpoint c1 deleted: network was a\n",
		},
		{
			name: "one network for another", edit: func(c *config.Config) { c.Networks = []model.Network{network("x", 2), network("a", 3)} },
			want:       Difference{Networks: List[model.Network]{Added: []model.Network{network("x", 2)}, Removed: []model.Network{network("b", 4)}}},
			onlyInside: true, objects: "network b deleted\nnetwork x created\n",
		},
		{
			name: "network renamed", edit: func(c *config.Config) { c.Networks[1].Name = "c" },
			want:    Difference{Networks: List[model.Network]{Changed: []Change[model.Network]{{network("b", 4), network("c", 4)}}}},
			objects: "network c changed: domain b.internal → c.internal\n",
		},
		{
			name: "mappings", edit: func(c *config.Config) {
				c.Mappings = []model.Mapping{changed, mapping(3), mapping(4)}
				c.NextMapping++
			},
			want: Difference{Counters: true, Mappings: List[model.Mapping]{
				Added: []model.Mapping{mapping(4)}, Changed: []Change[model.Mapping]{{mapping(2), changed}}, Removed: []model.Mapping{mapping(1)},
			}},
			onlyMappings: true, onlyInside: true, objects: "mapping tcp *:81 deleted\nmapping tcp *:84 created\n",
		},
		{name: "NAT changed", edit: func(c *config.Config) { c.NATs[0].MSSClamp = true }, want: Difference{NATs: List[model.NAT]{
			Changed: []Change[model.NAT]{{start().NATs[0], func() model.NAT { n := start().NATs[0]; n.MSSClamp = true; return n }()}},
		}}, objects: "nat default changed: mssClamp false → true\n"},
		{
			name: "proxy added", edit: func(c *config.Config) { c.Proxies = []model.Proxy{{ID: 1}} },
			want: Difference{Proxies: List[model.Proxy]{Added: []model.Proxy{{ID: 1}}}}, objects: "proxy unknown :0 created\n",
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			before, after := start(), start()
			test.edit(&after)
			got := Of(&before, &after)
			if diff := cmp.Diff(test.want, got, cmpopts.EquateComparable(netip.Addr{}, netip.Prefix{})); diff != "" {
				t.Errorf("difference (-want +got):\n%s", diff)
			}
			if got.OnlyMappings() != test.onlyMappings || got.OnlyInside() != test.onlyInside {
				t.Errorf("only mappings: %v, only inside: %v", got.OnlyMappings(), got.OnlyInside())
			}
			if same := SameButMappings(&before, &after); same != test.onlyMappings {
				t.Errorf("the same but for mappings: %v", same)
			}
			objects := ""
			for _, o := range got.Objects() {
				objects += o.Text() + "\n"
			}
			if objects != test.objects {
				t.Errorf("objects: %q, want %q", objects, test.objects)
			}
		})
	}
}

func mapping(id uint32) model.Mapping {
	return model.Mapping{ID: id, Protocol: model.TCP, External: model.AddrPorts{Address: netip.IPv4Unspecified(), Ports: model.PortRange{Low: uint16(80 + id), High: uint16(80 + id)}}}
}

// Each list of Difference is of a kind, and so is each of a configuration but for those
// that no user has asked for.
func TestEveryListIsOfAKind(t *testing.T) {
	t.Parallel()
	beside := []string{"Compartments", "Remembered", "Leases", "Discovered", "Observed"}
	of := func(v any) (names []string) {
		for _, f := range reflect.VisibleFields(reflect.TypeOf(v)) {
			if (f.Type.Kind() == reflect.Slice || f.Type.Kind() == reflect.Struct) && !slices.Contains(beside, f.Name) {
				names = append(names, f.Name)
			}
		}
		slices.Sort(names)
		return names
	}
	lists := of(Difference{})
	if diff := cmp.Diff(of(config.Config{}), lists); diff != "" {
		t.Errorf("(-configuration +difference):\n%s", diff)
	}
	for _, name := range lists {
		before, after := config.Config{}, config.Config{}
		list := reflect.ValueOf(&after).Elem().FieldByName(name)
		list.Set(reflect.MakeSlice(list.Type(), 1, 1))
		d := Of(&before, &after)
		if reflect.ValueOf(d).FieldByName(name).FieldByName("Added").Len() != 1 {
			t.Errorf("what is added to %s is no difference", name)
		}
	}
}

// A difference that is carried out on the one gives the other.
func TestDiffLeadsFromOneToTheOther(t *testing.T) {
	t.Parallel()
	list := func(t *rapid.T, name string) []model.Mapping {
		var mappings []model.Mapping
		for id := range uint32(12) {
			if rapid.Bool().Draw(t, fmt.Sprint(name, id)) {
				mappings = append(mappings, model.Mapping{ID: id, NAT: rapid.SampledFrom([]string{"a", "b"}).Draw(t, "nat")})
			}
		}
		return mappings
	}
	rapid.Check(t, func(t *rapid.T) {
		before, after := config.Config{Mappings: list(t, "before")}, config.Config{Mappings: list(t, "after")}
		d := Of(&before, &after)
		made := make(map[uint32]model.Mapping)
		for _, m := range before.Mappings {
			made[m.ID] = m
		}
		for _, m := range d.Mappings.Gone() {
			if !m.Equal(new(made[m.ID])) {
				t.Errorf("%d goes and was not there so", m.ID)
			}
			delete(made, m.ID)
		}
		for _, m := range d.Mappings.Put() {
			if _, there := made[m.ID]; there {
				t.Errorf("%d is put where it is", m.ID)
			}
			made[m.ID] = m
		}
		var got []model.Mapping
		for id := range uint32(12) {
			if m, there := made[id]; there {
				got = append(got, m)
			}
		}
		if diff := cmp.Diff(after.Mappings, got, cmpopts.EquateComparable(netip.Addr{})); diff != "" {
			t.Errorf("what it leads to (-want +got):\n%s", diff)
		}
	})
}

func BenchmarkDiff(b *testing.B) {
	c := config.NewConfig()
	for id := range uint32(10_000) {
		c.Mappings = append(c.Mappings, model.Mapping{ID: id, Targets: make([]model.Target, 1), From: make([]netip.Prefix, 1)})
	}
	for id := range uint32(1_000) {
		c.Endpoints = append(c.Endpoints, model.Endpoint{ID: id, Name: "endpoint", Network: "network"})
	}
	more := c.Clone()
	more.Mappings = append(slices.Clip(more.Mappings), model.Mapping{ID: 10_000})
	for b.Loop() {
		if d := Of(&c, &more); len(d.Mappings.Added) != 1 {
			b.Fatal(d.Mappings)
		}
	}
}
