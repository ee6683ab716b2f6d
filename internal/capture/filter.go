package capture

import (
	"net/netip"
	"slices"

	"golang.org/x/net/bpf"

	"github.com/hostnat/hostnat/internal/model"
)

// Filter selects packets. It looks at both sides of the NAT: what a packet was when it
// came, and what it is as it goes on. A part of it holds if it holds on either side.
type Filter struct {
	root    expression // nil: it selects all
	program *bpf.VM    // nil: none; it has to accept one side as well
}

// view is a packet with what its headers say on both sides.
type view struct {
	packet *model.CapturedPacket
	sides  [2]Headers
}

type expression interface {
	holds(v *view) bool
}

type (
	both   struct{ a, b expression }
	either struct{ a, b expression }
	not    struct{ a expression }
)

func (e both) holds(v *view) bool   { return e.a.holds(v) && e.b.holds(v) }
func (e either) holds(v *view) bool { return e.a.holds(v) || e.b.holds(v) }
func (e not) holds(v *view) bool    { return !e.a.holds(v) }

// ofSide is what holds on one side of a NAT.
type ofSide func(h *Headers) bool

func (f ofSide) holds(v *view) bool { return f(&v.sides[0]) || f(&v.sides[1]) }

// ofPacket is what holds of a packet as a whole.
type ofPacket func(p *model.CapturedPacket) bool

func (f ofPacket) holds(v *view) bool { return f(v.packet) }

type (
	ofVerdict model.Verdict
	ofReason  string
	ofNetwork string
)

func (e ofVerdict) holds(v *view) bool { return v.packet.Verdict == model.Verdict(e) }
func (e ofReason) holds(v *view) bool  { return v.packet.Reason == string(e) }

func (e ofNetwork) holds(v *view) bool {
	p := v.packet
	return p.Network == string(e) || p.Session != nil && p.Session.Network == string(e)
}

// direction says which end of a packet is meant.
type direction int

const (
	anyEnd direction = iota
	sourceEnd
	destinationEnd
	bothEnds
)

func (d direction) of(source, destination bool) bool {
	switch d {
	case sourceEnd:
		return source
	case destinationEnd:
		return destination
	case bothEnds:
		return source && destination
	}
	return source || destination
}

// inPrefix is an end's address.
type inPrefix struct {
	direction direction
	prefix    netip.Prefix
	types     []uint16 // EtherTypes
}

func (e inPrefix) holds(v *view) bool {
	return ofSide(func(h *Headers) bool {
		return slices.Contains(e.types, h.EtherType) && e.direction.of(e.prefix.Contains(h.From), e.prefix.Contains(h.To))
	}).holds(v)
}

// ofProtocol is what an IP header says of its payload.
type ofProtocol struct {
	protocol uint8
	types    []uint16 // EtherTypes
}

func (e ofProtocol) holds(v *view) bool {
	return ofSide(func(h *Headers) bool { return slices.Contains(e.types, h.EtherType) && h.Protocol == e.protocol }).holds(v)
}

// onPorts is an end's port.
type onPorts struct {
	direction   direction
	protocol    uint8 // 0: any that has ports
	first, last uint16
}

func (e onPorts) holds(v *view) bool {
	return ofSide(func(h *Headers) bool {
		if !h.HasPorts || e.protocol != 0 && e.protocol != h.Protocol {
			return false
		}
		in := func(port uint16) bool { return e.first <= port && port <= e.last }
		return e.direction.of(in(h.FromPort), in(h.ToPort))
	}).holds(v)
}

// Selects reports whether the filter selects a packet.
func (f Filter) Selects(p *model.CapturedPacket, r *Reader) bool {
	if f.program != nil && !f.accepts(p.Came) && !(p.GoesOn() && f.accepts(p.Went)) {
		return false
	}
	if f.root == nil {
		return true
	}
	v := view{packet: p}
	v.sides[0], v.sides[1] = r.Sides(p)
	return f.root.holds(&v)
}

// Wish is what every packet that the filter selects has, as far as the data path can
// look for it.
func (f Filter) Wish() (w model.CaptureWish) {
	narrow(f.root, &w)
	return w
}

// Admits reports whether headers on either side of the NAT have what w says of protocol,
// addresses and ports: what the data path looks for, exactly.
func Admits(w model.CaptureWish, came, went Headers) bool {
	either := func(holds func(h *Headers) bool) bool { return holds(&came) || holds(&went) }
	return (w.Protocol == 0 || either(func(h *Headers) bool { return h.Protocol == uint8(w.Protocol) })) &&
		(!w.Prefix.IsValid() || either(func(h *Headers) bool { return w.Prefix.Contains(h.From) || w.Prefix.Contains(h.To) })) &&
		(w.Port == 0 || either(func(h *Headers) bool { return h.hasPort(w.Port) }))
}

// hasPort is about the identifier of an echo, too.
func (h *Headers) hasPort(port uint16) bool {
	return h.HasPorts && (h.FromPort == port || h.ToPort == port) || h.HasICMP && h.ICMPID == port
}

func narrow(e expression, w *model.CaptureWish) {
	switch e := e.(type) {
	case both:
		narrow(e.a, w)
		narrow(e.b, w)
	case inPrefix:
		if e.prefix.Addr().Is4() && !w.Prefix.IsValid() {
			w.Prefix = e.prefix
		}
	case onPorts:
		if e.first == e.last && w.Port == 0 {
			w.Port = e.first
		}
		if e.protocol != 0 {
			w.Protocol = model.Protocol(e.protocol)
		}
	case ofVerdict:
		if w.Verdicts == 0 {
			w.Verdicts = model.VerdictsOf(model.Verdict(e))
		}
	case ofReason:
		if w.Reason == "" {
			w.Reason = string(e)
		}
	case ofNetwork:
		if w.Network == "" {
			w.Network = string(e)
		}
	case ofProtocol:
		if e.protocol != 0 && w.Protocol == 0 {
			w.Protocol = model.Protocol(e.protocol)
		}
	}
}
