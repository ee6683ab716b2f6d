package replica

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/hostnat/hostnat/dev/lab"
	"github.com/hostnat/hostnat/internal/model"
	"github.com/hostnat/hostnat/internal/recording"
)

// TestInside: the namespace that is made looks the same as the one that was read, and
// nothing of it is left on the machine.
func TestInside(t *testing.T) {
	t.Parallel()
	lab.RequireRoot(t)
	prefix, address := netip.MustParsePrefix, netip.MustParseAddr
	want := recording.Host{
		Links: []recording.Link{
			{Index: 1, Name: "lo", MTU: 65536, Up: true, Addresses: []netip.Prefix{prefix("127.0.0.1/8"), prefix("203.0.113.77/32")}},
			{Index: 7, Name: "eth0", MAC: "02:00:00:00:00:07", MTU: 1400, Up: true, Addresses: []netip.Prefix{prefix("203.0.113.1/24"), prefix("203.0.113.9/24")}},
			{Index: 4711, Name: "hn-web", MAC: "02:00:00:00:00:08", MTU: 9000, Up: true, Forwards: true, Addresses: []netip.Prefix{prefix("172.16.1.1/24")}},
			{Index: 9, Name: "down0", MAC: "02:00:00:00:00:09", MTU: 1500},
		},
		Routes: []recording.Route{
			{Table: 254, To: prefix("0.0.0.0/0"), Type: 1, Protocol: 3, Hops: []recording.Hop{{Link: 7, Via: address("203.0.113.2")}}},
			{Table: 254, To: prefix("198.51.100.0/24"), Type: 1, Protocol: 3, Priority: 10, MTU: 1300, Source: address("203.0.113.9"), Hops: []recording.Hop{
				{Link: 7, Via: address("203.0.113.2")}, {Link: 7, Via: address("203.0.113.3"), Weight: 1},
			}},
			{Table: 254, To: prefix("10.9.0.0/16"), Type: 7, Protocol: 3}, // unreachable
			{Table: 100, To: prefix("0.0.0.0/0"), Type: 1, Protocol: 3, Hops: []recording.Hop{{Link: 7, Via: address("198.18.0.1"), OnLink: true}}},
		},
		Rules:     []recording.Rule{{Priority: 50, Table: 100, From: prefix("172.16.1.0/24"), In: "hn-web"}},
		Listeners: []recording.Listener{{Protocol: model.TCP, Address: netip.MustParseAddrPort("203.0.113.1:8080")}, {Protocol: model.UDP, Address: netip.MustParseAddrPort("0.0.0.0:53")}},
	}
	var got recording.Host
	err := Inside(want, func(missing []string) error {
		if len(missing) > 0 {
			t.Errorf("missing: %v", missing)
		}
		var err error
		got, err = Read(t.Context())
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	ignored := []cmp.Option{
		cmpopts.EquateComparable(netip.Addr{}, netip.AddrPort{}, netip.Prefix{}),
		cmpopts.SortSlices(func(a, b recording.Link) bool { return a.Index < b.Index }),
		cmpopts.SortSlices(func(a, b recording.Route) bool {
			return a.To.String()+string(rune(a.Table)) < b.To.String()+string(rune(b.Table))
		}),
		cmpopts.SortSlices(func(a, b recording.Listener) bool { return a.Protocol < b.Protocol }),
		cmpopts.IgnoreSliceElements(func(r recording.Rule) bool { return r.Priority == 0 || r.Priority >= 32766 }), // each namespace has these
		cmp.Transformer("unscoped", func(r recording.Route) recording.Route { r.Scope = 0; return r }),
	}
	if diff := cmp.Diff(want, got, ignored...); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestWhatCannotBeMade is said, and the rest is there.
func TestWhatCannotBeMade(t *testing.T) {
	t.Parallel()
	lab.RequireRoot(t)
	h := recording.Host{
		Links:  []recording.Link{{Index: 5, Name: "eth0", MTU: 1500, Up: true}, {Index: 5, Name: "eth1", MTU: 1500}, {Index: 6, Name: "../x"}},
		Routes: []recording.Route{{Table: 254, To: netip.MustParsePrefix("10.0.0.0/8"), Type: 1, Hops: []recording.Hop{{Link: 99}}}},
	}
	err := Inside(h, func(missing []string) error {
		if len(missing) != 3 {
			t.Errorf("missing: %q", missing)
		}
		got, err := Read(t.Context())
		if len(got.Links) != 2 {
			t.Errorf("links: %+v", got.Links)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
