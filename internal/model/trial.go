package model

import "net/netip"

// Trial is a packet of which one asks what would become of it: the first of a
// flow, as it would come in, if nothing else is said.
type Trial struct {
	Protocol Protocol
	From, To netip.AddrPort // of an ICMP query the identifier is From's port
	Entry    Entry
	Link     string // of the host, by which the packet comes in
	TCPFlags uint8  // as in the header; 0: a SYN's
}

// Entry is the side from which a packet comes in.
type Entry string

// The sides.
const (
	EntryEndpoint Entry = "endpoint" // an attached endpoint's own link
	EntryNetwork  Entry = "network"  // a network's bridge, or the port of it where the sender was last seen
	EntryOutside  Entry = "outside"
)

// Fate is what becomes of a Trial's packet.
type Fate struct {
	Program           string // that decides: "inside_ingress"
	Link              string // on which it does
	NAT               string // of the network from which the packet comes, or to which it goes; empty: none
	Network, Endpoint string // from which the packet comes; empty: from outside, or no endpoint that is known

	Verdict  Verdict
	Reason   string         // with which it is dropped; empty: none
	Told     bool           // the sender is told of the drop
	From, To netip.AddrPort // as the packet goes on

	Session SessionUse
	Bound   bool // the external port belongs to a binding or mapping that is there already

	OutLink               string     // by which it leaves; empty: see Target
	NextHop               netip.Addr // on OutLink; not valid: it is To itself
	TargetNetwork, Target string     // network and endpoint that get it; empty: none
}

// Verdict is what happens to a packet.
type Verdict string

// The verdicts.
const (
	VerdictSent     Verdict = "sent"     // out of the link, or to the endpoint, where it is to go
	VerdictLeft     Verdict = "left"     // it goes on as if hostnat were not there: to the host, or over the bridge
	VerdictDropped  Verdict = "dropped"  // nothing more comes of it
	VerdictAnswered Verdict = "answered" // by hostnat itself: an echo request to an external address, which the host has
)

// SessionUse is a packet's session.
type SessionUse string

// The ways in which a packet has a session.
const (
	SessionNone  SessionUse = ""      // it needs none, or may not have one
	SessionNew   SessionUse = "new"   // it opens one
	SessionKnown SessionUse = "known" // it belongs to one that is there
)

// IsTranslated reports whether the packet of t goes on under other addresses or ports.
func (f Fate) IsTranslated(t Trial) bool {
	return f.Verdict != VerdictDropped && (f.From != t.From || f.To != t.To)
}

// PathMTU is how large packets get to a remote. Sizes are bytes of IP packets.
type PathMTU struct {
	By      string     // what was sent: "echo requests" or "SYNs with data"
	Largest int        // that was answered; 0: none was
	Tried   int        // the largest that was tried
	Router  netip.Addr // whose ICMP error says that larger ones are too big; not valid: nobody's
	Refusal string     // why the remote cannot be reached at all; empty: it is not known
}

// Vanish reports whether larger packets get lost without a word.
func (p PathMTU) Vanish() bool { return p.Largest > 0 && p.Largest < p.Tried && !p.Router.IsValid() }
