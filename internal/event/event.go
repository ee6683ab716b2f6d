package event

import (
	"net/netip"
	"time"

	"github.com/hostnat/hostnat/internal/model"
)

// Event is one thing that happened in the data path.
//
// A session event has the four addresses of WinNAT's session: the source and
// destination that the inside sees, and the source and destination that the
// outside sees. "Source" is always the inside party, whichever side sent the
// first packet. A binding event uses Internal and External alone.
type Event struct {
	Time                time.Time
	ID                  ID
	Name                string // "SessionCreate"
	Level               Level
	Protocol            model.Protocol
	NAT                 string
	Network             string
	Compartment         string
	Internal            netip.AddrPort
	InternalDestination netip.AddrPort
	External            netip.AddrPort
	ExternalDestination netip.AddrPort
	LifetimeSeconds     uint32         // of a session
	TCPState            model.TCPState // of a session
	SessionCount        uint32         // of a binding
	Configured          bool           // of a binding
	Description         string         // what is full, what overlaps, what moved
}

// New returns an event of the given kind with its name and level filled in.
func New(id ID, at time.Time) Event {
	return Event{Time: at, ID: id, Name: id.Name(), Level: id.Level()}
}
