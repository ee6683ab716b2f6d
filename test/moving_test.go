package test

import (
	"context"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/hostnat/hostnat/api"
	"github.com/hostnat/hostnat/dev/lab"
)

const (
	farAway      = "192.0.2.7" // the remote has it: reached by either link
	secondHost   = "198.51.100.1"
	secondRemote = "198.51.100.2"
	movesAtMost  = time.Second
)

// wayOut is one of the host's two links outside.
type wayOut struct{ link, address, gateway string }

// twoWays gives the host a second link to the remote, which is reached at
// farAway by either.
func (h *host) twoWays() [2]wayOut {
	h.t.Helper()
	h.must(h.Remote.AddAddress("lo", farAway+"/32"))
	h.plugIn()
	h.echo(h.Remote, "udp", farAway+":7")
	h.echo(h.inside, "tcp", ":80")
	return [2]wayOut{{lab.HostLink, lab.HostAddress, lab.RemoteAddress}, {"out1", secondHost, secondRemote}}
}

// plugIn makes the second link.
func (h *host) plugIn() {
	h.t.Helper()
	h.must(lab.Veth(h.Host, "out1", h.Remote, "eth1"),
		h.Host.AddAddress("out1", secondHost+"/24"), h.Remote.AddAddress("eth1", secondRemote+"/24"))
}

// TestOutsideMoves moves the default route and the address back and forth: new
// flows use the new address, a published port answers there and no session of
// the lost one is left, all within a second, measured on the wire.
func TestOutsideMoves(t *testing.T) {
	h := startHost(t)
	ways := h.twoWays()
	h.seenAs(ways[0].address)

	var routes, addresses []time.Duration
	for i := range 6 {
		routes = append(routes, h.moveRoute(ways[i%2], ways[(i+1)%2]))
	}
	for range 4 { // the link keeps its place and gets another address
		from := ways[0]
		ways[0].address = map[string]string{lab.HostAddress: "203.0.113.9", "203.0.113.9": lab.HostAddress}[from.address]
		began := time.Now()
		h.must(h.Host.DeleteAddress(from.link, from.address+"/24"), h.Host.AddAddress(from.link, ways[0].address+"/24"),
			h.Host.AddRoute("0.0.0.0/0", from.gateway))
		h.seenAs(ways[0].address)
		h.answersAt(ways[0].address)
		h.noSessionOf(from.address)
		addresses = append(addresses, time.Since(began))
	}
	h.inTime("the route moved: new flows", routes)
	h.inTime("the address moved: all", addresses)
}

// moveRoute makes the other link the way out, and returns how long it took until
// new flows had its address.
func (h *host) moveRoute(from, to wayOut) time.Duration {
	h.t.Helper()
	began := time.Now()
	h.must(h.Host.DeleteRoute("0.0.0.0/0", from.gateway), h.Host.AddRoute("0.0.0.0/0", to.gateway))
	h.seenAs(to.address)
	return time.Since(began)
}

func (h *host) must(errs ...error) {
	h.t.Helper()
	for _, err := range errs {
		if err != nil {
			h.t.Fatal(err)
		}
	}
}

// seenAs waits until a new flow is seen under an address.
func (h *host) seenAs(address string) {
	h.t.Helper()
	h.eventually("new flows to have "+address, func(ctx context.Context) bool {
		seen, err := lab.Ask(ctx, h.inside, "udp", farAway+":7")
		return err == nil && seen.Addr().String() == address
	})
}

// answersAt waits until the published port answers at an address of the host.
func (h *host) answersAt(address string) {
	h.t.Helper()
	h.eventually("the published port at "+address, func(ctx context.Context) bool {
		_, err := lab.Ask(ctx, h.Remote, "tcp", address+":8080")
		return err == nil
	})
}

// noSessionOf waits until no session has an external address any more.
func (h *host) noSessionOf(address string) {
	h.t.Helper()
	h.eventually("no session of "+address, func(ctx context.Context) bool {
		list, err := h.Sessions(ctx, api.Filter{})
		lost := netip.MustParseAddr(address)
		return err == nil && !slices.ContainsFunc(list, func(s api.Session) bool { return s.External.Addr() == lost })
	})
}

// eventually waits for something that is tried again and again, first for a
// short time each, so that a try that comes too early does not hide how soon it
// would have worked, then for longer, since the machine may be slow.
func (h *host) eventually(what string, cond func(context.Context) bool) {
	h.t.Helper()
	try := 100 * time.Millisecond
	h.waitFor(30*time.Second, what, func() bool {
		ctx, cancel := context.WithTimeout(h.t.Context(), try)
		defer cancel()
		try = min(2*try, 2*time.Second)
		return cond(ctx)
	})
}

// inTime fails if something mostly came about later than within a second. One
// time alone says little: others may keep the machine busy.
func (h *host) inTime(what string, took []time.Duration) {
	h.t.Helper()
	h.t.Logf("%s after %v", what, took)
	slices.Sort(took)
	if median := took[len(took)/2]; median > movesAtMost {
		h.t.Errorf("%s after %v, in the middle of %d times", what, median, len(took))
	}
}
