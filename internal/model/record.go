package model

import (
	"cmp"
	"fmt"
	"net/netip"
	"time"
)

// Recording is what the flight recorder has of a time.
type Recording struct {
	Drops []Drop         // in no order
	Ended []EndedSession // in no order
}

// Drop is a packet that the data path dropped, as it came, or several in a row that
// were alike.
type Drop struct {
	First, Last   time.Time
	Packets       uint32
	Reason        string
	Program       string     // that dropped it: "inside_ingress"
	Link          string     // at which it was
	Network       string     // that it came from; empty: from outside
	Endpoint      string     // that sent it; empty: none that is known
	SenderAddress netip.Addr // Endpoint's own, at whose link it was; not valid: it was not at an endpoint's link
	FromOutside   bool
	RemoteName    string         // by which the sender asked for To; empty: not known
	Target        string         // the endpoint that it was for, as far as the configuration tells; empty: none
	EtherType     uint16         // 0x0800: IPv4
	MAC           MAC            // of its sender; empty where the link has none
	Protocol      uint8          // of IP; 0: not known
	From, To      netip.AddrPort // not valid: it has no IPv4 addresses. Of ICMP, From's port is the identifier
	TCPFlags      uint8
	ICMPType      uint8
	ICMPCode      uint8
	Length        uint32 // of the last one's frame, bytes
}

// EndedSession is a session that has ended; Session.LifetimeSeconds is 0.
type EndedSession struct {
	Session
	EndedAt     time.Time
	Idle        time.Duration // since its last packet that kept it alive
	Cause       EndCause
	FromOutside bool // a remote had opened it
}

// EndCause says what has ended a session.
type EndCause string

// The causes.
const (
	EndTimeout       EndCause = "timeout"       // Session.State says of what
	EndByHand        EndCause = "by-hand"       // session delete
	EndConfiguration EndCause = "configuration" // its mapping, endpoint, network or NAT is gone or another one
	EndAddressLost   EndCause = "address-lost"  // the host or the NAT does not have its external address or port any more
	EndRouteChanged  EndCause = "route-changed" // its way out is another link, where it cannot go on
	EndPressure      EndCause = "pressure"      // it was closed already, and its port was needed
	EndTakenOver     EndCause = "taken-over"    // by a mapping that its remote came in by
	EndNoMemory      EndCause = "no-memory"     // for its timer
)

// Drop reports whether a drop is selected: its sender or its target is the inside
// party, and the other one the remote. A filter by NAT, external address or state
// selects none.
func (p *Selection) Drop(d *Drop) bool {
	if p.NAT != "" || p.external != (addressPattern{}) || p.byState {
		return false
	}
	inside, remote := d.From, d.To
	if d.FromOutside {
		inside, remote = d.To, d.From
	}
	return (p.Network == "" || p.Network == d.Network) && (p.Endpoint == "" || p.Endpoint == d.Endpoint || p.Endpoint == d.Target) &&
		(p.Protocol == 0 || uint8(p.Protocol) == d.Protocol) && p.internal.match(inside) && p.remote.match(remote) && p.isNamed(d.RemoteName)
}

// Text says whose packet it was and where it went.
func (d *Drop) Text() string {
	from := d.Endpoint
	switch {
	case from == "" && d.From.IsValid():
		from = d.From.Addr().String()
	case from == "" && d.MAC != "":
		from = string(d.MAC)
	case from == "":
		from = "somebody"
	}
	if d.SenderAddress.IsValid() && d.From.IsValid() && d.SenderAddress != d.From.Addr() {
		from += " as " + d.From.Addr().String()
	}
	to := "?"
	if d.To.IsValid() {
		to = Portless(d.To)
	}
	if name := cmp.Or(d.Target, d.RemoteName); name != "" {
		to += " (" + name + ")"
	}
	return fmt.Sprintf("%s → %s, %s, at %s", from, to, d.kind(), d.Link)
}

// Portless is an end of a packet: without its port if that is 0.
func Portless(a netip.AddrPort) string {
	if a.Port() == 0 {
		return a.Addr().String()
	}
	return a.String()
}

// kind is what kind of packet it was.
func (d *Drop) kind() string {
	const ipv4, arp, ipv6 = 0x0800, 0x0806, 0x86dd
	switch d.EtherType {
	case arp:
		return "arp"
	case ipv6:
		return "ipv6"
	case ipv4:
	default:
		return fmt.Sprintf("ethernet type 0x%04x", d.EtherType)
	}
	if Protocol(d.Protocol) == ICMP {
		return fmt.Sprintf("icmp %d/%d", d.ICMPType, d.ICMPCode)
	}
	if name := Protocol(d.Protocol).String(); name != "unknown" {
		return name
	}
	return fmt.Sprintf("ip protocol %d", d.Protocol)
}
