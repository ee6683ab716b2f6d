package model

import "net/netip"

// Report is what came of making the kernel equal to a Config: things that are
// not as wanted, though the rest is in place.
type Report struct {
	Problems  []string             // one line each, for people
	Absent    map[string]error     // endpoints that are not attached, by name, and why
	Active    map[uint32]bool      // ids of the mappings that the data path serves
	Addresses map[netip.Addr]error // external addresses that are not added to the host, and why
	Host      HostFacts            // what the host itself used at that moment
}

// Counters is the data path's own count of things.
type Counters struct {
	Drops       map[string]uint64 // packets dropped, by name of the reason
	Bindings    uint64            // elements in the table now
	Sessions    uint64            // elements in the table now
	MaxSessions uint64            // elements the table can hold
	EventsLost  uint64            // not delivered to watchers that were too slow, since the daemon's start
}
