package api

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/netip"
	"time"
)

// Event is one thing that happened in the data path or in the daemon.
//
// A session event has four addresses: source and destination as the inside sees
// them, and as the outside does. "Source" is always the inside party, whichever
// side sent the first packet. A binding event uses Internal and External alone.
type Event struct {
	Time                time.Time      `json:"time"`
	ID                  uint16         `json:"id"`    // up to 1999 Microsoft-Windows-WinNat's number
	Name                string         `json:"name"`  // "SessionCreate"
	Level               string         `json:"level"` // verbose, information, warning or error
	Protocol            Protocol       `json:"protocol,omitempty"`
	NAT                 string         `json:"nat,omitempty"`
	Network             string         `json:"network,omitempty"`
	Compartment         string         `json:"compartment,omitempty"`
	Internal            netip.AddrPort `json:"internal,omitzero"`
	InternalDestination netip.AddrPort `json:"internalDestination,omitzero"`
	External            netip.AddrPort `json:"external,omitzero"`
	ExternalDestination netip.AddrPort `json:"externalDestination,omitzero"`
	LifetimeSeconds     *uint32        `json:"lifetimeSeconds,omitempty"` // of a session
	TCPState            TCPState       `json:"tcpState,omitempty"`        // of a session
	SessionCount        *uint32        `json:"sessionCount,omitempty"`    // of a binding
	Configured          *bool          `json:"configured,omitempty"`      // of a binding
	Description         string         `json:"description,omitempty"`     // what is full, what overlaps, what moved
	Message             string         `json:"message"`                   // all of it in a sentence or two
}

// EventStream is the content type of a stream of events: one JSON object a line.
const EventStream = "application/x-ndjson"

// Watch sends the daemon's events until ctx ends or the daemon stops; then the
// channel is closed.
func (c *Client) Watch(ctx context.Context) (<-chan Event, error) {
	resp, err := c.send(ctx, http.MethodGet, "/v1/events", nil)
	if err != nil {
		return nil, err
	}
	if got := resp.Header.Get("Content-Type"); got != EventStream {
		_ = resp.Body.Close()
		return nil, fmt.Errorf("watch events: the answer is %q, not a stream", got)
	}
	events := make(chan Event, 64)
	go func() {
		defer close(events)
		defer resp.Body.Close()
		for lines := json.NewDecoder(resp.Body); ; {
			var e Event
			if lines.Decode(&e) != nil {
				return
			}
			select {
			case events <- e:
			case <-ctx.Done():
				return
			}
		}
	}()
	return events, nil
}
