package doctor

import (
	"testing"

	"github.com/hostnat/hostnat/internal/host/examine"
)

// What hosts commonly have, with br_netfilter loaded: whether frames between endpoints
// and DNS from them get through.
func TestCommonFirewalls(t *testing.T) {
	t.Parallel()
	for name, f := range commonFirewalls() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			facts := healthy()
			facts.Host.Chains = f.chains
			var frames, names bool
			for _, found := range Run(facts) {
				frames = frames || found.Check == "bridged-frames"
				names = names || found.Check == "host-services"
			}
			if frames != f.framesDropped || names != f.namesDropped {
				t.Errorf("frames dropped: %t, want %t; names dropped: %t, want %t", frames, f.framesDropped, names, f.namesDropped)
			}
		})
	}
}

type commonFirewall struct {
	chains                      []examine.Chain
	framesDropped, namesDropped bool
}

func commonFirewalls() map[string]commonFirewall {
	does := func(m examine.Match, does string) examine.Rule { return examine.Rule{Match: m, Does: does} }
	jump := func(to string) examine.Rule { return examine.Rule{Does: "jump", Target: to} }
	in, out := func(l string) examine.Match { return examine.Match{In: examine.LinkMatch{Name: l}} }, func(l string) examine.Match { return examine.Match{Out: examine.LinkMatch{Name: l}} }
	never, tcp := examine.Match{Never: true}, func(port uint16) examine.Match {
		return examine.Match{Protocol: 6, Ports: examine.PortMatch{Low: port, High: port}}
	}
	udp := func(port uint16) examine.Match {
		return examine.Match{Protocol: 17, Ports: examine.PortMatch{Low: port, High: port}}
	}
	chain := func(family, table, name, hook string, drops bool, rules ...examine.Rule) examine.Chain {
		return examine.Chain{Family: family, Table: table, Name: name, Hook: hook, Drops: drops, Rules: rules}
	}
	accepting := docker()
	accepting[0].Drops = false // iptables -P FORWARD ACCEPT
	return map[string]commonFirewall{
		"Docker":                           {docker(), true, false},
		"Docker, policy ACCEPT put back":   {accepting, false, false},
		"invalid packets dropped, no more": {[]examine.Chain{chain("inet", "filter", "forward", "forward", false, does(never, "drop"))}, false, false},
		"libvirt": {[]examine.Chain{
			chain("ip", "filter", "FORWARD", "forward", false, jump("LIBVIRT_FWX"), jump("LIBVIRT_FWI"), jump("LIBVIRT_FWO")),
			chain("ip", "filter", "LIBVIRT_FWX", "", false, does(examine.Match{In: examine.LinkMatch{Name: "virbr0"}, Out: examine.LinkMatch{Name: "virbr0"}}, "accept")),
			chain("ip", "filter", "LIBVIRT_FWI", "", false, does(never, "accept"), does(out("virbr0"), "drop")),
			chain("ip", "filter", "LIBVIRT_FWO", "", false, does(in("virbr0"), "accept"), does(in("virbr0"), "drop")),
		}, false, false},
		"ufw, incoming denied": {[]examine.Chain{
			chain("ip", "filter", "INPUT", "input", true, jump("ufw-before-input")),
			chain("ip", "filter", "ufw-before-input", "", false, does(in("lo"), "accept"), does(never, "accept"), does(never, "drop"), does(tcp(22), "accept")),
			chain("ip", "filter", "FORWARD", "forward", true, jump("ufw-before-forward")),
			chain("ip", "filter", "ufw-before-forward", "", false, does(never, "accept"), does(examine.Match{Protocol: 1}, "accept")),
		}, true, true},
		"ufw, DNS allowed": {[]examine.Chain{
			chain("ip", "filter", "INPUT", "input", true, jump("ufw-user-input")),
			chain("ip", "filter", "ufw-user-input", "", false, does(udp(53), "accept"), does(tcp(53), "accept")),
		}, false, false},
		"a workstation that refuses some ports": {[]examine.Chain{
			chain("inet", "filter", "input", "input", false, does(tcp(111), "drop"), does(udp(5353), "drop"), does(never, "drop")),
		}, false, false},
		"a router that shields one link": {[]examine.Chain{
			chain("inet", "filter", "forward", "forward", false, does(in("ppp0"), "drop")),
			chain("inet", "filter", "input", "input", false, does(in("ppp0"), "drop")),
		}, false, false},
		"a server: SSH alone": {[]examine.Chain{
			chain("inet", "filter", "input", "input", true, does(never, "accept"), does(in("lo"), "accept"), does(tcp(22), "accept")),
			chain("inet", "filter", "forward", "forward", true),
		}, true, true},
		"bridges are let through": {[]examine.Chain{
			chain("inet", "filter", "forward", "forward", true, does(examine.Match{In: examine.LinkMatch{Name: "hn-", Begins: true}}, "accept"), does(in("br0"), "accept")),
		}, false, false},
	}
}
