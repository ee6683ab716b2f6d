package model

import (
	"net/netip"
	"time"
)

// CaptureWish is what the data path leaves out of a capture by itself. What is zero
// does not matter; more may come than is wished for.
type CaptureWish struct {
	Length   int // bytes of a packet at most; 0: all, as far as 65,536
	Protocol Protocol
	Prefix   netip.Prefix // IPv4, of either end, before or after translation
	Port     uint16       // of either end, before or after translation
	Network  string       // that a packet comes from, or that its session is of
	Verdicts Verdicts
	Reason   string // of a drop
}

// Verdicts is a set of what may become of packets. The zero value is all that may.
type Verdicts uint8

var verdictBits = map[Verdict]Verdicts{VerdictDropped: 1 << 0, VerdictSent: 1 << 1, VerdictLeft: 1 << 2}

// VerdictsOf is a set of those that are listed.
func VerdictsOf(list ...Verdict) (set Verdicts) {
	for _, v := range list {
		set |= verdictBits[v]
	}
	return set
}

// Has reports whether a verdict is in the set.
func (s Verdicts) Has(v Verdict) bool { return s == 0 || s&verdictBits[v] != 0 }

func (s Verdicts) or(a Verdicts) Verdicts {
	if s == 0 || a == 0 {
		return 0
	}
	return s | a
}

// Or is what holds of all that a or w is about.
func (w CaptureWish) Or(a CaptureWish) CaptureWish {
	all := CaptureWish{Length: max(w.Length, a.Length), Verdicts: w.Verdicts.or(a.Verdicts)}
	if w.Length == 0 || a.Length == 0 {
		all.Length = 0
	}
	if w.Protocol == a.Protocol {
		all.Protocol = w.Protocol
	}
	if w.Prefix == a.Prefix {
		all.Prefix = w.Prefix
	}
	if w.Port == a.Port {
		all.Port = w.Port
	}
	if w.Network == a.Network {
		all.Network = w.Network
	}
	if w.Reason == a.Reason {
		all.Reason = w.Reason
	}
	return all
}

// CapturedPacket is a packet as it came to one of the data path's programs and as it
// went on.
type CapturedPacket struct {
	Time               time.Time
	ID                 uint64 // the packet's own; another program that it meets has another
	Program            string // "inside_ingress"
	Link               string // at which it was
	Interface          uint32 // the same by its number
	Mark               uint32 // as it came
	Segments           uint32 // that the kernel cuts it into on its way out (GSO); 0: it is one packet
	SegmentSize        uint32 // bytes of payload in each of these
	Network            string // that it came from; empty: from outside
	Endpoint           string // that sent it; empty: none that is known
	FromOutside        bool
	Ethernet           bool // its frames have an Ethernet header; else they begin with the IP header
	Verdict            Verdict
	Code               int32    // the verdict as the kernel has it: TC_ACT_SHOT is 2
	Reason             string   // of a drop
	Told               bool     // it was dropped, and what went on is an answer to its sender
	Session            *Session // that it belongs to, as it was then; nil: none
	Target             string   // the endpoint at the session's other end, if both are inside
	CameLength, Length int      // bytes of the frame, as it came and as it went on
	Came, Went         []byte   // as much of these as was kept
}

// WentEthernet reports whether the frame as it went on has an Ethernet header: what comes
// by a link without gets one on its way to an endpoint.
func (p *CapturedPacket) WentEthernet() bool { return p.Ethernet || p.Length > p.CameLength }

// GoesOn reports whether anything goes on: the packet, or an answer to its sender.
func (p *CapturedPacket) GoesOn() bool { return p.Verdict != VerdictDropped || p.Told }

// CaptureBatch is packets in the order in which they were captured, and how many others
// were lost since the batch before, for want of room.
type CaptureBatch struct {
	Packets []CapturedPacket
	Lost    uint64
	Behind  uint64 // of Lost, those that the kernel's ring had room for, but who reads the batches was too slow for
}
