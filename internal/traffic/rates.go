package traffic

import (
	"cmp"
	"net/netip"
	"slices"
	"time"

	"github.com/hostnat/hostnat/internal/model"
)

// Rate is what is sent in a second. Bytes are IP's, headers included.
type Rate struct{ PacketsOut, BytesOut, PacketsIn, BytesIn uint64 }

// Rates is what was sent between two readings.
type Rates struct {
	At         time.Time
	Over       time.Duration // between the readings; 0: there is one reading yet, and no rate is known
	Sessions   uint64        // in the table
	Opened     uint64        // sessions that were, in that time
	Unmeasured uint64        // sessions that have sent and are in no rate: see Reading.Left, and those that had been idle before
	Total      Rate
	Drops      []Drop     // the latest first
	Endpoints  []Endpoint // of the sessions' inside addresses
	Networks   []Network  // in no order
	Externals  []External // likewise, those that something goes by
	Active     []Session  // that have sent lately
}

// Drop is a reason for which packets are dropped.
type Drop struct {
	Reason  string
	Packets uint64
	Latest  uint64 // of these, in the time that Rates is over
}

// Endpoint is an endpoint, or an address that none has.
type Endpoint struct {
	Name        string
	Network     string
	Compartment string
	Address     netip.Addr // its lowest
	Sessions    uint64     // in the table
	Opened      uint64     // in the time that Rates is over
	Rate        Rate
}

// Network is the sum of what the endpoints of one have.
type Network struct {
	Name        string
	Compartment string
	Sessions    uint64 // in the table
	Opened      uint64 // in the time that Rates is over
	Rate        Rate
}

// External is what goes by one external address of a NAT.
type External struct {
	NAT     string
	Address netip.Addr
	Rate    Rate
}

// Session is a session and how fast it is.
type Session struct {
	model.Session
	Rate Rate
}

// Between compares two readings. The zero Reading before says that there is none.
func Between(before, now Reading) Rates {
	r := Rates{At: now.At, Sessions: now.Sessions, Unmeasured: now.Left, Drops: dropsBetween(before, now)}
	if !before.At.IsZero() {
		r.Over = now.At.Sub(before.At)
	}
	list := newEndpointList(now.Holders)
	outside := externalList{index: make(map[externalKey]int)}
	former := make(map[sessionKey]counters, len(before.Active))
	for i := range before.Active {
		former[keyOf(&before.Active[i])] = countersOf(&before.Active[i])
	}
	var total counters
	for i := range now.Active {
		s := &now.Active[i]
		var moved counters
		if r.Over > 0 {
			var known bool
			opened := s.CreatedAt.After(before.At)
			moved, known = movedSince(former, s, opened)
			if !known {
				r.Unmeasured++
			}
			r.Opened += list.add(s, moved, opened)
			outside.add(s, moved)
			total = total.plus(moved)
		}
		r.Active = append(r.Active, Session{Session: *s, Rate: moved.over(r.Over)})
	}
	r.Total, r.Networks, r.Externals = total.over(r.Over), list.networks(r.Over), outside.rates(r.Over)
	r.Endpoints = list.rates(r.Over)
	return r
}

// movedSince is what a session has sent since the reading before. False: it was not in
// that reading, and is older.
func movedSince(former map[sessionKey]counters, s *model.Session, opened bool) (counters, bool) {
	if before, known := former[keyOf(s)]; known {
		if moved, same := countersOf(s).since(before); same {
			return moved, true
		}
	}
	if opened {
		return countersOf(s), true
	}
	return counters{}, false
}

func dropsBetween(before, now Reading) []Drop {
	var list []Drop
	for reason, packets := range now.Drops {
		d := Drop{Reason: reason, Packets: packets}
		if former := before.Drops[reason]; !before.At.IsZero() && former <= packets {
			d.Latest = packets - former
		}
		if packets > 0 {
			list = append(list, d)
		}
	}
	slices.SortFunc(list, func(a, b Drop) int {
		return cmp.Or(cmp.Compare(b.Latest, a.Latest), cmp.Compare(b.Packets, a.Packets), cmp.Compare(a.Reason, b.Reason))
	})
	return list
}
