package test

import (
	"context"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/hostnat/hostnat/internal/lab"
	"github.com/hostnat/hostnat/internal/nat"
)

const (
	farAway     = "192.0.2.7" // the remote has it: reached by either link
	secondHost  = "198.51.100.1"
	movesAtMost = time.Second
)

// wayOut is one of the host's two links outside.
type wayOut struct{ link, address, gateway string }

// TestOutsideMoves moves the default route and the address back and forth: new
// flows use the new address, a published port answers there and no session of
// the lost one is left, all within a second, measured on the wire.
func TestOutsideMoves(t *testing.T) {
	h := startHost(t)
	for _, err := range []error{
		h.Remote.AddAddress("lo", farAway+"/32"), lab.Veth(h.Host, "out1", h.Remote, "eth1"),
		h.Host.AddAddress("out1", secondHost+"/24"), h.Remote.AddAddress("eth1", "198.51.100.2/24"),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	h.echo(h.Remote, "udp", farAway+":7")
	h.echo(h.inside, "tcp", ":80")
	ways := [2]wayOut{{lab.HostLink, lab.HostAddress, lab.RemoteAddress}, {"out1", secondHost, "198.51.100.2"}}
	h.seenAs(ways[0].address)

	var routes, addresses []time.Duration
	for i := range 6 {
		from, to := ways[i%2], ways[(i+1)%2]
		h.must(h.Host.DeleteRoute("0.0.0.0/0", from.gateway), h.Host.AddRoute("0.0.0.0/0", to.gateway))
		routes = append(routes, h.seenAs(to.address))
	}
	for range 4 { // the link keeps its place and gets another address
		from := ways[0]
		ways[0].address = map[string]string{lab.HostAddress: "203.0.113.9", "203.0.113.9": lab.HostAddress}[from.address]
		h.must(h.Host.DeleteAddress(from.link, from.address+"/24"), h.Host.AddAddress(from.link, ways[0].address+"/24"),
			h.Host.AddRoute("0.0.0.0/0", from.gateway))
		began := time.Now()
		h.seenAs(ways[0].address)
		h.soon(began, "the published port at "+ways[0].address, func(ctx context.Context) bool {
			_, err := lab.Ask(ctx, h.Remote, "tcp", ways[0].address+":8080")
			return err == nil
		})
		h.soon(began, "no session of "+from.address, func(ctx context.Context) bool {
			list, err := h.Sessions(ctx, nat.Filter{})
			lost := netip.MustParseAddr(from.address)
			return err == nil && !slices.ContainsFunc(list, func(s nat.Session) bool { return s.External.Addr() == lost })
		})
		addresses = append(addresses, time.Since(began))
	}
	t.Logf("route moved: new flows after %v; address moved: all after %v", routes, addresses)
}

func (h *host) must(errs ...error) {
	h.t.Helper()
	for _, err := range errs {
		if err != nil {
			h.t.Fatal(err)
		}
	}
}

// seenAs waits until a new flow is seen under an address, and returns how long
// that took.
func (h *host) seenAs(address string) time.Duration {
	h.t.Helper()
	began := time.Now()
	h.soon(began, "new flows to have "+address, func(ctx context.Context) bool {
		seen, err := lab.Ask(ctx, h.inside, "udp", farAway+":7")
		return err == nil && seen.Addr().String() == address
	})
	return time.Since(began)
}

// soon fails if something has not come about a second after it began. It waits
// for longer, to tell how late it was.
func (h *host) soon(began time.Time, what string, cond func(context.Context) bool) {
	h.t.Helper()
	h.waitFor(10*time.Second, what, func() bool {
		ctx, cancel := context.WithTimeout(h.t.Context(), 100*time.Millisecond)
		defer cancel()
		return cond(ctx)
	})
	if took := time.Since(began); took > movesAtMost {
		h.t.Errorf("%s: after %v", what, took)
	}
}
