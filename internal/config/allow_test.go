package config

import (
	"net/netip"
	"slices"
	"testing"

	"github.com/hostnat/hostnat/internal/model"
)

func TestSetEndpoint(t *testing.T) {
	t.Parallel()
	c := testConfig(t)
	name := c.Endpoints[0].Name
	set := func(key, value string) (model.Endpoint, error) {
		return c.SetEndpoint(name, map[string]string{key: value}, model.HostFacts{})
	}
	e, err := set("allow", "10.50.0.0/24,172.16.1.200,0.0.0.0/0,10.50.0.0/24")
	if err != nil {
		t.Fatal(err)
	}
	want := []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("10.50.0.0/24"), netip.MustParsePrefix("172.16.1.200/32")}
	if !slices.Equal(e.Allow, want) || !e.Forwards() {
		t.Errorf("allowed is %v, want %v", e.Allow, want)
	}
	if p, is := e.Allowed(netip.MustParseAddr("10.50.0.9")); !is || p != want[1] {
		t.Errorf("10.50.0.9 is allowed by %v", p)
	}
	if _, is := e.Allowed(netip.MustParseAddr("192.0.2.1")); is {
		t.Error("who forwards is reached at any address")
	}
	if e, err = set("allow", "none"); err != nil || e.Allow != nil {
		t.Errorf("after none: %v, %v", e.Allow, err)
	}
	if e, err = set("aliases", "WWW,mail"); err != nil || !slices.Equal(e.Aliases, []string{"mail", "www"}) {
		t.Errorf("aliases are %v, %v", e.Aliases, err)
	}
	_, err = set("colour", "blue")
	refused(t, err, model.Invalid, "colour", "aliases, allow")
	_, err = c.SetEndpoint("nobody", map[string]string{"allow": "none"}, model.HostFacts{})
	refused(t, err, model.NotFound, "nobody")
	_, err = c.SetEndpoint(name, nil, model.HostFacts{})
	refused(t, err, model.Invalid, "nothing to set")
}

// What an endpoint is allowed is nobody else's, neither before nor after.
func TestAllowedAddressesAreKept(t *testing.T) {
	t.Parallel()
	c := testConfig(t)
	name := c.Endpoints[0].Name
	if _, err := c.SetEndpoint(name, map[string]string{"allow": "172.16.1.16/28"}, model.HostFacts{}); err != nil {
		t.Fatal(err)
	}
	unkept := func(n model.Network, endpoints []model.Endpoint) (netip.Addr, error) {
		a := n.Gateway4().Next()
		for n.Excludes(a) || slices.ContainsFunc(endpoints, func(e model.Endpoint) bool { return e.Network == n.Name && e.Address4() == a }) {
			a = a.Next()
		}
		return a, nil
	}
	for i := range 20 {
		e, err := c.AddEndpoint(EndpointSpec{Network: "web", Name: "n" + string(rune('a'+i)), Netns: "n" + string(rune('a'+i))}, model.HostFacts{}, unkept)
		if err != nil {
			t.Fatal(err)
		}
		if netip.MustParsePrefix("172.16.1.16/28").Contains(e.Address4()) {
			t.Errorf("%s is given to another one", e.Address4())
		}
	}
	_, err := c.AddEndpoint(EndpointSpec{Network: "web", Name: "thief", Netns: "thief", Address: "172.16.1.20"}, model.HostFacts{}, lowest)
	refused(t, err, model.Conflict, "172.16.1.20", name)
	_, err = c.AddEndpoint(EndpointSpec{Network: "web", Name: "beside", Netns: "beside", Allow: []string{"172.16.1.16/29"}}, model.HostFacts{}, unkept)
	refused(t, err, model.Conflict, "allow", "a part of it")
	if _, err := c.AddEndpoint(EndpointSpec{Network: "web", Name: "both", Netns: "both", Allow: []string{"172.16.1.16/28"}}, model.HostFacts{}, unkept); err != nil {
		t.Errorf("two that pass an address to each other: %v", err)
	}
}

func TestAllowRefuses(t *testing.T) {
	t.Parallel()
	lan := model.HostFacts{Prefixes: []model.HostPrefix{{Prefix: netip.MustParsePrefix("192.168.7.0/24"), Source: "address on eth0"}}}
	for _, tt := range []struct {
		name, value string
		mentions    []string
	}{
		{"the host's LAN", "192.168.7.128/25", []string{"192.168.7.0/24", "eth0"}},
		{"the subnet itself", "172.16.1.0/24", []string{"gateway"}},
		{"more than the subnet", "172.16.0.0/16", []string{"holds the subnet"}},
		{"the broadcast address", "172.16.1.255", []string{"last address"}},
		{"multicast", "224.0.0.5", []string{"multicast"}},
		{"no prefix", "everything", []string{"everything"}},
		{"IPv6", "2001:db8::/64", []string{"2001:db8::"}},
		{"host bits", "10.9.9.9/24", []string{"10.9.9.0/24"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c := testConfig(t)
			before := c.Endpoints[0]
			_, err := c.SetEndpoint(before.Name, map[string]string{"allow": tt.value}, lan)
			if err == nil {
				t.Fatal("it is accepted")
			}
			refused(t, err, model.CodeOf(err), append(tt.mentions, "allow")...)
			if !c.Endpoints[0].Equal(&before) {
				t.Errorf("it changed the endpoint: %+v", c.Endpoints[0])
			}
		})
	}
}

// A network that moves takes along what is of its subnet, and nothing else.
func TestRenumberMovesAllowed(t *testing.T) {
	t.Parallel()
	r := Renumbering{From: netip.MustParsePrefix("172.16.1.0/24"), To: netip.MustParsePrefix("10.8.3.0/25")}
	var list, want []netip.Prefix
	for _, text := range []string{"0.0.0.0/0", "10.50.0.0/24", "172.16.1.16/28", "172.16.1.200/32"} {
		list = append(list, netip.MustParsePrefix(text))
	}
	for _, text := range []string{"0.0.0.0/0", "10.8.3.16/28", "10.50.0.0/24"} {
		want = append(want, netip.MustParsePrefix(text))
	}
	if got := r.moveAllowed(list); !slices.Equal(got, want) {
		t.Errorf("allowed is %v, want %v", got, want)
	}
}
