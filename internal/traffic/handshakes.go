package traffic

import (
	"maps"

	"github.com/hostnat/hostnat/internal/model"
)

// RoundTripBounds are the upper bounds of a histogram's buckets, in microseconds; the last
// bucket has none.
var RoundTripBounds = [...]uint32{100, 250, 500, 1000, 2500, 5000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000, 5_000_000}

// RoundTrips is how long one side took to answer in handshakes.
type RoundTrips struct {
	Buckets      [len(RoundTripBounds) + 1]uint64 // how many in each, alone
	Microseconds uint64                           // of all together
	Unanswered   uint64                           // handshakes in which this side was asked, and did not answer until the session's end
}

func (r *RoundTrips) add(microseconds uint32) {
	if microseconds == 0 { // it was not asked
		return
	}
	at := 0
	for at < len(RoundTripBounds) && microseconds > RoundTripBounds[at] {
		at++
	}
	r.Buckets[at]++
	r.Microseconds += uint64(microseconds)
}

// NetworkHandshakes is both sides of a network's NAT.
type NetworkHandshakes struct {
	Endpoint, Outside RoundTrips
	RepeatedSYNs      uint64
}

// Handshakes are those of TCP sessions that have ended, by network.
type Handshakes struct {
	Networks map[string]NetworkHandshakes
	Missed   uint64 // sessions of which it is not known
}

// Add counts one. A network without a name is one that is gone.
func (h *Handshakes) Add(network string, of model.Handshake) {
	if network == "" {
		return
	}
	if h.Networks == nil {
		h.Networks = make(map[string]NetworkHandshakes)
	}
	n := h.Networks[network]
	n.Endpoint.add(of.EndpointMicroseconds)
	n.Outside.add(of.OutsideMicroseconds)
	switch of.Awaits {
	case model.EndpointSide:
		n.Endpoint.Unanswered++
	case model.OutsideSide:
		n.Outside.Unanswered++
	}
	n.RepeatedSYNs += uint64(of.RepeatedSYNs)
	h.Networks[network] = n
}

// Keep forgets all networks but those that are known.
func (h *Handshakes) Keep(known func(network string) bool) {
	maps.DeleteFunc(h.Networks, func(network string, _ NetworkHandshakes) bool { return !known(network) })
}

// Clone returns a copy.
func (h *Handshakes) Clone() Handshakes {
	return Handshakes{Networks: maps.Clone(h.Networks), Missed: h.Missed}
}
