package api

import (
	"context"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
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
	Endpoint            string         `json:"endpoint,omitempty"` // whose address Internal is, or that sent what was dropped
	Internal            netip.AddrPort `json:"internal,omitzero"`
	InternalDestination netip.AddrPort `json:"internalDestination,omitzero"`
	External            netip.AddrPort `json:"external,omitzero"`
	ExternalDestination netip.AddrPort `json:"externalDestination,omitzero"`
	RemoteName          string         `json:"remoteName,omitempty"`      // by which InternalDestination was asked for
	LifetimeSeconds     *uint32        `json:"lifetimeSeconds,omitempty"` // of a session
	TCPState            TCPState       `json:"tcpState,omitempty"`        // of a session
	Handshake           Handshake      `json:"handshake,omitzero"`        // of a session of TCP, as far as it is known
	SessionCount        *uint32        `json:"sessionCount,omitempty"`    // of a binding
	Configured          *bool          `json:"configured,omitempty"`      // of a binding
	Cause               string         `json:"cause,omitempty"`           // of a session's end: timeout, by-hand, ...
	Drop                *Drop          `json:"drop,omitempty"`            // a packet that was dropped
	Packet              *EventPacket   `json:"packet,omitempty"`          // one that was translated, forwarded or left to the host
	Lost                uint64         `json:"lost,omitempty"`            // how many events there was no room for
	Author              string         `json:"author,omitempty"`          // who has changed the configuration: "root (pid 4711)"
	Description         string         `json:"description,omitempty"`     // what is full, what overlaps, what moved, what was lost, what has changed
	Short               string         `json:"short"`                     // all that matters in few words
	Message             string         `json:"message"`                   // all of it in a sentence or two
}

// EventPacket is a packet that was translated, forwarded or left to the host.
type EventPacket struct {
	ID             uint64     `json:"id"`             // its own: events of one packet have the same
	Program        string     `json:"program"`        // that had it: inside_ingress, ...
	Link           string     `json:"link"`           // at which it was
	Out            string     `json:"out,omitempty"`  // the endpoint that it goes to, or "outside"
	Identification uint16     `json:"identification"` // of its IP header
	Came           PacketSide `json:"came"`
	Went           PacketSide `json:"went"`
}

// EventFilter selects events; its zero value selects all that come from now on.
type EventFilter struct {
	Filter            // of sessions, bindings and drops; what is about none of these passes it only if it is empty, or by NAT and network
	Kinds   []string  // session, binding, drop, configuration, other, translated, forwarded or skipped; or an event's name or number. None: all but those of each packet
	Not     []string  // the same, to be left out
	Packets bool      // also each packet: translated, forwarded and skipped. All traffic slows while somebody watches them
	Level   string    // these and what is more urgent: verbose, information, warning or error; empty: all
	Reason  string    // only packets that were dropped for this reason
	Since   time.Time // those that the kernel has recorded since then come first: drops and ends of sessions. Zero: none
	Last    int       // of the recorded ones only so many, the latest; 0: all that there are since Since
}

func (f EventFilter) values() url.Values {
	values := f.Filter.values()
	for key, list := range map[string][]string{"kinds": f.Kinds, "not": f.Not} {
		if len(list) > 0 {
			values.Set(key, strings.Join(list, ","))
		}
	}
	if !f.Since.IsZero() {
		values.Set("since", f.Since.Format(time.RFC3339Nano))
	}
	if f.Packets {
		values.Set("packets", "true")
	}
	for key, text := range map[string]string{"level": f.Level, "reason": f.Reason} {
		if text != "" {
			values.Set(key, text)
		}
	}
	if f.Last > 0 {
		values.Set("last", strconv.Itoa(f.Last))
	}
	return values
}

// EventStream is the content type of a stream of events: one JSON object a line.
const EventStream = "application/x-ndjson"

// Watch sends the events that are selected until ctx ends or the daemon stops; then
// the channel is closed.
func (c *Client) Watch(ctx context.Context, filter EventFilter) (<-chan Event, error) {
	resp, err := c.send(ctx, http.MethodGet, "/v1/events"+encodeQuery(filter.values()), nil)
	if err != nil {
		return nil, err
	}
	if got := resp.Header.Get("Content-Type"); got != EventStream {
		_ = resp.Body.Close()
		return nil, fmt.Errorf("watch events: the answer is %q, not a stream", got)
	}
	return lines[Event](ctx, resp.Body), nil
}
