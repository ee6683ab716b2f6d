package traffic

import (
	"net/netip"
	"time"

	"github.com/hostnat/hostnat/internal/model"
)

// Reading is what the kernel's tables had at one time.
type Reading struct {
	At       time.Time
	Sessions uint64            // in the table
	Drops    map[string]uint64 // packets, by reason
	Holders  []Holder          // of all sessions
	Active   []model.Session   // those that have sent lately
	Left     uint64            // how many have too, and are left out of Active, since there are so many
}

// Holder is an address inside that has sessions.
type Holder struct {
	Endpoint    string // empty: an address that no endpoint has
	Network     string
	Compartment string
	Address     netip.Addr
	Sessions    uint64
}

// counters are what a session has sent.
type counters struct{ packetsOut, bytesOut, packetsIn, bytesIn uint64 }

func countersOf(s *model.Session) counters {
	return counters{s.PacketsOut, s.BytesOut, s.PacketsIn, s.BytesIn}
}

func (c counters) plus(o counters) counters {
	return counters{c.packetsOut + o.packetsOut, c.bytesOut + o.bytesOut, c.packetsIn + o.packetsIn, c.bytesIn + o.bytesIn}
}

// since is what came on top of former counters. False: these are another session's.
func (c counters) since(o counters) (counters, bool) {
	if c.packetsOut < o.packetsOut || c.bytesOut < o.bytesOut || c.packetsIn < o.packetsIn || c.bytesIn < o.bytesIn {
		return counters{}, false
	}
	return counters{c.packetsOut - o.packetsOut, c.bytesOut - o.bytesOut, c.packetsIn - o.packetsIn, c.bytesIn - o.bytesIn}, true
}

// over is a rate: so much in a time.
func (c counters) over(d time.Duration) Rate {
	second := func(n uint64) uint64 {
		if d <= 0 {
			return 0
		}
		return uint64(float64(n)/d.Seconds() + 0.5)
	}
	return Rate{second(c.packetsOut), second(c.bytesOut), second(c.packetsIn), second(c.bytesIn)}
}

// sessionKey is what a session is known by.
type sessionKey struct {
	compartment      string
	protocol         model.Protocol
	internal, remote netip.AddrPort
}

func keyOf(s *model.Session) sessionKey {
	return sessionKey{s.Compartment, s.Protocol, s.Internal, s.Remote}
}
