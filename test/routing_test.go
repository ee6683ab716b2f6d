package test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/hostnat/hostnat/api"
	"github.com/hostnat/hostnat/dev/lab"
	"github.com/hostnat/hostnat/internal/model"
)

// ip4 is ip with its arguments in one text.
func (h *host) ip4(args string) string {
	h.t.Helper()
	return h.ip(strings.Fields(args)...)
}

// together reports whether host and endpoint reach each other in every way.
func (h *host) together() bool {
	for _, ask := range []struct {
		from *lab.Namespace
		to   string
	}{
		{h.Host, "127.0.0.1:8080"}, {h.Host, "172.16.1.2:80"}, {h.Host, lab.HostAddress + ":8080"},
		{h.inside, "172.16.1.1:7000"}, {h.inside, lab.HostAddress + ":7000"},
	} {
		ctx, cancel := context.WithTimeout(h.t.Context(), 500*time.Millisecond)
		_, err := lab.Ask(ctx, ask.from, "tcp", ask.to)
		cancel()
		if err != nil {
			return false
		}
	}
	return true
}

const insideTable = "1752058190"

// noticed returns when the daemon has looked at all that was changed on the host before:
// a NAT's settings are nothing that it changes without.
func (h *host) noticed() {
	h.t.Helper()
	for _, rate := range []string{"1000000", "0"} {
		if _, err := h.SetNAT(h.t.Context(), model.DefaultNAT, map[string]string{"max-rate": rate}); err != nil {
			h.t.Fatal(err)
		}
	}
}

// TestVPNRule: rules of others that send everything elsewhere leave host and
// endpoints together, whatever their preference.
func TestVPNRule(t *testing.T) {
	t.Parallel()
	h := startHost(t)
	h.echo(h.inside, "tcp", ":80")
	h.echo(h.Host, "tcp", ":7000")
	h.waitFor(20*time.Second, "host and endpoint to reach each other", h.together)
	h.must(h.Host.AddBridge("tunnel"))
	h.ip4("link set tunnel up")
	h.ip4("route add default dev tunnel table 52")
	h.ip4("route add throw 203.0.113.0/24 table 52")
	for _, rule := range []string{
		"lookup 52 priority 5270", "from " + lab.HostAddress + " lookup 52", "lookup 52", "lookup 52 priority 10",
		"not fwmark 7 lookup 52 priority 7", "uidrange 0-0 lookup 52 priority 5", "unreachable priority 2",
	} {
		h.ip4("rule add " + rule)
		h.waitFor(5*time.Second, "host and endpoint to reach each other beside the rule '"+rule+"'", h.together)
		h.noticed() // for good, and not only until then
		if !h.together() {
			t.Errorf("beside the rule %q they no longer reach each other:\n%s", rule, h.ip4("rule show"))
		}
		h.ip4("rule del " + rule)
	}
}

// TestFlushed: what somebody takes out of the host's routing is back within two
// seconds.
func TestFlushed(t *testing.T) {
	t.Parallel()
	h := startHost(t)
	h.echo(h.inside, "tcp", ":80")
	h.echo(h.Host, "tcp", ":7000")
	h.waitFor(20*time.Second, "host and endpoint to reach each other", h.together)
	routing := func() string {
		return h.ip4("rule show") + h.ip4("route show dev hn-web") + h.ip4("route show table local dev hn-web") + h.ip4("route show table "+insideTable)
	}
	before := routing()
	for _, part := range []string{"lookup " + insideTable, "172.16.1.0/24 dev hn-web proto 104", "172.16.1.0/24 proto kernel", "local 172.16.1.1 proto kernel", "broadcast 172.16.1.255 proto kernel"} {
		if !strings.Contains(before, part) {
			t.Fatalf("no %q in:\n%s", part, before)
		}
	}
	for _, command := range []string{
		"route flush dev hn-web", "route flush dev hn-web table all", "route flush table " + insideTable,
		"rule del lookup " + insideTable, "address flush dev hn-web", "link set hn-web down", "route flush proto 104 table all",
		"route flush table local dev hn-web",
	} {
		h.ip4(command)
		h.waitFor(2*time.Second, "all to be back after 'ip "+command+"'", func() bool { return routing() == before && h.together() })
	}
}

// TestFlushedOfSeveral: the same of networks and endpoints that have come and gone
// one by one since the daemon started.
func TestFlushedOfSeveral(t *testing.T) {
	t.Parallel()
	h := startHost(t)
	for _, name := range []string{"a", "b"} {
		h.createNetwork(name)
	}
	h.removeNetwork("a")
	h.createNetwork("c")
	if got := h.ip4("route show table " + insideTable); strings.Count(got, "\n") != 3 {
		t.Fatalf("routes to networks, want 3:\n%s", got)
	}
	before := h.ip4("route show table all proto 104")
	h.ip4("route flush dev hn-c table " + insideTable)
	h.waitFor(2*time.Second, "the route to the new network to be back", func() bool { return h.ip4("route show table all proto 104") == before })
	for _, name := range []string{"web", "b", "c"} {
		h.removeNetwork(name)
	}
	if left := h.ip4("rule show") + h.ip4("route show table all"); strings.Contains(left, "proto 104") {
		t.Errorf("left without networks:\n%s", left)
	}
}

func (h *host) createNetwork(name string) {
	h.t.Helper()
	_, err := h.CreateNetwork(h.t.Context(), api.NetworkSpec{Name: name})
	h.must(err)
}

func (h *host) removeNetwork(name string) {
	h.t.Helper()
	h.must(h.DeleteNetwork(h.t.Context(), name, true))
}
