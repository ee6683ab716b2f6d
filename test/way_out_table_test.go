package test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hostnat/hostnat/dev/lab"
)

func (h *host) setNAT(key, value string) {
	h.t.Helper()
	_, err := h.SetNAT(h.t.Context(), "default", map[string]string{key: value})
	h.must(err)
}

// TestTableOfANAT: a NAT's own table is its only way out, and what it has no route
// for goes nowhere.
func TestTableOfANAT(t *testing.T) {
	t.Parallel()
	h := startHost(t)
	h.twoWays()
	h.seenAs(lab.HostAddress)
	h.ip4("route add default via " + secondRemote + " dev out1 table 102")
	h.setNAT("table", "102")
	h.seenAs(secondHost)
	h.ip4("route flush table 102")
	h.eventually("no way out of an empty table", func(ctx context.Context) bool {
		_, err := lab.Ping(ctx, h.inside, farAway)
		var e *lab.ICMPError
		return errors.As(err, &e) && e.Type == 3 && e.Code == 1
	})
	h.setNAT("table", "none")
	h.seenAs(lab.HostAddress)
	for _, bad := range []string{"0", "255", "-1", "main", "4294967296", ""} {
		if _, err := h.SetNAT(t.Context(), "default", map[string]string{"table": bad}); err == nil {
			t.Errorf("table %q is taken", bad)
		}
	}
}

// TestAnswersOfAPublishedPort: they go as the host's own would: by the rule for the
// address that the client spoke to, whatever else is the way out; where a rule for
// the inside forbids it, not at all.
func TestAnswersOfAPublishedPort(t *testing.T) {
	t.Parallel()
	h := startHost(t)
	h.twoWays()
	client, err := lab.NewNamespace("client")
	h.must(err)
	t.Cleanup(func() { client.Close() })
	h.must(lab.Veth(h.Host, "out2", client, "eth0"), h.Host.AddAddress("out2", "10.77.0.1/24"), client.AddAddress("eth0", "10.77.0.2/24"),
		client.AddAddress("lo", "10.88.0.7/32"))
	ask := func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), 700*time.Millisecond)
		defer cancel()
		_, err := lab.Ask(ctx, client, "tcp", "10.77.0.1:8080")
		return err == nil
	}
	h.waitFor(10*time.Second, "the published port to answer who is on the link", ask)
	h.run(client, "ip route change 10.77.0.0/24 dev eth0 src 10.88.0.7")
	if ask() {
		t.Error("an answer finds the client though no rule leads there")
	}
	h.ip4("route add default via 10.77.0.2 dev out2 table 103")
	h.ip4("rule add from 10.77.0.1 lookup 103 pref 160")
	h.waitFor(10*time.Second, "the published port to answer by the link that it was asked on", ask)
	for _, rule := range []string{"from 172.16.1.0/24 lookup 104", "iif hn-web lookup 104"} { // a VPN for the network
		h.tryIP("route add default via " + secondRemote + " dev out1 table 104")
		h.ip4("rule add " + rule + " pref 150")
		h.seenAs(secondHost)
		h.waitFor(10*time.Second, "the published port to answer with rule '"+rule+"'", ask)
		h.ip4("rule del pref 150")
	}
	for _, rule := range []string{"from 172.16.1.0/24 prohibit", "iif hn-web blackhole", "iif hn-web unreachable"} {
		h.ip4("rule add " + rule + " pref 150")
		h.waitFor(10*time.Second, "no answers with rule '"+rule+"'", func() bool { return !ask() })
		h.ip4("rule del pref 150")
		h.waitFor(10*time.Second, "answers without it", ask)
	}
}

// TestFixedAddressOfASecondUplink: a NAT with an address of its own leaves by the
// rule for that.
func TestFixedAddressOfASecondUplink(t *testing.T) {
	t.Parallel()
	h := startHost(t)
	h.twoWays()
	out, err := lab.Capture(h.Host, lab.HostLink)
	h.must(err)
	defer out.Close()
	h.ip4("route add default via " + secondRemote + " dev out1 table 102")
	h.ip4("rule add from " + secondHost + " lookup 102")
	_, err = h.AddAddress(t.Context(), "default", secondHost)
	h.must(err)
	h.seenAs(secondHost)
	for len(out.Packets()) > 0 {
		if p := <-out.Packets(); strings.Contains(string(p.Data), "\xc6\x33\x64\x01") {
			t.Errorf("a packet of %s has left by %s: %x", secondHost, lab.HostLink, p.Data)
		}
	}
	h.ip4("rule add iif hn-web prohibit pref 150")
	h.eventually("the rule for the network to hold", func(ctx context.Context) bool {
		_, err := lab.Ping(ctx, h.inside, farAway)
		var e *lab.ICMPError
		return errors.As(err, &e) && e.Code == 13
	})
}

// TestIPsecPolicies: what the host must not send in clear endpoints do not send
// either: before and after translation, and while no daemon is there.
func TestIPsecPolicies(t *testing.T) {
	t.Parallel()
	h := startHost(t)
	h.twoWays()
	h.echo(h.Remote, "tcp", ":90")
	reaches := func(to string) bool {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := lab.Ask(ctx, h.inside, "tcp", to)
		return err == nil
	}
	if out, err := h.Host.Command(t.Context(), "ip", "xfrm", "policy", "list").CombinedOutput(); err != nil {
		t.Skipf("this kernel has no IPsec policies: %s", out)
	}
	tunnel := " tmpl src 203.0.113.1 dst 203.0.113.2 proto esp mode tunnel"
	for _, c := range []struct {
		policies []string
		held     bool
	}{
		{[]string{"dst 192.0.2.0/24 dir out action block"}, true},
		{[]string{"dst 192.0.2.0/24 dir in action block"}, false},
		{[]string{"src 172.16.1.0/24 dst 192.0.2.0/24 dir out" + tunnel}, true},
		{[]string{"src 203.0.113.1/32 dst 192.0.2.0/24 dir out" + tunnel}, true},
		{[]string{"src 203.0.113.9/32 dst 192.0.2.0/24 dir out" + tunnel}, false},
		{[]string{"src 172.16.1.0/24 dst 192.0.2.0/24 dir fwd action block"}, true},
		{[]string{"dst 192.0.2.7/32 proto tcp dport 90 dir out action block"}, true},
		{[]string{"dst 192.0.2.7/32 proto tcp dport 91 dir out action block"}, false},
		{[]string{"dst 192.0.2.7/32 proto udp dir out action block"}, false},
		{[]string{"dst 192.0.2.7/32 dir out action allow priority 1", "dst 192.0.2.0/24 dir out priority 5 action block"}, false},
		{[]string{"dst 192.0.2.7/32 dir out action allow priority 9", "dst 192.0.2.0/24 dir out priority 5 action block"}, true},
		{[]string{"dst 192.0.2.0/24 dev out1 dir out action block"}, false},
		{[]string{"dst 192.0.2.0/24 dev out0 dir out action block"}, true},
	} {
		for _, p := range c.policies {
			h.ip4("xfrm policy add " + ends(p))
		}
		name := strings.Join(c.policies, "; ")
		if c.held {
			h.waitFor(5*time.Second, "what a policy selects to be held back: "+name, func() bool { return !reaches(farAway + ":90") })
		}
		// Another one, that the data path hears of later.
		h.ip4("xfrm policy add " + ends("dst "+lab.RemoteAddress+"/32 dir out action block"))
		h.waitFor(5*time.Second, "the policy after "+name, func() bool { return !reaches(lab.RemoteAddress + ":90") })
		if got := !reaches(farAway + ":90"); got != c.held {
			t.Errorf("%s: held back: %v, want %v", name, got, c.held)
		}
		h.ip4("xfrm policy flush")
		h.waitFor(5*time.Second, "the way to be free again after "+name, func() bool { return reaches(farAway + ":90") })
	}
	h.ip4("xfrm policy add " + ends("dst 192.0.2.0/24 dir out action block"))
	h.waitFor(5*time.Second, "the policy to hold", func() bool { return !reaches(farAway + ":90") })
	h.waitFor(5*time.Second, "status to speak of it", func() bool {
		s, err := h.Status(t.Context())
		return err == nil && s.Drops["ipsec"] > 0 && slices.ContainsFunc(s.Problems, func(p string) bool { return strings.Contains(p, "IPsec") })
	})
}

// ends gives a policy the ends that ip wants to be named.
func ends(policy string) string {
	if !strings.Contains(policy, "src ") || strings.HasPrefix(policy, "dst") {
		return "src 0.0.0.0/0 " + policy
	}
	return policy
}
