package metrics

import "net/netip"

// Snapshot is what there is to tell at one moment.
type Snapshot struct {
	Version       string
	UptimeSeconds uint64

	NATs, Networks, Endpoints, Mappings int
	Bindings, Sessions, MaxSessions     uint64
	Problems                            int

	Drops      map[string]uint64 // packets, by reason
	EventsLost uint64
	Exports    []Export
	Pools      []Pool
	Refusals   []Refusal
	DHCP       []DHCP
	DNS        map[string]uint64 // questions and connections refused, by network
	Proxies    []Proxy
	API        API

	RoundTrips       []RoundTrips
	RepeatedSYNs     map[string]uint64 // by network
	MissedHandshakes uint64            // of sessions that could not be counted
}

// RoundTrips is how long one side of a network's NAT took to answer in TCP handshakes.
type RoundTrips struct {
	Network, Side string
	Bounds        []float64 // seconds; the last of Buckets has none
	Buckets       []uint64  // answers in each, alone
	Seconds       float64   // of all together
	Unanswered    uint64
}

// Pool is what one protocol has of a NAT's external address.
type Pool struct {
	NAT, Protocol string
	Address       netip.Addr
	Ports, InUse  int
}

// Refusal is the frames of a plugged-in port that were refused for a reason.
type Refusal struct {
	Interface, Reason string
	Frames            uint64
}

// DHCP is what a network's DHCP server did not do.
type DHCP struct {
	Network          string
	Forged, Unserved uint64 // messages
}

// Export is what became of the events for a collector.
type Export struct {
	Kind, Destination string
	Sent, Lost        uint64
}

// Proxy is what a port proxy does.
type Proxy struct {
	ID                           string
	Now, Total, Refused, GaveWay uint64 // connections
	BytesIn, BytesOut            uint64
}

// API is who speaks to the daemon.
type API struct {
	Connections, Watchers                           int
	RefusedConnections, RefusedWatchers, ClosedIdle uint64
}
