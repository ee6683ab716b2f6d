package api

import (
	"context"
	"net/http"
	"net/netip"
	"time"
)

// How a flow came to its end: Failure.Outcome and EndedSession.Outcome.
const (
	OutcomeDropped      = "dropped"    // packets, with a reason
	OutcomeUnanswered   = "unanswered" // by the party that it was opened to
	OutcomeRefused      = "refused"    // by that party
	OutcomeReset        = "reset"      // by one of the two
	OutcomeStalled      = "stalled"    // large packets got no answer, though its handshake did
	OutcomeIdle         = "idle"       // open, and nothing was sent for its timeout
	OutcomeByHand       = "by-hand"
	OutcomeChanged      = "configuration" // its mapping, endpoint, network or NAT is gone or another one
	OutcomeAddressLost  = "address-lost"
	OutcomeRouteChanged = "route-changed"
	OutcomeNoMemory     = "no-memory"
	OutcomeClosed       = "closed" // by both, or a conversation without connection that was over: no failure
)

// History is what failed since a time, as far as the kernel's flight recorder still
// has it. It has at most the last 8,192 kinds of drops and 65,536 sessions that
// have ended, of one endpoint a sixty-fourth of these.
type History struct {
	Since    time.Time      `json:"since"`
	Failures []Failure      `json:"failures"` // the latest first, at most 200
	Drops    []Drop         `json:"drops"`    // the latest first, at most 1000
	Ended    []EndedSession `json:"ended"`    // the same
}

// Failure is what failed for one cause between the same two parties.
type Failure struct {
	Outcome  string    `json:"outcome"`
	Reason   string    `json:"reason,omitempty"` // of drops, as Status.Drops has it
	Count    uint64    `json:"count"`            // packets that were dropped, or sessions
	First    time.Time `json:"first"`
	Last     time.Time `json:"last"`
	Network  string    `json:"network,omitempty"`
	Endpoint string    `json:"endpoint,omitempty"` // whose flow it was
	What     string    `json:"what"`               // "c1 → 93.184.216.34:443, tcp"
	Meaning  string    `json:"meaning,omitempty"`  // a sentence or two
	Remedies []Remedy  `json:"remedies"`           // what would change it, or tells more
}

// Drop is a packet that was dropped, as it came, or several in a row that were alike.
type Drop struct {
	First      time.Time `json:"first"`
	Last       time.Time `json:"last"`
	Packets    uint32    `json:"packets"`
	Reason     string    `json:"reason"`
	Program    string    `json:"program"`   // "inside_ingress": see docs/packet-flow.md
	Interface  string    `json:"interface"` // at which it was
	Network    string    `json:"network,omitempty"`
	Endpoint   string    `json:"endpoint,omitempty"` // that sent it
	Target     string    `json:"target,omitempty"`   // the endpoint of the mapping that it came by
	EtherType  uint16    `json:"etherType"`
	MAC        string    `json:"mac,omitempty"`      // of its sender
	Protocol   uint8     `json:"protocol,omitempty"` // of IP, by its number
	From       string    `json:"from,omitempty"`     // A:PORT; of ICMP the port is the identifier. Left out: it has no IPv4 addresses
	To         string    `json:"to,omitempty"`
	RemoteName string    `json:"remoteName,omitempty"` // by which the sender asked for To
	TCPFlags   uint8     `json:"tcpFlags,omitempty"`   // as in its header: 2 is SYN
	ICMPType   *uint8    `json:"icmpType,omitempty"`
	ICMPCode   *uint8    `json:"icmpCode,omitempty"`
	Length     uint32    `json:"length"` // of the last one's frame, bytes
}

// EndedSession is a session that has ended.
type EndedSession struct {
	Outcome     string         `json:"outcome"`
	NAT         string         `json:"nat"`
	Network     string         `json:"network"`
	Endpoint    string         `json:"endpoint"`
	Compartment string         `json:"compartment"`
	Protocol    Protocol       `json:"protocol"`
	Internal    netip.AddrPort `json:"internal"`
	External    netip.AddrPort `json:"external"`
	Remote      netip.AddrPort `json:"remote"`
	RemoteName  string         `json:"remoteName,omitempty"` // by which the inside party asked for it
	FromOutside bool           `json:"fromOutside"`          // the remote had opened it
	State       TCPState       `json:"state"`                // its last one
	CreatedAt   time.Time      `json:"createdAt"`
	EndedAt     time.Time      `json:"endedAt"`
	IdleSeconds uint32         `json:"idleSeconds"` // since the last packet that kept it alive
	PacketsOut  uint64         `json:"packetsOut"`
	BytesOut    uint64         `json:"bytesOut"`
	PacketsIn   uint64         `json:"packetsIn"`
	BytesIn     uint64         `json:"bytesIn"`
	Handshake   Handshake      `json:"handshake,omitzero"` // of TCP, as far as it is known
}

// History says what has failed since then, as far as the filter selects it.
func (c *Client) History(ctx context.Context, since time.Time, filter Filter) (h History, err error) {
	values := filter.values()
	values.Set("since", since.Format(time.RFC3339Nano))
	err = c.call(ctx, http.MethodGet, "/v1/history"+encodeQuery(values), nil, &h)
	return h, err
}
