package reconcile

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hostnat/hostnat/internal/config"
	"github.com/hostnat/hostnat/internal/host"
	"github.com/hostnat/hostnat/internal/model"
)

// What each network's links take follows the least that a segment may be sent to.
func TestSegments(t *testing.T) {
	t.Parallel()
	const usual, most, large = 65536, 524280, 192<<10 - 8
	veth := func(index, bridge int) host.Link {
		return host.Link{Index: index, Type: "veth", Alias: host.Owner, MasterIndex: bridge, Segment: usual, SegmentMax: most}
	}
	outside := host.Link{Index: 2, Name: "out0", Up: true, Segment: usual, SegmentMax: most}
	with := func(change func(*host.Link)) host.Link {
		l := outside
		change(&l)
		return l
	}
	links := []host.Link{
		{Index: 10, Name: "hn-a", Type: "bridge", Alias: host.Owner}, {Index: 11, Name: "hn-b", Type: "bridge", Alias: host.Owner},
		{Index: 12, Name: "hn-c", Type: "bridge", Alias: host.Owner}, {Index: 13, Name: "virbr0", Type: "bridge"},
		veth(20, 10), veth(21, 11), {Index: 22, Name: "tap0", Type: "tuntap", MasterIndex: 11, Segment: usual, SegmentMax: usual},
		veth(23, 12), {Index: 24, Name: "vnet0", Type: "veth", MasterIndex: 12, Segment: usual, SegmentMax: most},
		veth(25, 13), {Index: 26, Name: "vnet1", Type: "veth", MasterIndex: 13, Segment: usual, SegmentMax: most},
	}
	networks := []model.Network{{Name: "a", Bridge: "hn-a"}, {Name: "b", Bridge: "hn-b"}, {Name: "c", Bridge: "hn-c"}, {Name: "d", Bridge: "virbr0", Adopted: true}}
	for _, tt := range []struct {
		name       string
		outsides   []host.Link
		open       []int // networks that are not isolated
		outside    int
		a, b, c, d int
	}{
		{name: "by their ports", outsides: []host.Link{outside}, outside: large, a: large, b: usual, c: large, d: usual},
		{name: "open networks have the least of theirs", outsides: []host.Link{outside}, open: []int{1, 2}, outside: large, a: large, b: usual, c: usual, d: usual},
		{name: "one outside takes less", outsides: []host.Link{outside, with(func(l *host.Link) { l.SegmentMax = usual })}, outside: usual, a: usual, b: usual, c: usual, d: usual},
		{name: "that one is down", outsides: []host.Link{outside, with(func(l *host.Link) { l.SegmentMax, l.Up = usual, false })}, outside: large, a: large, b: usual, c: large, d: usual},
		{name: "a bridge without ports leads nowhere", outsides: []host.Link{outside, with(func(l *host.Link) { l.SegmentMax, l.Type = usual, "bridge" })}, outside: large, a: large, b: usual, c: large, d: usual},
		{name: "its owner has chosen", outsides: []host.Link{with(func(l *host.Link) { l.Segment = 100000 })}, outside: 100000, a: 100000, b: usual, c: 100000, d: usual},
		{name: "the hardware takes 128 KiB", outsides: []host.Link{with(func(l *host.Link) { l.SegmentMax = 131072 })}, outside: 131064, a: 131064, b: usual, c: 131064, d: usual},
		{name: "raised before", outsides: []host.Link{with(func(l *host.Link) { l.Segment = large })}, outside: large, a: large, b: usual, c: large, d: usual},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c := config.Config{Networks: append([]model.Network(nil), networks...)}
			for _, i := range tt.open {
				c.Networks[i].Isolation = model.NotIsolated
			}
			got := segmentsOf(c, append(links, tt.outsides...), tt.outsides)
			if got.outside != tt.outside {
				t.Errorf("outside %d, want %d", got.outside, tt.outside)
			}
			if diff := cmp.Diff(map[string]int{"a": tt.a, "b": tt.b, "c": tt.c, "d": tt.d}, got.network); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
	if got := segmentsOf(config.Config{Networks: networks}, nil, []host.Link{{Up: true}}); got.of(networks[0]) != 0 {
		t.Errorf("on a kernel that has no such size: %d, want that it is left alone", got.of(networks[0]))
	}
}
