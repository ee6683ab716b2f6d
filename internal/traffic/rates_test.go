package traffic_test

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/hostnat/hostnat/internal/model"
	"github.com/hostnat/hostnat/internal/traffic"
)

var (
	start    = time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
	lastYear = start.AddDate(-1, 0, 0)
	compare  = cmp.Options{cmpopts.EquateComparable(netip.Addr{}, netip.AddrPort{}), cmpopts.EquateEmpty()}
)

// session is one of an endpoint's to a port of a server outside. It has sent so many packets of
// 100 bytes, and got twice as many of 1,000.
func session(endpoint, internal string, port uint16, created time.Time, packets uint64) model.Session {
	return model.Session{
		NAT: "default", Network: "web", Compartment: "default", Endpoint: endpoint, Protocol: model.TCP, State: model.StateEstablished,
		Internal: netip.MustParseAddrPort(internal), External: netip.MustParseAddrPort("203.0.113.1:1024"),
		Remote: netip.AddrPortFrom(netip.MustParseAddr("198.51.100.7"), port), CreatedAt: created,
		PacketsOut: packets, BytesOut: 100 * packets, PacketsIn: 2 * packets, BytesIn: 2000 * packets,
	}
}

func holder(endpoint, address string, sessions uint64) traffic.Holder {
	return traffic.Holder{Endpoint: endpoint, Network: "web", Compartment: "default", Address: netip.MustParseAddr(address), Sessions: sessions}
}

func rate(packets uint64) traffic.Rate {
	return traffic.Rate{PacketsOut: packets, BytesOut: 100 * packets, PacketsIn: 2 * packets, BytesIn: 2000 * packets}
}

func TestBetween(t *testing.T) {
	t.Parallel()
	before := traffic.Reading{At: start, Active: []model.Session{
		session("c1", "172.16.1.2:4000", 80, lastYear, 100),
		session("c1", "172.16.1.2:4001", 80, lastYear, 50),
		session("c2", "172.16.1.3:4000", 80, lastYear, 1000),
		session("c2", "172.16.1.3:4002", 80, lastYear, 7),
	}, Drops: map[string]uint64{"no-session": 10, "ttl": 4, "mtu": 9}}
	now := traffic.Reading{At: start.Add(2 * time.Second), Sessions: 12, Left: 3, Active: []model.Session{
		session("c1", "172.16.1.2:4000", 80, lastYear, 120), // 10 packets a second
		session("c1", "172.16.1.2:4001", 80, lastYear, 50),  // nothing
		session("c1", "172.16.1.2:4002", 80, start.Add(time.Second), 6),
		session("c2", "172.16.1.3:4000", 80, start.Add(time.Second), 8), // another one with the same ends
		session("c2", "172.16.1.3:4001", 80, lastYear, 900),             // it had been idle: not known
		session("", "172.16.1.9:53", 53, start.Add(time.Second), 2),
	}, Drops: map[string]uint64{"no-session": 13, "ttl": 4, "mtu": 1, "none": 0}, Holders: []traffic.Holder{
		holder("c1", "172.16.1.7", 1), holder("c1", "172.16.1.2", 5), holder("c2", "172.16.1.3", 4), holder("", "172.16.1.9", 1), holder("", "172.16.1.8", 1),
	}}
	got := traffic.Between(before, now)
	endpoint := func(name, address string, sessions, opened, packets uint64) traffic.Endpoint {
		return traffic.Endpoint{Name: name, Network: "web", Compartment: "default", Address: netip.MustParseAddr(address), Sessions: sessions, Opened: opened, Rate: rate(packets)}
	}
	want := traffic.Rates{
		At: now.At, Over: 2 * time.Second, Sessions: 12, Opened: 3, Unmeasured: 4, Total: rate(18),
		Drops: []traffic.Drop{{"no-session", 13, 3}, {"ttl", 4, 0}, {"mtu", 1, 0}}, // mtu: counted anew
		Endpoints: []traffic.Endpoint{
			endpoint("c1", "172.16.1.2", 6, 1, 13), endpoint("c2", "172.16.1.3", 4, 1, 4),
			endpoint("", "172.16.1.9", 1, 1, 1), endpoint("", "172.16.1.8", 1, 0, 0),
		},
		Networks:  []traffic.Network{{Name: "web", Compartment: "default", Sessions: 12, Opened: 3, Rate: rate(18)}},
		Externals: []traffic.External{{NAT: "default", Address: netip.MustParseAddr("203.0.113.1"), Rate: rate(18)}},
		Active: []traffic.Session{
			{now.Active[0], rate(10)}, {now.Active[1], rate(0)}, {now.Active[2], rate(3)},
			{now.Active[3], rate(4)}, {now.Active[4], rate(0)}, {now.Active[5], rate(1)},
		},
	}
	if diff := cmp.Diff(want, got, compare); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// With one reading nothing is known but what there is.
func TestFirstReading(t *testing.T) {
	t.Parallel()
	got := traffic.Between(traffic.Reading{}, traffic.Reading{
		At: start, Sessions: 1, Active: []model.Session{session("c1", "172.16.1.2:4000", 80, lastYear, 100)},
		Holders: []traffic.Holder{holder("c1", "172.16.1.2", 1)}, Drops: map[string]uint64{"ttl": 4},
	})
	want := traffic.Rates{
		At: start, Sessions: 1, Drops: []traffic.Drop{{"ttl", 4, 0}},
		Endpoints: []traffic.Endpoint{{Name: "c1", Network: "web", Compartment: "default", Address: netip.MustParseAddr("172.16.1.2"), Sessions: 1}},
		Networks:  []traffic.Network{{Name: "web", Compartment: "default", Sessions: 1}},
		Active:    []traffic.Session{{Session: session("c1", "172.16.1.2:4000", 80, lastYear, 100)}},
	}
	if diff := cmp.Diff(want, got, compare); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// Networks and external addresses are summed each for itself; what has not sent is in no address.
func TestSums(t *testing.T) {
	t.Parallel()
	of := func(network, nat, external, internal string) model.Session {
		s := session("", internal, 80, lastYear, 10)
		s.Network, s.NAT, s.External = network, nat, netip.MustParseAddrPort(external)
		return s
	}
	list := []model.Session{
		of("web", "default", "203.0.113.1:1", "172.16.1.2:1"), of("web", "default", "203.0.113.1:2", "172.16.1.2:2"),
		of("db", "vpn", "203.0.113.9:1", "172.16.2.2:1"), of("idle", "default", "203.0.113.8:1", "172.16.3.2:1"),
	}
	now := slices.Clone(list)
	for i := range now[:3] {
		now[i].PacketsOut, now[i].BytesOut = now[i].PacketsOut+1, now[i].BytesOut+100
	}
	got := traffic.Between(traffic.Reading{At: start, Active: list}, traffic.Reading{At: start.Add(time.Second), Active: now,
		Holders: []traffic.Holder{{Network: "web", Compartment: "default", Address: netip.MustParseAddr("172.16.1.2"), Sessions: 2}}})
	sent := func(n uint64) traffic.Rate { return traffic.Rate{PacketsOut: n, BytesOut: 100 * n} }
	want := []traffic.Network{{"web", "default", 2, 0, sent(2)}, {"db", "default", 0, 0, sent(1)}, {"idle", "default", 0, 0, sent(0)}}
	if diff := cmp.Diff(want, got.Networks); diff != "" {
		t.Errorf("networks (-want +got):\n%s", diff)
	}
	outside := []traffic.External{{"default", netip.MustParseAddr("203.0.113.1"), sent(2)}, {"vpn", netip.MustParseAddr("203.0.113.9"), sent(1)}}
	if diff := cmp.Diff(outside, got.Externals, compare); diff != "" {
		t.Errorf("external addresses (-want +got):\n%s", diff)
	}
}
