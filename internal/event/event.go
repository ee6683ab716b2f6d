package event

import (
	"encoding/json"
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
	Time                time.Time      `json:"time"`
	ID                  ID             `json:"id"`
	Name                string         `json:"name"` // "SessionCreate"
	Level               Level          `json:"level"`
	Protocol            model.Protocol `json:"protocol,omitzero"`
	NAT                 string         `json:"nat,omitempty"`
	Network             string         `json:"network,omitempty"`
	Compartment         string         `json:"compartment,omitempty"`
	Internal            netip.AddrPort `json:"internal,omitzero"`
	InternalDestination netip.AddrPort `json:"internalDestination,omitzero"`
	External            netip.AddrPort `json:"external,omitzero"`
	ExternalDestination netip.AddrPort `json:"externalDestination,omitzero"`
	LifetimeSeconds     uint32         `json:"lifetimeSeconds,omitempty"` // always there for sessions
	TCPState            model.TCPState `json:"tcpState,omitzero"`         // always there for sessions
	SessionCount        uint32         `json:"sessionCount,omitempty"`    // always there for bindings
	Configured          bool           `json:"configured,omitempty"`      // always there for bindings
	Description         string         `json:"description,omitempty"`     // what is full, what overlaps, what moved
}

// New returns an event of the given kind with its name and level filled in.
func New(id ID, at time.Time) Event {
	return Event{Time: at, ID: id, Name: id.Name(), Level: id.Level()}
}

// MarshalJSON leaves out what does not apply to the event's ID and keeps what
// does, even where it is zero: a deleted binding's sessionCount is 0, not gone.
func (e Event) MarshalJSON() ([]byte, error) {
	type plain Event
	switch ids[e.ID].kind {
	case session:
		return json.Marshal(struct {
			plain
			LifetimeSeconds uint32         `json:"lifetimeSeconds"`
			TCPState        model.TCPState `json:"tcpState"`
		}{plain(e), e.LifetimeSeconds, e.TCPState})
	case binding:
		return json.Marshal(struct {
			plain
			SessionCount uint32 `json:"sessionCount"`
			Configured   bool   `json:"configured"`
		}{plain(e), e.SessionCount, e.Configured})
	}
	return json.Marshal(plain(e))
}
