package top

import (
	"fmt"
	"net/netip"
	"time"

	"github.com/hostnat/hostnat/api"
)

var at = time.Date(2026, 11, 30, 12, 0, 3, 0, time.Local)

// example has c1, which downloads much; 30 endpoints that do little; an address that no
// endpoint has; and drops for two reasons, of one of them just now.
func example() api.Traffic {
	t := api.Traffic{
		At: at, Milliseconds: 2000, Sessions: 1042, Opened: 25, Unmeasured: 3, MatchingEndpoints: 512, MatchingSessions: 32,
		Total: api.Rate{PacketsOut: 1200, BytesOut: 96_000, PacketsIn: 123_456, BytesIn: 180_000_000},
		Drops: []api.TrafficDrop{
			{Reason: "isolated-network", Meaning: "an endpoint of another network, which is isolated, was meant", Packets: 1234, Latest: 3},
			{Reason: "no-session", Meaning: "nothing inside has asked for it, and no mapping takes it", Packets: 99},
		},
	}
	add := func(name, address string, sessions, opened uint64, remote string, protocol api.Protocol, state api.TCPState, r api.Rate) {
		a := netip.MustParseAddr(address)
		t.Endpoints = append(t.Endpoints, api.TrafficEndpoint{Endpoint: name, Network: "web", Compartment: "default", Address: a, Sessions: sessions, Opened: opened, Rate: r})
		t.Active = append(t.Active, api.TrafficSession{Session: api.Session{
			NAT: "default", Network: "web", Endpoint: name, Compartment: "default", Protocol: protocol, State: state,
			Internal: netip.AddrPortFrom(a, 50312), External: netip.MustParseAddrPort("203.0.113.1:18344"), Remote: netip.MustParseAddrPort(remote),
			CreatedAt: at.Add(-65 * time.Second),
		}, Rate: r})
	}
	add("c1", "172.16.1.2", 1000, 12, "198.51.100.7:443", api.TCP, api.StateEstablished, api.Rate{PacketsOut: 1000, BytesOut: 64_000, PacketsIn: 123_000, BytesIn: 179_000_000})
	t.Active[0].RemoteName = "shop.example.com"
	t.Active[0].Handshake = api.Handshake{EndpointMicroseconds: 85, OutsideMicroseconds: 23_400, RepeatedSYNs: 1}
	for i := range 30 {
		add(fmt.Sprintf("worker-%02d", i), fmt.Sprintf("172.16.1.%d", 10+i), 1, 0, "203.0.113.200:53", api.UDP, api.StateNone, api.Rate{PacketsOut: 3, BytesOut: 200, PacketsIn: 3, BytesIn: 900})
	}
	add("", "172.16.1.99", 12, 1, "192.0.2.1:0", api.ICMP, api.StateNone, api.Rate{})
	return t
}

func shown(width, height int) State {
	return State{Width: width, Height: height, Interval: 2 * time.Second, Order: "bytes", Traffic: example()}
}

// failed is what explain finds.
func failed() *Explanation {
	return &Explanation{Title: "dropped: isolated-network", Failures: []api.Failure{{
		Outcome: api.OutcomeDropped, Reason: "isolated-network", Count: 3, Last: at, Endpoint: "c1",
		What:     "c1 → 172.16.2.2:80, tcp, at hv-c1",
		Meaning:  "Networks of one compartment are isolated from each other unless both are open; nothing has left the switch, and the sender was told.",
		Remedies: []api.Remedy{{Object: "network web, which is isolated", Command: "hostnat network set web isolation=off"}},
	}}}
}
