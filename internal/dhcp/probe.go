package dhcp

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"github.com/hostnat/hostnat/internal/model"
)

// Before an address is offered to a client that does not have it, it is asked for
// on the bridge (RFC 2131 section 3.1 step 2): somebody may have set it by hand.
const (
	// maxProbes are under way at a time on one network. When hundreds of clients
	// come at once, the others are offered theirs without: they look for
	// themselves, and decline (section 4.4.1).
	maxProbes  = 16
	maxChoices = 4 // addresses found to be taken, until the client has to ask again
)

// probed finishes what was held back: it has the client offered the address if
// nobody has it, and another one if somebody has.
func (v *Server) probed(ctx context.Context, s *Scope, a arrival, out Outcome) {
	for range maxChoices {
		holder, taken := v.bridge.HolderOf(ctx, v.link.index, out.Probe)
		if ctx.Err() != nil {
			return
		}
		now := time.Now()
		if !taken || holder == out.client() {
			v.told(s, out)
			return
		}
		v.log.Warn("an address to be leased is used by somebody who did not ask for it", "address", out.Probe, "mac", holder)
		if err := v.leases.isTaken(s, out.Probe, holder, now); err != nil {
			v.log.Error("a taken address cannot be stored", "address", out.Probe, "error", err)
			return
		}
		outcomes, err := v.leases.answer(s, []arrival{a}, now)
		if err != nil {
			v.log.Error("leases cannot be stored, DHCP requests stay unanswered", "error", err)
			return
		}
		out = outcomes[0]
		if !out.Probe.IsValid() {
			v.send(s, out)
			return
		}
	}
	v.leases.drop(s.Network, out.Probe)
}

// client is the card that a reply is for.
func (o Outcome) client() model.MAC { return model.MAC(o.Reply.ClientHWAddr.String()) }

// probed notes that nobody was found to have an offered address.
func (l *Leases) probed(network string, a netip.Addr) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if e, ok := l.table(network).leases[a]; ok {
		e.probing = false
	}
}

// drop takes an offer back that nobody was told of.
func (l *Leases) drop(network string, a netip.Addr) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if e, ok := l.table(network).leases[a]; ok && e.probing {
		l.table(network).drop(a)
	}
}

// isTaken sets an address aside that somebody has whom the table does not know.
func (l *Leases) isTaken(s *Scope, a netip.Addr, holder model.MAC, now time.Time) error {
	l.mu.Lock()
	t := l.table(s.Network)
	e, ok := t.leases[a]
	if !ok || !e.probing { // it has gone on meanwhile
		l.mu.Unlock()
		return nil
	}
	t.drop(a)
	if !t.mayDecline(s, now) {
		t.held[a] = now.Add(holdTime) // not for long, and of no interest to others
		l.mu.Unlock()
		return nil
	}
	declined := model.Lease{Network: s.Network, Address: a, MAC: holder, State: model.LeaseDeclined, Since: now, Expires: now.Add(declineTime)}
	t.put(&entry{Lease: declined})
	t.counts.at = time.Time{}
	l.mu.Unlock()
	if err := l.store.SaveLeases([]model.Lease{declined}, nil); err != nil {
		return fmt.Errorf("set address %s aside: %w", a, err)
	}
	return nil
}
