package dhcp

import (
	"fmt"
	"net/netip"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"

	"github.com/hostnat/hostnat/internal/nat"
)

// Outcome is what comes of a request.
type Outcome struct {
	Reply   *dhcpv4.DHCPv4 // nil: none
	To      netip.Addr     // where the reply goes; the Ethernet address is the client's unless this is the broadcast one
	Changed []nat.Lease    // to be stored before the reply is sent
	Dropped []nat.Lease    // to be taken out of what is stored
	Renewed bool           // of what is to be stored nothing is new but how long it lasts
	Probe   netip.Addr     // the reply is to be held back until it is known that nobody has this address
	Why     string         // why there is no reply
}

var broadcast = netip.AddrFrom4([4]byte{255, 255, 255, 255})

// Sender is who sent a frame.
type Sender struct {
	Port int     // of the bridge, its index; 0: not known
	MTU  int     // of that port, bytes; 0: not known
	MAC  nat.MAC // the frame's source; empty: not known
}

// Answer answers a client's message by RFC 2131 section 4.3, and enters in the ledger what it
// gives out. It does no IO.
func Answer(s *Scope, l *Ledger, payload []byte, from Sender, now time.Time) Outcome {
	r, err := parse(payload)
	if err != nil {
		return Outcome{Why: err.Error()}
	}
	r.mtu = from.MTU
	l.tidy(now)
	if !s.speaksFor(l, r, from) {
		return Outcome{Why: fmt.Sprintf("%s speaks for %s", from.MAC, r.mac)}
	}
	switch r.kind {
	case dhcpv4.MessageTypeDiscover:
		return s.discover(l, r, from, now)
	case dhcpv4.MessageTypeRequest:
		return s.request(l, r, from, now)
	case dhcpv4.MessageTypeDecline:
		return s.decline(l, r, now)
	case dhcpv4.MessageTypeRelease:
		return s.release(l, r, now)
	case dhcpv4.MessageTypeInform:
		return s.inform(r)
	}
	return Outcome{Why: "not a client's message: " + r.kind.String()}
}

// speaksFor reports whether a message may be in the client's name. Who sends
// from another card than the one it is about may neither be an endpoint nor
// speak for one, nor for a client that was heard from elsewhere.
func (s *Scope) speaksFor(l *Ledger, r *request, from Sender) bool {
	if from.MAC == "" || from.MAC == r.mac {
		return true
	}
	if _, known := s.fixed[r.mac]; known {
		return false
	}
	if _, known := s.fixed[from.MAC]; known {
		return false
	}
	e, known := l.of(r.key())
	return !known || e.sender == from.MAC
}

// discover offers an address (section 4.3.1). The same client asking again is
// offered the same.
func (s *Scope) discover(l *Ledger, r *request, from Sender, now time.Time) Outcome {
	a, claimed, why := s.addressFor(l, r, from, now)
	if !a.IsValid() {
		return Outcome{Why: why}
	}
	out := s.reply(r, dhcpv4.MessageTypeOffer, a)
	had, known := l.of(r.key())
	here := known && had.Address == a
	switch {
	case here && had.State == nat.LeaseBound && had.Holds(now):
		return out
	case here && had.probing && had.Holds(now):
		return Outcome{Why: fmt.Sprintf("whether somebody has %s is being asked", a)}
	case !claimed && !(here && had.State == nat.LeaseOffered):
		out.Probe = a
	}
	e := &entry{Lease: s.lease(l, r, a, nat.LeaseOffered, now, offerTime), port: from.Port, sender: from.MAC, claimed: claimed, probing: out.Probe.IsValid()}
	if here && had.State == nat.LeaseOffered {
		e.before = had.before
	} else if here {
		e.before = &had.Lease
	}
	out.Dropped = l.put(e)
	return out
}

// addressFor finds a client's address: the one that the configuration has for
// it, or else one that the ledger chooses.
func (s *Scope) addressFor(l *Ledger, r *request, from Sender, now time.Time) (a netip.Addr, claimed bool, why string) {
	if f, ok := s.own(r); ok && (f.attached || l.free(f.address, r.key(), now)) {
		return f.address, true, ""
	}
	if e, known := l.of(r.key()); !known || !e.Holds(now) {
		if !l.admits(s, from.Port, now) {
			return netip.Addr{}, false, "too many new clients on its port"
		}
	}
	a, ok := l.choose(s, r, now)
	if !ok {
		return netip.Addr{}, false, "no address is free"
	}
	return a, false, ""
}

// request answers a REQUEST (section 4.3.2).
func (s *Scope) request(l *Ledger, r *request, from Sender, now time.Time) Outcome {
	asked := r.wanted
	if !asked.IsValid() {
		asked = r.current // RENEWING and REBINDING
	}
	switch {
	case r.server.IsValid() && r.server != s.Gateway:
		// It took another server's offer.
		if e, ok := l.of(r.key()); ok && e.State == nat.LeaseOffered {
			l.drop(e.Address)
		}
		return Outcome{Why: "meant for server " + r.server.String()}
	case !asked.IsValid():
		return Outcome{Why: "a request for no address"}
	}
	if why := s.refusal(l, r, asked, from, now); why != "" {
		return s.nak(r, why)
	}
	lease := s.lease(l, r, asked, nat.LeaseBound, now, s.Lease.Duration())
	out := s.reply(r, dhcpv4.MessageTypeAck, asked)
	_, kept := s.own(r)
	had, known := l.of(r.key())
	out.Renewed = known && had.isRenewedBy(lease)
	out.Changed = []nat.Lease{lease}
	out.Dropped = l.put(&entry{Lease: lease, port: from.Port, sender: from.MAC, claimed: kept})
	return out
}

// refusal says why a client cannot have the address it asks for; "" if it can.
// What nobody knows of is granted, in the state INIT-REBOOT too: there is no
// other server whose lease it could be.
func (s *Scope) refusal(l *Ledger, r *request, asked netip.Addr, from Sender, now time.Time) string {
	if !s.Subnet.Contains(asked) {
		return "wrong network"
	}
	f, own := s.own(r)
	if own && f.address != asked && (f.attached || l.free(f.address, r.key(), now)) {
		return fmt.Sprintf("your address is %s", f.address)
	}
	if own && f.attached {
		return ""
	}
	if !s.may(r, asked) || !l.free(asked, r.key(), now) {
		return "address not available"
	}
	e, known := l.of(r.key())
	if known && e.Address != asked && e.Holds(now) && !r.server.IsValid() {
		return fmt.Sprintf("your address is %s", e.Address)
	}
	if !own && (!known || !e.Holds(now)) && !l.admits(s, from.Port, now) {
		return "too many new clients"
	}
	return ""
}

func (s *Scope) lease(l *Ledger, r *request, a netip.Addr, state nat.LeaseState, now time.Time, lasts time.Duration) nat.Lease {
	since := now
	if e, ok := l.of(r.key()); ok && e.Address == a && e.State == nat.LeaseBound && e.Holds(now) {
		since = e.Since
	}
	return nat.Lease{
		Network: s.Network, Address: a, MAC: r.mac, ClientID: r.id, Hostname: r.hostname,
		State: state, Since: since, Expires: now.Add(lasts),
	}
}

// decline takes an address out for a while that somebody else uses, as the
// client that has it found out (section 4.3.3). A client can do that to its own
// lease alone, and an endpoint's address stays the endpoint's.
func (s *Scope) decline(l *Ledger, r *request, now time.Time) Outcome {
	e, ok := l.of(r.key())
	if !ok || e.Address != r.wanted || !e.Holds(now) || r.server.IsValid() && r.server != s.Gateway {
		return Outcome{Why: "declines what it does not have"}
	}
	if f, own := s.own(r); own && f.address == e.Address {
		return Outcome{Why: fmt.Sprintf("%s is used by somebody else, says the client whose it is", e.Address)}
	}
	if !l.mayDecline(s, now) {
		gone := e.Lease
		l.drop(e.Address)
		return Outcome{Dropped: []nat.Lease{gone}, Why: "too many addresses are declined"}
	}
	declined := e.Lease
	declined.State, declined.Since, declined.Expires = nat.LeaseDeclined, now, now.Add(declineTime)
	l.put(&entry{Lease: declined, port: e.port, sender: e.sender})
	l.census.at = time.Time{}
	return Outcome{Changed: []nat.Lease{declined}, Why: "declined " + declined.Address.String()}
}

// release takes an address back (section 4.3.4). It is remembered whose it was.
func (s *Scope) release(l *Ledger, r *request, now time.Time) Outcome {
	e, ok := l.of(r.key())
	if !ok || e.Address != r.current || e.State != nat.LeaseBound || r.server.IsValid() && r.server != s.Gateway {
		return Outcome{Why: "releases what it does not have"}
	}
	released := e.Lease
	released.State, released.Expires = nat.LeaseReleased, now
	l.put(&entry{Lease: released, port: e.port, sender: e.sender})
	return Outcome{Changed: []nat.Lease{released}, Why: "released " + released.Address.String()}
}

// inform tells a client that has its address from elsewhere the rest (section 4.3.5).
func (s *Scope) inform(r *request) Outcome {
	if !s.Subnet.Contains(r.current) {
		return Outcome{Why: "informs of an address of another network"}
	}
	return s.reply(r, dhcpv4.MessageTypeAck, netip.Addr{})
}
