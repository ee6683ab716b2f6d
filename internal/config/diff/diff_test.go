package diff

import (
	"fmt"
	"net/netip"
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
		c.Mappings = []model.Mapping{{ID: 1}, {ID: 2}, {ID: 3}}
		c.Reservations = []model.Reservation{{Network: "a", Address: netip.MustParseAddr("10.0.0.1"), Name: "x"}, {Network: "a", Address: netip.MustParseAddr("10.0.0.2"), Name: "y"}}
		c.Pools = []model.Pool{{Prefix: netip.MustParsePrefix("10.0.0.0/8"), Size: 24}}
		c.Remembered = []model.Remembered{{Name: "m"}, {Name: "n"}}
		return c
	}
	network := func(name string, id uint32) model.Network { return model.Network{Name: name, ID: id} }
	tests := []struct {
		name                     string
		edit                     func(*config.Config)
		want                     Difference
		onlyMappings, onlyInside bool
		all                      string
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
			onlyInside: true, all: "removed reservation a/10.0.0.2, changed reservation a/10.0.0.1, ",
		},
		{
			name: "pool", edit: func(c *config.Config) { c.Pools[0].Size = 25 },
			want: Difference{Rest: true, Pools: List[model.Pool]{Changed: []Change[model.Pool]{{start().Pools[0], model.Pool{Prefix: start().Pools[0].Prefix, Size: 25}}}}},
			all:  "changed pool 10.0.0.0/8, ", onlyInside: true,
		},
		{
			name: "endpoint added", edit: func(c *config.Config) { c.Endpoints = append(c.Endpoints, model.Endpoint{Name: "c3", ID: 7}) },
			want:       Difference{Endpoints: List[model.Endpoint]{Added: []model.Endpoint{{Name: "c3", ID: 7}}}},
			onlyInside: true, all: "added endpoint c3, ",
		},
		{
			name: "endpoint removed", edit: func(c *config.Config) { c.Endpoints = c.Endpoints[1:] },
			want:       Difference{Endpoints: List[model.Endpoint]{Removed: start().Endpoints[:1]}},
			onlyInside: true, all: "removed endpoint c1, ",
		},
		{
			name: "one network for another", edit: func(c *config.Config) { c.Networks = []model.Network{network("x", 2), network("a", 3)} },
			want:       Difference{Networks: List[model.Network]{Added: []model.Network{network("x", 2)}, Removed: []model.Network{network("b", 4)}}},
			onlyInside: true, all: "removed network b, added network x, ",
		},
		{
			name: "network renamed", edit: func(c *config.Config) { c.Networks[1].Name = "c" },
			want: Difference{Networks: List[model.Network]{Changed: []Change[model.Network]{{network("b", 4), network("c", 4)}}}},
			all:  "changed network c, ",
		},
		{
			name: "mappings", edit: func(c *config.Config) {
				c.Mappings = []model.Mapping{{ID: 2, NAT: "n"}, {ID: 3}, {ID: 4}}
				c.NextMapping++
			},
			want: Difference{Counters: true, Mappings: List[model.Mapping]{
				Added: []model.Mapping{{ID: 4}}, Changed: []Change[model.Mapping]{{model.Mapping{ID: 2}, model.Mapping{ID: 2, NAT: "n"}}}, Removed: []model.Mapping{{ID: 1}},
			}},
			onlyMappings: true, onlyInside: true, all: "removed mapping 1, changed mapping 2, added mapping 4, ",
		},
		{name: "NAT changed", edit: func(c *config.Config) { c.NATs[0].MSSClamp = true }, want: Difference{NATs: List[model.NAT]{
			Changed: []Change[model.NAT]{{start().NATs[0], func() model.NAT { n := start().NATs[0]; n.MSSClamp = true; return n }()}},
		}}, all: "changed nat default, "},
		{
			name: "proxy added", edit: func(c *config.Config) { c.Proxies = []model.Proxy{{ID: 1}} },
			want: Difference{Proxies: List[model.Proxy]{Added: []model.Proxy{{ID: 1}}}}, all: "added proxy 1, ",
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
			all := ""
			for e := range got.All() {
				all += e.Verb() + " " + e.Kind + " " + e.Name + ", "
			}
			if all != test.all {
				t.Errorf("all: %q, want %q", all, test.all)
			}
		})
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
