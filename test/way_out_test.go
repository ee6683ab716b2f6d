package test

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/hostnat/hostnat/dev/lab"
)

// change is what an admin or a program does to the host's network.
type change struct {
	name     string
	do, undo []string // arguments of ip
}

func (h *host) apply(commands []string) {
	h.t.Helper()
	for _, c := range commands {
		h.ip4(c)
	}
}

// TestSourceIsTheKernels: what an endpoint sends has the address that the kernel
// gives what the host sends there itself, whatever addresses and routes it has.
func TestSourceIsTheKernels(t *testing.T) {
	t.Parallel()
	h := startHost(t)
	h.twoWays()
	h.must(h.Remote.AddAddress(lab.RemoteLink, "10.20.30.99/24"), h.Remote.AddAddress(lab.RemoteLink, "10.20.30.98/24"),
		h.Remote.AddRoute("10.55.0.0/16", lab.HostAddress))
	h.echo(h.Remote, "tcp", ":90")
	second := "address add 10.20.30.1/24 dev out0"
	for _, c := range []change{
		{"plain", nil, nil},
		{"a next hop in the second prefix", []string{second, "route add 192.0.2.0/24 via 10.20.30.99"}, []string{"route del 192.0.2.0/24", "address del 10.20.30.1/24 dev out0"}},
		{"a source that the route names", []string{"address add 203.0.113.77/24 dev out0", "route add 192.0.2.0/24 via 203.0.113.2 src 203.0.113.77"},
			[]string{"address del 203.0.113.77/24 dev out0"}},
		{"a source on loopback", []string{"address add 10.55.1.1/32 dev lo", "route add 192.0.2.0/24 via 203.0.113.2 src 10.55.1.1"}, []string{"route del 192.0.2.0/24", "address del 10.55.1.1/32 dev lo"}},
		{"a source of another interface", []string{"route add 192.0.2.0/24 via 203.0.113.2 src 198.51.100.1"}, []string{"route del 192.0.2.0/24"}},
		{"an address of the link's scope", []string{"address add 10.20.30.7/24 dev out0 scope link"}, []string{"address del 10.20.30.7/24 dev out0"}},
		{"a route without next hop", []string{"route add 192.0.2.7/32 dev out1"}, []string{"route del 192.0.2.7/32"}},
		{"an IPv6 router", []string{"-6 address add fe80::20/64 dev out0 nodad", "route add 192.0.2.7/32 via inet6 fe80::99 dev out0"}, []string{"route del 192.0.2.7/32"}},
		{"nine addresses, the route names the last", append(addressesOn("out0", 9), "route add 192.0.2.0/24 via 203.0.113.2 src 203.0.113.109"),
			[]string{"route del 192.0.2.0/24", "address del 203.0.113.101/24 dev out0"}},
	} {
		if strings.HasPrefix(c.name, "an IPv6") {
			h.run(h.Remote, "ip -6 address add fe80::99/64 dev eth0 nodad")
		}
		h.apply(c.do)
		h.sameSource(c.name, farAway+":90")
		if c.name == "a next hop in the second prefix" {
			h.sameSource("on the second prefix", "10.20.30.98:90")
		}
		h.apply(c.undo)
	}
}

func addressesOn(link string, n int) (commands []string) {
	for i := range n {
		commands = append(commands, "address add 203.0.113."+string('1')+"0"+string(rune('1'+i))+"/24 dev "+link)
	}
	return commands
}

// sameSource waits until an endpoint is seen under the address that the host
// is, and fails if it was another for longer than two seconds.
func (h *host) sameSource(name, to string) {
	h.t.Helper()
	ask := func(from *lab.Namespace) string {
		ctx, cancel := context.WithTimeout(h.t.Context(), 2*time.Second)
		defer cancel()
		seen, err := lab.Ask(ctx, from, "tcp", to)
		if err != nil {
			return err.Error()
		}
		return seen.Addr().String()
	}
	want, got := ask(h.Host), ""
	if _, err := netip.ParseAddr(want); err != nil {
		h.t.Fatalf("%s: the host itself to %s: %s", name, to, want)
	}
	for range 20 {
		if got = ask(h.inside); got == want {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	h.t.Errorf("%s: an endpoint to %s is seen as %s, the host itself as %s", name, to, got, want)
}

// tryIP is ip4 for what need not be there.
func (h *host) tryIP(args string) {
	_ = h.Host.Command(h.t.Context(), append([]string{"ip"}, strings.Fields(args)...)...).Run()
}

// run runs a command in a namespace.
func (h *host) run(n *lab.Namespace, command string) {
	h.t.Helper()
	if out, err := n.Command(h.t.Context(), strings.Fields(command)...).CombinedOutput(); err != nil {
		h.t.Fatalf("%s: %v\n%s", command, err, out)
	}
}

// TestPoorSources: link-local and deprecated addresses are what endpoints have only
// where there is no better one.
func TestPoorSources(t *testing.T) {
	t.Parallel()
	h := startHost(t)
	h.must(h.Remote.AddAddress("lo", farAway+"/32"))
	h.echo(h.Remote, "udp", farAway+":7")
	for _, c := range []struct {
		change
		want string
	}{
		{change{"link-local, of the link's scope, before", []string{"address add 169.254.7.7/16 dev out0 scope link"}, []string{"address del 169.254.7.7/16 dev out0"}}, lab.HostAddress},
		{change{"link-local, first", []string{
			"address flush dev out0", "address add 169.254.9.9/16 dev out0", "address add 203.0.113.1/24 dev out0", "route add default via 203.0.113.2 onlink dev out0",
		}, []string{"address del 169.254.9.9/16 dev out0"}}, lab.HostAddress},
		{change{"deprecated", []string{"address change 203.0.113.1/24 dev out0 preferred_lft 0", "address add 203.0.113.9/24 dev out0"},
			[]string{"address change 203.0.113.1/24 dev out0 preferred_lft forever", "address del 203.0.113.9/24 dev out0"}}, "203.0.113.9"},
		{change{"deprecated, and no other", []string{"address change 203.0.113.1/24 dev out0 preferred_lft 0"},
			[]string{"address change 203.0.113.1/24 dev out0 preferred_lft forever"}}, lab.HostAddress},
	} {
		h.apply(c.do)
		h.noticed() // what was before must not count
		h.seenAs(c.want)
		h.apply(c.undo)
	}
}

// TestRulesHoldForEndpoints: the host's routing rules hold for endpoints as where
// Linux forwards, with the ICMP errors that it would send.
func TestRulesHoldForEndpoints(t *testing.T) {
	t.Parallel()
	h := startHost(t)
	h.twoWays()
	h.echo(h.Remote, "tcp", ":90")
	h.echo(h.Remote, "tcp", ":91")
	const arrives, silence = -1, -2
	answer := func() int {
		ctx, cancel := context.WithTimeout(t.Context(), 700*time.Millisecond)
		defer cancel()
		_, err := lab.Ping(ctx, h.inside, farAway)
		var e *lab.ICMPError
		switch {
		case err == nil:
			return arrives
		case errors.As(err, &e):
			return int(e.Code)
		}
		return silence
	}
	for _, c := range []struct {
		rule string
		want int
	}{
		{"iif hn-web prohibit", 13}, {"iif hn-web unreachable", 0}, {"iif hn-web blackhole", silence},
		{"from 172.16.1.0/24 prohibit", 13}, {"from 172.16.1.2 unreachable", 0}, {"from 172.16.1.3 prohibit", arrives},
		{"to 192.0.2.0/24 prohibit", 13}, {"iif hn-web ipproto icmp prohibit", 13}, {"iif hn-web ipproto tcp prohibit", arrives},
		{"iif hn-web tos 0x10 prohibit", arrives}, {"fwmark 0x684e4154 prohibit", arrives}, {"not fwmark 7 to 192.0.2.7 prohibit", 13},
		{"iif lo prohibit", arrives}, {"not iif hn-web to 192.0.2.7 prohibit", arrives},
	} {
		h.ip4("rule add pref 150 " + c.rule)
		got := answer()
		if got != c.want {
			t.Errorf("rule %q: ping ends with %d, want %d (ICMP code; -1: answered, -2: silence)", c.rule, got, c.want)
		}
		h.ip4("rule del pref 150")
	}
	for _, c := range []struct {
		route string
		want  int
	}{{"prohibit 192.0.2.7", 13}, {"unreachable 192.0.2.7", 1}, {"blackhole 192.0.2.7", silence}, {"throw 192.0.2.7", 0}} {
		if strings.HasPrefix(c.route, "throw") {
			h.ip4("route del default")
		}
		h.ip4("route add " + c.route)
		if got := answer(); got != c.want {
			t.Errorf("route %q: ping ends with %d, want %d", c.route, got, c.want)
		}
		h.ip4("route del " + c.route)
	}
	h.must(h.Host.AddRoute("0.0.0.0/0", lab.RemoteAddress))
	h.rulesOfPorts()
}

// rulesOfPorts: rules for ports, and for a type of service, send flows by the other
// link.
func (h *host) rulesOfPorts() {
	h.t.Helper()
	h.ip4("route add default via " + secondRemote + " dev out1 table 102")
	defer h.ip4("route flush table 102")
	for _, c := range []struct{ rule, to, want string }{
		{"iif hn-web ipproto tcp dport 91 lookup 102", farAway + ":91", secondHost},
		{"iif hn-web ipproto tcp dport 91 lookup 102", farAway + ":90", lab.HostAddress},
		{"from 172.16.1.0/24 lookup 102", farAway + ":90", secondHost},
		{"iif hn-web tos 0x10 lookup 102", farAway + ":90", lab.HostAddress},
	} {
		h.ip4("rule add pref 150 " + c.rule)
		ctx, cancel := context.WithTimeout(h.t.Context(), 2*time.Second)
		seen, err := lab.Ask(ctx, h.inside, "tcp", c.to)
		cancel()
		if err != nil || seen.Addr().String() != c.want {
			h.t.Errorf("rule %q: an endpoint to %s is seen as %v (%v), want %s", c.rule, c.to, seen, err, c.want)
		}
		h.ip4("rule del pref 150")
	}
}

// TestMTUOfARoute: a route's own MTU holds, locked or not, and within a second of
// its change; one that the host has learnt does not.
func TestMTUOfARoute(t *testing.T) {
	t.Parallel()
	h := startHost(t)
	h.must(h.Remote.AddAddress("lo", farAway+"/32"))
	_, err := h.SetNetwork(t.Context(), "web", map[string]string{"mtu": "1500"}) // else the endpoint's link follows the default route's
	h.must(err)
	told := func() uint16 {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		_, err := lab.EchoRequest{To: netip.MustParseAddr(farAway), Size: 1350, DontFragment: true}.Send(ctx, h.inside)
		var e *lab.ICMPError
		if errors.As(err, &e) && e.Type == 3 && e.Code == 4 {
			return e.MTU
		}
		if err != nil {
			return 1
		}
		return 0
	}
	for _, c := range []struct {
		routes []string
		want   uint16
	}{
		{[]string{"route add 192.0.2.0/24 via 203.0.113.2 mtu 1280"}, 1280},
		{[]string{"route add 192.0.2.0/24 via 203.0.113.2 mtu lock 1281"}, 1281},
		{[]string{"route replace default via 203.0.113.2 mtu 1282"}, 1282},
		{[]string{"route replace default via 203.0.113.2 mtu 1282", "route add 192.0.2.0/25 via 203.0.113.2"}, 0},
		{[]string{"route add 192.0.2.0/24 via 203.0.113.2 metric 5 mtu 1283", "route add 192.0.2.0/24 via 203.0.113.2 metric 9"}, 1283},
		{[]string{"route add 192.0.2.0/24 via 203.0.113.2 metric 5", "route add 192.0.2.0/24 via 203.0.113.2 metric 9 mtu 1283"}, 0},
		{[]string{"route add 192.0.2.0/24 via 203.0.113.2 mtu 9000"}, 0},
		{[]string{"route add default via 203.0.113.2 table 102 mtu 1284", "rule add pref 150 from 172.16.1.0/24 lookup 102"}, 1284},
		{[]string{"route add 192.0.2.7/32 dev out0 mtu 1285"}, 1285},
	} {
		h.apply(c.routes)
		var last uint16
		until := time.Now().Add(5 * time.Second)
		for last = told(); last != c.want && time.Now().Before(until); last = told() {
			time.Sleep(100 * time.Millisecond)
		}
		if last != c.want {
			t.Errorf("%s: an endpoint is told an MTU of %d, want %d (0: it arrives, 1: silence)", strings.Join(c.routes, "; "), last, c.want)
		}
		h.tryIP("route flush root 192.0.2.0/24")
		h.tryIP("route flush table 102")
		h.tryIP("rule del pref 150")
		h.ip4("route replace default via 203.0.113.2")
	}
}
