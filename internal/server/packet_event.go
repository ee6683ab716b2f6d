package server

import (
	"net/netip"
	"slices"
	"time"

	"github.com/hostnat/hostnat/api"
	"github.com/hostnat/hostnat/internal/capture"
	"github.com/hostnat/hostnat/internal/event"
	"github.com/hostnat/hostnat/internal/model"
)

// Each packet as events: what became of it, in WinNAT's numbers. They come from the
// observed programs, as captures do, and go to trusted clients alone.

// packetHead is how much of a packet its headers need, as it goes on: Ethernet, IP and
// TCP with all options.
const packetHead = 14 + 60 + 20

// ofPackets reports whether events of packets are wanted.
func (w *wantedEvents) ofPackets() bool {
	return w.reason == "" && (w.selectsID(event.Translation) || w.selectsID(event.ForwardedPacket) || w.selectsID(event.SkippedPacket))
}

// setPacketWish says what the data path has to send of packets, if any are wanted.
func (w *wantedEvents) setPacketWish() {
	w.packetWish = w.selected.Wish()
	w.packetWish.Length = packetHead
	var verdicts []model.Verdict // dropped packets have a ring of their own
	if w.selectsID(event.Translation) || w.selectsID(event.ForwardedPacket) {
		verdicts = append(verdicts, model.VerdictSent)
	}
	if w.selectsID(event.SkippedPacket) {
		verdicts = append(verdicts, model.VerdictLeft)
	}
	w.packetWish.Verdicts = model.VerdictsOf(verdicts...)
}

// packetReader makes events of packets.
type packetReader struct {
	wanted  *wantedEvents
	headers *capture.Reader
}

// each calls write for each event of a packet that is wanted, until it says no.
func (r *packetReader) each(p *model.CapturedPacket, write func(event.Event) bool) bool {
	if !r.wanted.packetWish.Verdicts.Has(p.Verdict) { // another reader of the same ring wants it
		return true
	}
	came, went := r.headers.Sides(p)
	if !capture.Admits(r.wanted.packetWish, came, went) {
		return true
	}
	ids := []event.ID{event.SkippedPacket}
	if p.Verdict == model.VerdictSent {
		ids = []event.ID{event.Translation, event.ForwardedPacket}
		if !isTranslated(came, went) {
			ids = ids[1:]
		}
	}
	for _, id := range ids {
		if !r.wanted.selectsID(id) {
			continue
		}
		e := packetEvent(id, p, came, went)
		if r.wanted.filtered && !r.wanted.selectsPacket(e, came) {
			return true // nor the other event of it
		}
		if !write(e) {
			return false
		}
	}
	return true
}

func isTranslated(came, went capture.Headers) bool {
	return came.From != went.From || came.To != went.To || came.FromPort != went.FromPort || came.ToPort != went.ToPort || came.ICMPID != went.ICMPID
}

func packetEvent(id event.ID, p *model.CapturedPacket, came, went capture.Headers) event.Event {
	e := event.New(id, p.Time)
	e.Network, e.Endpoint = p.Network, p.Endpoint
	if known := []model.Protocol{model.TCP, model.UDP, model.ICMP}; slices.Contains(known, model.Protocol(came.Protocol)) {
		e.Protocol = model.Protocol(came.Protocol)
	}
	if s := p.Session; s != nil {
		e.NAT, e.Network, e.Compartment, e.Endpoint, e.RemoteName = s.NAT, s.Network, s.Compartment, s.Endpoint, s.RemoteName
		e.Internal, e.InternalDestination, e.External, e.ExternalDestination = s.Internal, s.Remote, s.External, s.Remote
		e.TCPState = s.State
	}
	e.Packet = &event.Packet{
		ID: p.ID, Program: p.Program, Link: p.Link, Out: packetTarget(p), FromOutside: p.FromOutside,
		Came: packetSide(came, p.CameLength), Went: packetSide(went, p.Length), Identification: came.Identification,
	}
	return e
}

// packetTarget is where a packet goes, as far as its session tells: an endpoint, or outside.
func packetTarget(p *model.CapturedPacket) string {
	switch {
	case p.Verdict != model.VerdictSent:
		return ""
	case p.Target != "":
		return p.Target
	case p.FromOutside && p.Session != nil:
		return p.Session.Endpoint
	case p.FromOutside || p.Session == nil:
		return ""
	}
	return "outside"
}

func packetSide(h capture.Headers, length int) event.Side {
	s := event.Side{
		EtherType: h.EtherType, Protocol: h.Protocol, TCPFlags: h.TCPFlags, HasICMP: h.HasICMP, ICMPType: h.ICMPType, ICMPCode: h.ICMPCode,
		Length: length, Text: h.Text(),
	}
	if h.From.IsValid() {
		s.From, s.To = h.Ends()
	}
	return s
}

func eventPacketOf(p *event.Packet) *api.EventPacket {
	return &api.EventPacket{
		ID: p.ID, Program: p.Program, Link: p.Link, Out: p.Out, Identification: p.Identification,
		Came: eventSideOf(p.Came), Went: eventSideOf(p.Went),
	}
}

func eventSideOf(s event.Side) api.PacketSide {
	side := api.PacketSide{EtherType: s.EtherType, Protocol: s.Protocol, From: s.From, To: s.To, TCPFlags: s.TCPFlags, Length: s.Length}
	if s.HasICMP {
		side.ICMPType, side.ICMPCode = &s.ICMPType, &s.ICMPCode
	}
	return side
}

// selectsPacket reports whether a packet is wanted by the session that it belongs to or, if
// it belongs to none, by its own addresses as it came.
func (w *wantedEvents) selectsPacket(e event.Event, came capture.Headers) bool {
	if e.Internal.IsValid() {
		return w.selectsSession(e)
	}
	return w.selected.Drop(&model.Drop{
		Network: e.Network, Endpoint: e.Endpoint, FromOutside: e.Packet.FromOutside, Protocol: came.Protocol,
		From: netip.AddrPortFrom(came.From, came.FromPort), To: netip.AddrPortFrom(came.To, came.ToPort),
	})
}

// lostPackets are the events that say how many packets a watcher was not told of, and where
// they were lost.
func lostPackets(b model.CaptureBatch, now time.Time) (list []event.Event) {
	for _, of := range []struct {
		count uint64
		why   string
	}{
		{b.Lost - b.Behind, "packets, since the kernel's ring was full"},
		{b.Behind, "packets, since this watcher reads too slowly"},
	} {
		if of.count > 0 {
			e := event.New(event.EventsLost, now)
			e.Lost, e.Description = of.count, of.why
			list = append(list, e)
		}
	}
	return list
}
