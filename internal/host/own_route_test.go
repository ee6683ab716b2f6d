package host

import (
	"context"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/hostnat/hostnat/internal/host/hosttest"
	"golang.org/x/sys/unix"

	"github.com/hostnat/hostnat/dev/lab"
)

// ipOn runs `ip` on the host.
func ipOn(t *testing.T, n *lab.Namespace, argv ...string) string {
	t.Helper()
	out, err := n.Command(context.Background(), append([]string{"ip", "-4"}, argv...)...).CombinedOutput()
	if err != nil {
		t.Fatalf("ip %v: %v\n%s", argv, err, out)
	}
	return string(out)
}

// TestOwnRoutes: what is added is what is listed, and what the kernel adds with
// an address is what GatewayRoutes says.
func TestOwnRoutes(t *testing.T) {
	t.Parallel()
	n := hosttest.New(t)
	subnet := netip.MustParsePrefix("172.16.1.0/24")
	var index int
	hosttest.On(t, n, func() (err error) {
		index, err = EnsureBridge(t.Context(), testBridge())
		return err
	})
	own := func() (routes []OwnRoute) {
		hosttest.On(t, n, func() (err error) {
			routes, err = OwnRoutes(t.Context())
			return err
		})
		return slices.DeleteFunc(routes, func(r OwnRoute) bool { return r.Link != index && r.Link != 0 })
	}
	gateway := GatewayRoutes(index, testBridge().Gateway, true)
	contains := func(what string, want []OwnRoute) {
		t.Helper()
		have := own()
		for _, r := range want {
			if !slices.Contains(have, r) {
				t.Errorf("%s: no %+v among %+v", what, r, have)
			}
		}
	}
	contains("as the kernel makes them", gateway)

	ways := []OwnRoute{
		{Table: InsideTable, Type: unix.RTN_UNICAST, Prefix: subnet, Link: index, Source: testBridge().Gateway.Addr()},
		{Table: InsideTable, Type: unix.RTN_THROW, Prefix: netip.MustParsePrefix("172.16.1.128/25")},
	}
	for _, r := range ways {
		hosttest.On(t, n, func() error { return AddRoute(r) })
	}
	contains("own table", ways)
	if got, want := strings.Fields(ipOn(t, n, "route", "get", "172.16.1.9"))[2], "hn-web"; got != want {
		t.Errorf("way to an endpoint by %s, want %s", got, want)
	}

	ipOn(t, n, "route", "flush", "dev", "hn-web")
	ipOn(t, n, "route", "flush", "table", "local", "dev", "hn-web")
	ipOn(t, n, "route", "flush", "table", "1752058190") // InsideTable
	for _, r := range slices.Concat(gateway, ways) {
		if slices.Contains(own(), r) {
			t.Errorf("after the flush: %+v is still there", r)
		}
		hosttest.On(t, n, func() error { return AddRoute(r) })
	}
	contains("added again", slices.Concat(gateway, ways))
	wantQuietly := own()
	for _, r := range gateway {
		hosttest.On(t, n, func() error { return AddRoute(r) })
	}
	if diff := cmp.Diff(wantQuietly, own(), cmp.Comparer(func(a, b netip.Prefix) bool { return a == b }), cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" {
		t.Errorf("added twice (-want +got):\n%s", diff)
	}

	moved := OwnRoute{Table: InsideTable, Type: unix.RTN_THROW, Prefix: subnet}
	hosttest.On(t, n, func() error { return AddRoute(moved) })
	contains("one in the place of another", []OwnRoute{moved, ways[1]})
	if slices.Contains(own(), ways[0]) {
		t.Error("the route before is still there")
	}
	hosttest.On(t, n, func() error { return DeleteRouting(t.Context()) })
	contains("after hostnat's tables were emptied", gateway)
	if left := slices.DeleteFunc(own(), func(r OwnRoute) bool { return !IsOwnTable(r.Table) }); len(left) > 0 {
		t.Errorf("left: %+v", left)
	}
}

// TestInsideRule has rules of others on a real host, and wants ours before those
// that would take what is for networks.
func TestInsideRule(t *testing.T) {
	t.Parallel()
	const inside = "add priority %s iif lo lookup 1752058190 protocol 104"
	ours := func(priority string) string { return strings.Replace(inside, "%s", priority, 1) }
	for name, test := range map[string]struct {
		rules []string // of `ip rule`
		want  int
	}{
		"a new host":                          {nil, 50},
		"a VPN client's":                      {[]string{"add priority 5270 lookup 52"}, 50},
		"first of all":                        {[]string{"add priority 1 lookup 52"}, 0},
		"as first as the local table":         {[]string{"add priority 0 lookup 52"}, 50},
		"of a LAN address":                    {[]string{"add priority 40 from 10.10.50.20 lookup 52"}, 39},
		"several":                             {[]string{"add priority 30 from 10.10.50.20 lookup 52", "add priority 40 lookup 53"}, 29},
		"of marked packets":                   {[]string{"add priority 40 fwmark 7 lookup 52"}, 50},
		"of all but marked packets":           {[]string{"add priority 40 not fwmark 7 lookup 52"}, 39},
		"of another link":                     {[]string{"add priority 40 iif eth9 lookup 52"}, 50},
		"of the host's own":                   {[]string{"add priority 40 iif lo lookup 52"}, 39},
		"to somewhere else":                   {[]string{"add priority 40 to 192.0.2.0/24 lookup 52"}, 50},
		"to a part of a network":              {[]string{"add priority 40 to 172.16.1.128/25 lookup 52"}, 39},
		"to main":                             {[]string{"add priority 40 lookup main"}, 50},
		"of a user":                           {[]string{"add priority 40 uidrange 1000-1000 lookup 52"}, 39},
		"that refuses":                        {[]string{"add priority 40 unreachable"}, 39},
		"local moved, as Cilium does":         {[]string{"add priority 100 lookup local", "del priority 0", "add priority 9 fwmark 512/3840 lookup 2004"}, 100},
		"ours is there":                       {[]string{ours("50")}, 50},
		"ours is there, further ahead":        {[]string{ours("20")}, 20},
		"one came before ours by itself":      {[]string{ours("50"), "add from 10.10.50.20 lookup 52"}, 48},
		"local moved behind ours":             {[]string{ours("50"), "add priority 100 lookup local", "del priority 0"}, 100},
		"one behind ours":                     {[]string{ours("30"), "add priority 40 lookup 52"}, 30},
		"ours at 0, and one at 1":             {[]string{ours("0"), "add priority 1 lookup 52"}, 0},
		"one of ours that is for other links": {[]string{"add priority 20 iif eth9 lookup 1752058190 protocol 104"}, 50},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := hosttest.New(t)
			for _, r := range test.rules {
				ipOn(t, n, append([]string{"rule"}, strings.Fields(r)...)...)
			}
			want := OwnRule{Priority: test.want, From: "lo", Table: InsideTable}
			choose := func() (got OwnRule) {
				hosttest.On(t, n, func() error {
					rules, err := RoutingRules(t.Context())
					got = InsideRule(rules, []netip.Prefix{netip.MustParsePrefix("172.16.1.0/24"), netip.MustParsePrefix("172.16.2.0/24")})
					return err
				})
				return got
			}
			got := choose()
			if diff := cmp.Diff(want, got); diff != "" {
				t.Fatalf("(-want +got):\n%s", diff)
			}
			hosttest.On(t, n, func() error { return AddRule(got) })
			if diff := cmp.Diff(want, choose()); diff != "" {
				t.Errorf("once it is there (-want +got):\n%s", diff)
			}
			hosttest.On(t, n, func() error { return DeleteRouting(t.Context()) })
			if left := ipOn(t, n, "rule", "show"); strings.Contains(left, "1752058190") {
				t.Errorf("left after all were deleted:\n%s", left)
			}
		})
	}
}
