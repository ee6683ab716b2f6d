package dhcp

import (
	"fmt"
	"net/netip"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"

	"github.com/hostnat/hostnat/internal/model"
)

// Outcome is what comes of a request.
type Outcome struct {
	Reply   *dhcpv4.DHCPv4 // nil: none
	To      netip.Addr     // where the reply goes; the Ethernet address is the client's unless this is the broadcast one
	Changed []model.Lease  // to be stored before the reply is sent
	Dropped []model.Lease  // to be taken out of what is stored
	Renewed bool           // of what is to be stored nothing is new but how long it lasts
	Probe   netip.Addr     // the reply is to be held back until it is known that nobody has this address
	Forged  bool           // another machine speaks in the client's name
	Refused bool           // there is no address for the client, or its port has had its share
	Why     string         // why there is no reply
}

var broadcast = netip.AddrFrom4([4]byte{255, 255, 255, 255})

// Sender is who sent a frame.
type Sender struct {
	Port    int                 // of the bridge, its index; 0: not known
	MTU     int                 // of that port, bytes; 0: not known
	MAC     model.MAC           // the frame's source; empty: not known
	HasPort func(port int) bool // whether the bridge still has a port; nil: it has
}

// stillHas reports whether a port, by its index, is known and still there.
func (s Sender) stillHas(port int) bool {
	return port != 0 && (s.HasPort == nil || s.HasPort(port))
}

// Answer answers a client's message by RFC 2131 section 4.3, and enters in the table what it
// gives out. It does no IO.
func Answer(s *Scope, t *Table, payload []byte, from Sender, now time.Time) Outcome {
	r, err := parse(payload)
	if err != nil {
		return Outcome{Why: err.Error()}
	}
	r.mtu = from.MTU
	t.tidy(now)
	if !s.speaksFor(t, r, from) {
		return Outcome{Forged: true, Why: fmt.Sprintf("%s speaks for %s", from.MAC, r.mac)}
	}
	t.recognise(r, from, now)
	switch r.kind {
	case dhcpv4.MessageTypeDiscover:
		return s.discover(t, r, from, now)
	case dhcpv4.MessageTypeRequest:
		return s.request(t, r, from, now)
	case dhcpv4.MessageTypeDecline:
		return s.decline(t, r, from, now)
	case dhcpv4.MessageTypeRelease:
		return s.release(t, r, from, now)
	case dhcpv4.MessageTypeInform:
		return s.inform(r)
	}
	return Outcome{Why: "not a client's message: " + r.kind.String()}
}

// speaksFor reports whether a message may be in the client's name. Who sends
// from another card than the one it is about may neither be an endpoint nor
// speak for one, nor for a client that was seen elsewhere.
func (s *Scope) speaksFor(t *Table, r *request, from Sender) bool {
	if from.MAC == "" || from.MAC == r.mac {
		return true
	}
	if _, known := s.fixed[r.mac]; known {
		return false
	}
	if _, known := s.fixed[from.MAC]; known {
		return false
	}
	e, known := t.of(r.mac)
	return !known || e.sender == from.MAC
}

// discover offers an address (section 4.3.1). The same client asking again is
// offered the same.
func (s *Scope) discover(t *Table, r *request, from Sender, now time.Time) Outcome {
	a, claimed, why := s.addressFor(t, r, from, now)
	if !a.IsValid() {
		return Outcome{Refused: true, Why: why}
	}
	out := s.reply(r, dhcpv4.MessageTypeOffer, a)
	had, known := t.of(r.mac)
	here := known && had.Address == a
	switch {
	case here && had.State == model.LeaseBound && had.Holds(now):
		return out
	case here && had.probing && had.Holds(now):
		return Outcome{Why: fmt.Sprintf("whether somebody has %s is being asked", a)}
	case !claimed && !(here && had.State == model.LeaseOffered):
		out.Probe = a
	}
	e := &entry{Lease: s.lease(t, r, a, model.LeaseOffered, now, offerTime), place: t.placeOf(r, from, now), claimed: claimed, probing: out.Probe.IsValid()}
	if here && had.State == model.LeaseOffered {
		e.before = had.before
	} else if here {
		e.before = &had.Lease
	}
	out.Dropped = t.put(e)
	return out
}

// addressFor finds a client's address: the one that the configuration has for
// it, or else one that the table chooses.
func (s *Scope) addressFor(t *Table, r *request, from Sender, now time.Time) (a netip.Addr, claimed bool, why string) {
	if f, ok := s.own(r); ok && (f.attached || t.free(f.address, r.mac, now)) {
		return f.address, true, ""
	}
	if e, known := t.of(r.mac); !known || !e.Holds(now) {
		if !t.admits(s, from.Port, now) {
			return netip.Addr{}, false, "too many new clients on its port"
		}
	}
	a, ok := t.choose(s, r, now)
	if !ok {
		return netip.Addr{}, false, "no address is free"
	}
	return a, false, ""
}

// request answers a REQUEST (section 4.3.2).
func (s *Scope) request(t *Table, r *request, from Sender, now time.Time) Outcome {
	asked := r.wanted
	if !asked.IsValid() {
		asked = r.current // RENEWING and REBINDING
	}
	switch {
	case r.server.IsValid() && r.server != s.Gateway:
		// It took another server's offer.
		if e, ok := t.of(r.mac); ok && e.State == model.LeaseOffered {
			t.drop(e.Address)
		}
		return Outcome{Why: "meant for server " + r.server.String()}
	case !asked.IsValid():
		return Outcome{Why: "a request for no address"}
	}
	if e, ok := t.of(r.mac); ok && e.Address != asked && e.isElsewhere(from, now) {
		return Outcome{Forged: true, Why: fmt.Sprintf("the client has %s at another port", e.Address)}
	}
	if why := s.refusal(t, r, asked, from, now); why != "" {
		return s.nak(r, why)
	}
	lease := s.lease(t, r, asked, model.LeaseBound, now, s.Lease.Duration())
	out := s.reply(r, dhcpv4.MessageTypeAck, asked)
	_, kept := s.own(r)
	had, known := t.of(r.mac)
	out.Renewed = known && had.isRenewedBy(lease)
	out.Changed = []model.Lease{lease}
	out.Dropped = t.put(&entry{Lease: lease, place: t.placeOf(r, from, now), claimed: kept})
	return out
}

// refusal says why a client cannot have the address it asks for; "" if it can.
// What nobody knows of is granted, in the state INIT-REBOOT too: there is no
// other server whose lease it could be.
func (s *Scope) refusal(t *Table, r *request, asked netip.Addr, from Sender, now time.Time) string {
	if !s.Subnet.Contains(asked) {
		return "wrong network"
	}
	f, own := s.own(r)
	if own && f.address != asked && (f.attached || t.free(f.address, r.mac, now)) {
		return fmt.Sprintf("your address is %s", f.address)
	}
	if own && f.attached {
		return ""
	}
	if !s.may(r, asked) || !t.free(asked, r.mac, now) {
		return "address not available"
	}
	e, known := t.of(r.mac)
	if known && e.Address != asked && e.Holds(now) && !r.server.IsValid() {
		return fmt.Sprintf("your address is %s", e.Address)
	}
	if !own && (!known || !e.Holds(now)) && !t.admits(s, from.Port, now) {
		return "too many new clients"
	}
	return ""
}

func (s *Scope) lease(t *Table, r *request, a netip.Addr, state model.LeaseState, now time.Time, lasts time.Duration) model.Lease {
	since := now
	if e, ok := t.of(r.mac); ok && e.Address == a && e.State == model.LeaseBound && e.Holds(now) {
		since = e.Since
	}
	return model.Lease{
		Network: s.Network, Address: a, MAC: r.mac, ClientID: r.id, Hostname: r.hostname,
		State: state, Since: since, Expires: now.Add(lasts),
	}
}

// decline takes an address out for a while that somebody else uses, as the
// client that has it found out (section 4.3.3). A client can do that to its own
// lease alone, and an endpoint's address stays the endpoint's.
func (s *Scope) decline(t *Table, r *request, from Sender, now time.Time) Outcome {
	e, ok := t.of(r.mac)
	if !ok || e.Address != r.wanted || !e.Holds(now) || r.server.IsValid() && r.server != s.Gateway {
		return Outcome{Why: "declines what it does not have"}
	}
	if !e.isAt(from) {
		return Outcome{Forged: true, Why: fmt.Sprintf("%s is declined from another port than its client's", e.Address)}
	}
	if f, own := s.own(r); own && f.address == e.Address {
		return Outcome{Why: fmt.Sprintf("%s is used by somebody else, says the client whose it is", e.Address)}
	}
	if !t.mayDecline(s, now) {
		gone := e.Lease
		t.drop(e.Address)
		return Outcome{Dropped: []model.Lease{gone}, Why: "too many addresses are declined"}
	}
	declined := e.Lease
	declined.State, declined.Since, declined.Expires = model.LeaseDeclined, now, now.Add(declineTime)
	t.put(&entry{Lease: declined, place: e.place})
	t.counts.at = time.Time{}
	return Outcome{Changed: []model.Lease{declined}, Why: "declined " + declined.Address.String()}
}

// release takes an address back (section 4.3.4). It is remembered whose it was.
func (s *Scope) release(t *Table, r *request, from Sender, now time.Time) Outcome {
	e, ok := t.of(r.mac)
	if !ok || e.Address != r.current || e.State != model.LeaseBound || r.server.IsValid() && r.server != s.Gateway {
		return Outcome{Why: "releases what it does not have"}
	}
	if !e.isAt(from) {
		return Outcome{Forged: true, Why: fmt.Sprintf("%s is released from another port than its client's", e.Address)}
	}
	released := e.Lease
	released.State, released.Expires = model.LeaseReleased, now
	t.put(&entry{Lease: released, place: e.place})
	return Outcome{Changed: []model.Lease{released}, Why: "released " + released.Address.String()}
}

// inform tells a client that has its address from elsewhere the rest (section 4.3.5).
func (s *Scope) inform(r *request) Outcome {
	if !s.Subnet.Contains(r.current) {
		return Outcome{Why: "informs of an address of another network"}
	}
	return s.reply(r, dhcpv4.MessageTypeAck, netip.Addr{})
}
