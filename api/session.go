package api

import (
	"cmp"
	"context"
	"iter"
	"net/http"
	"net/netip"
	"slices"
	"time"
)

// TCPState is the state of a session's connection.
type TCPState string

// The states. Sessions of protocols other than TCP stay at StateNone.
const (
	StateNone        TCPState = "none"
	StateInternalSYN TCPState = "internal-syn"
	StateExternalSYN TCPState = "external-syn"
	StateEstablished TCPState = "established"
	StateInternalFIN TCPState = "internal-fin"
	StateExternalFIN TCPState = "external-fin"
	StateBothFIN     TCPState = "both-fin"
	StateTimeWait    TCPState = "time-wait" // after a RST
)

// Session is one binding's conversation with one remote, as the kernel has it.
// For ICMP the ports of Internal and External are query identifiers and
// Remote's port is 0.
type Session struct {
	NAT             string         `json:"nat"`
	Network         string         `json:"network"`
	Endpoint        string         `json:"endpoint"` // empty: an address that no endpoint has
	Compartment     string         `json:"compartment"`
	Protocol        Protocol       `json:"protocol"`
	Internal        netip.AddrPort `json:"internal"`
	External        netip.AddrPort `json:"external"`
	Remote          netip.AddrPort `json:"remote"`
	RemoteName      string         `json:"remoteName,omitempty"` // by which the inside party asked hostnat's name server for Remote
	State           TCPState       `json:"state"`
	LifetimeSeconds uint32         `json:"lifetimeSeconds"` // left before it ends if nothing is sent
	CreatedAt       time.Time      `json:"createdAt"`
	PacketsOut      uint64         `json:"packetsOut"`
	BytesOut        uint64         `json:"bytesOut"` // IP bytes, headers included
	PacketsIn       uint64         `json:"packetsIn"`
	BytesIn         uint64         `json:"bytesIn"`
	Handshake       Handshake      `json:"handshake,omitzero"` // of TCP, as far as it is known
}

// The sides of a NAT, of which Handshake.Awaits is one.
const (
	EndpointSide = "endpoint"
	OutsideSide  = "outside"
)

// Handshake is how long each side of the NAT took to answer when a TCP connection was
// opened. Opened from inside, the outside has the time from the SYN to the SYN-ACK, and
// the endpoint that from the SYN-ACK to its ACK; opened from outside, the other way
// round. What was lost on a side, and sent again, is time that this side took.
type Handshake struct {
	EndpointMicroseconds uint32 `json:"endpointMicroseconds,omitempty"` // left out: it was not asked, or has not answered
	OutsideMicroseconds  uint32 `json:"outsideMicroseconds,omitempty"`
	RepeatedSYNs         uint8  `json:"repeatedSyns"`     // by the side that has opened the connection, at most 255
	Awaits               string `json:"awaits,omitempty"` // whose answer has not come: endpoint or outside
}

// Binding ties an internal address and port to an external one, for any remote.
type Binding struct {
	NAT          string         `json:"nat"`
	Network      string         `json:"network"`
	Endpoint     string         `json:"endpoint"` // empty: an address that no endpoint has
	Compartment  string         `json:"compartment"`
	Protocol     Protocol       `json:"protocol"`
	Internal     netip.AddrPort `json:"internal"`
	External     netip.AddrPort `json:"external"` // 0.0.0.0 for a configured one on any address
	SessionCount uint32         `json:"sessionCount"`
	Configured   bool           `json:"configured"` // by a mapping
}

// EndedSessions says what became of DeleteSessions.
type EndedSessions struct {
	Ended int `json:"ended"` // how many
}

// Sessions lists the sessions that match the filter, sorted. EachSession takes less
// memory where there are many.
func (c *Client) Sessions(ctx context.Context, filter Filter) (l []Session, err error) {
	if err = c.call(ctx, http.MethodGet, "/v1/sessions"+encodeQuery(filter.values()), nil, &l); err != nil {
		return nil, err
	}
	slices.SortFunc(l, func(a, b Session) int {
		return cmp.Or(cmp.Compare(a.NAT, b.NAT), cmp.Compare(a.Network, b.Network), a.Internal.Compare(b.Internal),
			cmp.Compare(a.Protocol, b.Protocol), a.Remote.Compare(b.Remote), a.External.Compare(b.External))
	})
	return l, nil
}

// EachSession yields the sessions that match the filter as the daemon reads them,
// in no order. An error is the last that is yielded.
func (c *Client) EachSession(ctx context.Context, filter Filter) iter.Seq2[Session, error] {
	return eachOf[Session](ctx, c, "/v1/sessions"+encodeQuery(filter.values()))
}

// Bindings lists the bindings that match the filter, sorted.
func (c *Client) Bindings(ctx context.Context, filter Filter) (l []Binding, err error) {
	if err = c.call(ctx, http.MethodGet, "/v1/bindings"+encodeQuery(filter.values()), nil, &l); err != nil {
		return nil, err
	}
	slices.SortFunc(l, func(a, b Binding) int {
		return cmp.Or(cmp.Compare(a.NAT, b.NAT), cmp.Compare(a.Network, b.Network), a.Internal.Compare(b.Internal),
			cmp.Compare(a.Protocol, b.Protocol), a.External.Compare(b.External))
	})
	return l, nil
}

// EachBinding yields the bindings that match the filter as the daemon reads them,
// in no order. An error is the last that is yielded.
func (c *Client) EachBinding(ctx context.Context, filter Filter) iter.Seq2[Binding, error] {
	return eachOf[Binding](ctx, c, "/v1/bindings"+encodeQuery(filter.values()))
}

// DeleteSessions ends the sessions that match the filter; all, in its place,
// ends every one.
func (c *Client) DeleteSessions(ctx context.Context, filter Filter, all bool) (e EndedSessions, err error) {
	values := filter.values()
	if all {
		values.Set("all", "true")
	}
	err = c.call(ctx, http.MethodDelete, "/v1/sessions"+encodeQuery(values), nil, &e)
	return e, err
}
