package api

import (
	"context"
	"net/http"
)

// ExplainSpec is a packet of which one asks what would become of it.
type ExplainSpec struct {
	Protocol string `json:"protocol"`     // tcp, udp or icmp
	From     string `json:"from"`         // NAME[:PORT] or ADDRESS[:PORT]
	To       string `json:"to"`           // the same
	At       string `json:"at,omitempty"` // endpoint, network or link where it comes in; empty: where From belongs

	// TCPFlags are those of the header's octet (RFC 9293), FIN being 1; 0: a SYN's.
	TCPFlags uint8 `json:"tcpFlags,omitempty"`

	// Probe has the daemon find out how large packets get to the remote. It sends some
	// dozens of packets there, and takes up to 20 s.
	Probe bool `json:"probe,omitempty"`
}

// What becomes of a packet: Explanation.Verdict.
const (
	VerdictSent     = "sent"     // out, or to an endpoint
	VerdictLeft     = "left"     // it goes on as if hostnat were not there: to the host, or over a bridge
	VerdictDropped  = "dropped"  // nothing more comes of it
	VerdictAnswered = "answered" // by hostnat itself: an echo request to an address of the host
)

// Explanation says what would become of a packet now, by the programs that would
// decide about it, and the tables as they are.
type Explanation struct {
	Verdict string `json:"verdict"`
	Summary string `json:"summary"` // a sentence

	Protocol Protocol `json:"protocol"`
	From     string   `json:"from"` // as the packet comes in
	To       string   `json:"to"`
	NewFrom  string   `json:"newFrom,omitempty"` // as it goes on, if it is not dropped
	NewTo    string   `json:"newTo,omitempty"`

	Program   string `json:"program"`   // "inside_ingress": see docs/packet-flow.md
	Interface string `json:"interface"` // on which it runs
	Network   string `json:"network,omitempty"`
	Endpoint  string `json:"endpoint,omitempty"` // the sender
	NAT       string `json:"nat,omitempty"`
	Session   string `json:"session,omitempty"` // "new" or "known"
	PortBound bool   `json:"portBound"`         // the external port is taken for the sender already; else it is drawn

	OutInterface   string `json:"outInterface,omitempty"`
	NextHop        string `json:"nextHop,omitempty"`
	TargetNetwork  string `json:"targetNetwork,omitempty"`
	TargetEndpoint string `json:"targetEndpoint,omitempty"` // that gets it

	Reason   string   `json:"reason,omitempty"`  // of a drop, as Status.Drops has it
	Meaning  string   `json:"meaning,omitempty"` // of Reason, a sentence
	Told     bool     `json:"told"`              // the sender is told of the drop
	Remedies []Remedy `json:"remedies"`

	Path *PathMTU `json:"path,omitempty"` // if ExplainSpec.Probe has asked for it, and the packet gets out

	Steps []ExplainStep `json:"steps"`
}

// PathMTU is how large packets get to a remote. Sizes are bytes of IP packets.
type PathMTU struct {
	By      string `json:"by"`                // what was sent: "echo requests" or "SYNs with data"
	Largest int    `json:"largest"`           // that was answered; 0: none was
	Tried   int    `json:"tried"`             // the largest that was tried
	Router  string `json:"router,omitempty"`  // whose ICMP error says that larger ones are too big
	Refusal string `json:"refusal,omitempty"` // why the remote cannot be reached at all
	Vanish  bool   `json:"vanish"`            // larger ones get lost, and nobody says so
}

// Remedy is what decided, and the command that has it decide otherwise.
type Remedy struct {
	Object  string `json:"object"`
	Command string `json:"command"`
}

// ExplainStep is one thing on the packet's way, and what was found.
type ExplainStep struct {
	Step  string `json:"step"`
	Found string `json:"found"`
}

// MaxExplained is how many packets may be in one PacketsSpec.
const MaxExplained = 256

// PacketsSpec are packets of which one asks what would become of each, as if it were
// the only one.
type PacketsSpec struct {
	Packets []ExplainSpec `json:"packets"`
}

// ExplainedPacket is what would become of one of several packets.
type ExplainedPacket struct {
	Explanation *Explanation `json:"explanation,omitempty"`
	Problem     string       `json:"problem"` // why there is no explanation; empty: there is one
}

// ExplainPackets asks what would become of packets, up to MaxExplained, in their order.
func (c *Client) ExplainPackets(ctx context.Context, packets []ExplainSpec) (list []ExplainedPacket, err error) {
	err = c.call(ctx, http.MethodPost, "/v1/explain/packets", PacketsSpec{Packets: packets}, &list)
	return list, err
}

// Explain asks what would become of a packet. It changes nothing.
func (c *Client) Explain(ctx context.Context, spec ExplainSpec) (e Explanation, err error) {
	err = c.call(ctx, http.MethodPost, "/v1/explain", spec, &e)
	return e, err
}
