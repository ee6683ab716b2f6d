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
	NATID               uint32 // 0: none that is known
	Network             string
	Compartment         string
	Endpoint            string // whose address Internal is; empty: none that is known
	Internal            netip.AddrPort
	InternalDestination netip.AddrPort
	External            netip.AddrPort
	ExternalDestination netip.AddrPort
	RemoteName          string          // by which InternalDestination was asked for; empty: not known
	LifetimeSeconds     uint32          // of a session
	TCPState            model.TCPState  // of a session
	Handshake           model.Handshake // of a session
	SessionCount        uint32          // of a binding
	Configured          bool            // of a binding
	Cause               model.EndCause  // of a session's end
	Drop                *model.Drop     // of DroppedPacket
	Packet              *Packet         // of Translation, ForwardedPacket and SkippedPacket
	Lost                uint64          // of EventsLost
	Limit               uint32          // of EndpointLimited and MemoryAllocationFailure: sessions that an endpoint or the table may have; 0: not known
	Author              string          // of ConfigurationChange: who has asked for it
	Description         string          // what is full, what overlaps, what moved, what was lost, what has changed
}

// OfDrop is the event of a packet that was dropped, or of several that were alike.
func OfDrop(d model.Drop) Event {
	e := New(DroppedPacket, d.Last)
	e.Network, e.Endpoint, e.Drop = d.Network, d.Endpoint, &d
	switch p := model.Protocol(d.Protocol); p {
	case model.TCP, model.UDP, model.ICMP:
		e.Protocol = p
	}
	return e
}

// OfEnded is the event of a session's end.
func OfEnded(s model.EndedSession) Event {
	e := New(SessionDelete, s.EndedAt)
	e.Protocol, e.NAT, e.Network, e.Compartment, e.Endpoint = s.Protocol, s.NAT, s.Network, s.Compartment, s.Endpoint
	e.Internal, e.InternalDestination, e.External, e.ExternalDestination = s.Internal, s.Remote, s.External, s.Remote
	e.RemoteName = s.RemoteName
	e.TCPState, e.Cause, e.Handshake = s.State, s.Cause, s.Handshake
	return e
}

// New returns an event of the given kind with its name and level filled in.
func New(id ID, at time.Time) Event {
	return Event{Time: at, ID: id, Name: id.Name(), Level: id.Level()}
}
