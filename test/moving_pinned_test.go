package test

import (
	"context"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hostnat/hostnat/dev/lab"
	"github.com/hostnat/hostnat/internal/event"
	"github.com/hostnat/hostnat/internal/model"
)

// TestPinnedToInterface binds a NAT to the second link. It follows that link's
// address; when the way out is another link, or the link is gone, nothing of it
// leaves anywhere else; and it goes on when the link is back.
func TestPinnedToInterface(t *testing.T) {
	h := startHost(t)
	ways := h.twoWays()
	other, pinned := ways[0], ways[1]
	h.set("external-interface", pinned.link)
	h.moveRoute(other, pinned)

	var moved, back, lost, replugged []time.Duration
	for range 3 {
		from := pinned.address
		pinned.address = map[string]string{secondHost: "198.51.100.9", "198.51.100.9": secondHost}[from]
		began := time.Now()
		h.must(h.Host.DeleteAddress(pinned.link, from+"/24"), h.Host.AddAddress(pinned.link, pinned.address+"/24"),
			h.Host.AddRoute("0.0.0.0/0", pinned.gateway))
		h.seenAs(pinned.address)
		h.answersAt(pinned.address)
		h.noSessionOf(from)
		moved = append(moved, time.Since(began))
	}
	h.inTime("the pinned link's address moved: all", moved)

	for range 3 {
		h.must(h.Host.DeleteRoute("0.0.0.0/0", pinned.gateway), h.Host.AddRoute("0.0.0.0/0", other.gateway))
		h.seenAsNothing()
		back = append(back, h.moveRoute(other, pinned))
	}
	h.inTime("the route came back: new flows", back)

	h.must(h.Host.DeleteAddress(pinned.link, pinned.address+"/24"), h.Host.AddAddress(pinned.link, secondHost+"/24"),
		h.Host.AddRoute("0.0.0.0/0", pinned.gateway))
	pinned.address = secondHost
	for range 3 {
		h.seenAs(pinned.address)
		began := time.Now()
		h.must(h.Host.DeleteLink(pinned.link), h.Host.AddRoute("0.0.0.0/0", other.gateway))
		h.noSessionOf(pinned.address)
		lost = append(lost, time.Since(began))
		h.seenAsNothing()
		h.answersAt(other.address) // a mapping is on every address of the host
		h.complainsOf("external interface " + pinned.link + " of NAT default does not exist")
		h.must(h.Host.DeleteRoute("0.0.0.0/0", other.gateway))
		began = time.Now()
		h.plugIn()
		h.must(h.Host.AddRoute("0.0.0.0/0", pinned.gateway))
		h.seenAs(pinned.address)
		h.answersAt(pinned.address)
		replugged = append(replugged, time.Since(began))
	}
	h.inTime("the pinned link went: its sessions", lost)
	h.inTime("the pinned link came back: all", replugged)
	h.eventually("no complaint", func(ctx context.Context) bool {
		status, err := h.Status(ctx)
		return err == nil && len(status.Problems) == 0
	})
}

// TestPinnedToAddress gives a NAT an address of its own, which hostnat adds to
// the way out. Wherever that is, and whatever addresses the links have, flows
// are seen under it, and a live one keeps its port.
func TestPinnedToAddress(t *testing.T) {
	h := startHost(t)
	ways := h.twoWays()
	const own = "192.0.2.50"
	h.pin(own)
	h.must(h.Remote.AddRoute(own+"/32", ways[0].address))
	h.seenAs(own)
	live := h.flow()
	first := live.external()

	var moved []time.Duration
	for i := range 4 {
		from, to := ways[i%2], ways[(i+1)%2]
		h.must(h.Remote.DeleteRoute(own+"/32", from.address), h.Remote.AddRoute(own+"/32", to.address))
		to.address = own
		moved = append(moved, h.moveRoute(from, to))
		h.answersAt(own)
		live.stays(first)
	}
	h.inTime("the route moved: new flows", moved)

	// The link always has an address, or its routes would go; with another prefix
	// length the second one does not depend on the first.
	h.must(h.Remote.DeleteRoute(own+"/32", ways[0].address), h.Remote.AddRoute(own+"/32", "203.0.113.9"),
		h.Host.AddAddress(lab.HostLink, "203.0.113.9/25"), h.Host.DeleteAddress(lab.HostLink, lab.HostAddress+"/24"))
	h.seenAs(own)
	live.stays(first)

	// Somebody deletes the address, and it is put back. Flows do not need it there, so
	// it may come later than they move; the second time tells that it came.
	for range 2 {
		h.eventually("the address on the way out", func(context.Context) bool {
			return h.Host.DeleteAddress(lab.HostLink, own+"/32") == nil
		})
	}
	h.seenAs(own)
	h.answersAt(own)
}

// TestPinnedToAddressOfTheHost: an address that the host has by itself is the
// host's to take away. Then the NAT has none, and takes no other.
func TestPinnedToAddressOfTheHost(t *testing.T) {
	h := startHost(t)
	h.twoWays()
	const own = "203.0.113.77"
	h.must(h.Host.AddAddress(lab.HostLink, own+"/24"))
	h.eventually("the address to be seen", func(ctx context.Context) bool {
		a, err := h.AddAddress(ctx, model.DefaultNAT, own)
		if err != nil {
			return false
		}
		if a.Source == "fixed" {
			return true
		}
		return h.RemoveAddress(ctx, model.DefaultNAT, own) != nil // too early: it was added beside the host's
	})
	h.seenAs(own)
	var lost, back []time.Duration
	for range 3 {
		began := time.Now()
		h.must(h.Host.DeleteAddress(lab.HostLink, own+"/24"))
		h.noSessionOf(own)
		lost = append(lost, time.Since(began))
		h.seenAsNothing()
		h.complainsOf("external address " + own + " of NAT default is on no interface of the host")
		began = time.Now()
		h.must(h.Host.AddAddress(lab.HostLink, own+"/24"))
		h.seenAs(own)
		back = append(back, time.Since(began))
	}
	h.inTime("the address went: its sessions", lost)
	h.inTime("the address came back: new flows", back)
}

func (h *host) set(key, value string) {
	h.t.Helper()
	_, err := h.SetNAT(h.t.Context(), model.DefaultNAT, map[string]string{key: value})
	h.must(err)
}

func (h *host) pin(address string) {
	h.t.Helper()
	_, err := h.Client.AddAddress(h.t.Context(), model.DefaultNAT, address)
	h.must(err)
}

func (h *host) complainsOf(problem string) {
	h.t.Helper()
	h.eventually("status to say: "+problem, func(ctx context.Context) bool {
		status, err := h.Status(ctx)
		return err == nil && slices.ContainsFunc(status.Problems, func(p string) bool { return strings.Contains(p, problem) })
	})
}

// seenAsNothing waits until a new flow is dropped for want of an external
// address, and fails if one is seen outside after that.
func (h *host) seenAsNothing() {
	h.t.Helper()
	dropped := func() uint64 { return h.status().Drops[event.NoNATOutside.String()] }
	before := dropped()
	h.eventually("new flows to be refused", func(ctx context.Context) bool {
		_, err := lab.Ask(ctx, h.inside, "udp", farAway+":7")
		return err != nil && dropped() > before
	})
	ctx, cancel := context.WithTimeout(h.t.Context(), 100*time.Millisecond)
	defer cancel()
	if seen, err := lab.Ask(ctx, h.inside, "udp", farAway+":7"); err == nil {
		h.t.Errorf("a flow was seen under %v, though the NAT has no external address", seen)
	}
}

// flow is one UDP socket of the endpoint that goes on talking.
type flow struct {
	h    *host
	from string
}

func (h *host) flow() flow { return flow{h, "172.16.1.2:4567"} }

// external is how the remote sees it.
func (f flow) external() (seen netip.AddrPort) {
	f.h.t.Helper()
	f.h.eventually("an answer to the live flow", func(ctx context.Context) bool {
		conn, err := f.h.inside.DialFrom(ctx, "udp", f.from, farAway+":7")
		if err != nil {
			return false
		}
		defer conn.Close()
		seen, err = lab.AskConn(ctx, conn)
		return err == nil
	})
	return seen
}

func (f flow) stays(want netip.AddrPort) {
	f.h.t.Helper()
	if got := f.external(); got != want {
		f.h.t.Errorf("the live flow is seen as %v, and was as %v", got, want)
	}
}
