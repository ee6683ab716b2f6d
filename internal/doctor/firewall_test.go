package doctor

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/hostnat/hostnat/internal/host/examine"
	"github.com/hostnat/hostnat/internal/model"
)

// docker is what Docker 20 to 28 leave in iptables-nft: FORWARD drops what no
// rule of its own lets through.
func docker() []examine.Chain {
	jump := func(to string) examine.Rule { return examine.Rule{Does: "jump", Target: to} }
	link := func(name string) examine.LinkMatch { return examine.LinkMatch{Name: name} }
	return []examine.Chain{
		{Family: "ip", Table: "filter", Name: "FORWARD", Hook: "forward", Drops: true, Rules: []examine.Rule{
			jump("DOCKER-USER"), jump("DOCKER-ISOLATION-STAGE-1"),
			{Match: examine.Match{Out: link("docker0"), Never: true}, Does: "accept"},
			{Match: examine.Match{In: link("docker0"), Out: examine.LinkMatch{Name: "docker0", Not: true}}, Does: "accept"},
			{Match: examine.Match{In: link("docker0"), Out: link("docker0")}, Does: "accept"},
		}},
		{Family: "ip", Table: "filter", Name: "DOCKER-USER", Rules: []examine.Rule{{Does: "return"}}},
		{Family: "ip", Table: "filter", Name: "DOCKER-ISOLATION-STAGE-1", Rules: []examine.Rule{
			{Match: examine.Match{In: link("docker0"), Out: examine.LinkMatch{Name: "docker0", Not: true}}, Does: "jump", Target: "DOCKER-ISOLATION-STAGE-2"}, {Does: "return"},
		}},
		{Family: "ip", Table: "nat", Name: "POSTROUTING", Hook: "postrouting", Rules: []examine.Rule{
			{Match: examine.Match{Source: examine.PrefixMatch{Prefix: pre("172.17.0.0/16")}, Out: examine.LinkMatch{Name: "docker0", Not: true}}, Does: "masquerade"},
		}},
	}
}

func TestFirewallChecks(t *testing.T) {
	t.Parallel()
	accept := func(in, out string) examine.Rule {
		return examine.Rule{Match: examine.Match{In: examine.LinkMatch{Name: in}, Out: examine.LinkMatch{Name: out}}, Does: "accept"}
	}
	input := func(drops bool, rules ...examine.Rule) []examine.Chain {
		return []examine.Chain{{Family: "inet", Table: "fw", Name: "in", Hook: "input", Drops: drops, Rules: rules}}
	}
	tests := []struct {
		name   string
		chains []examine.Chain
		spoil  func(*Facts)
		want   []string // check, and what
	}{
		{"Docker", docker(), nil, []string{
			"bridged-frames: the firewall (ip filter FORWARD) drops what endpoints of network web send to each other",
			"bridged-frames: the firewall (ip filter FORWARD) drops what endpoints of network lan send to each other"}},
		{"Docker, where the data path hands frames over", docker(), func(f *Facts) { f.Config.Networks[0].PortSecurity = model.On }, []string{
			"bridged-frames: the firewall (ip filter FORWARD) drops what endpoints of network lan send to each other"}},
		{"Docker, but frames do not pass iptables", docker(), func(f *Facts) { f.Host.Sysctls["net/bridge/bridge-nf-call-iptables"] = "0" }, nil},
		{"Docker, and br_netfilter is not loaded", docker(), func(f *Facts) { delete(f.Host.Sysctls, "net/bridge/bridge-nf-call-iptables") }, nil},
		{"Docker, fixed by hand", docker(), func(f *Facts) {
			f.Host.Chains[1].Rules = []examine.Rule{accept("hn-web", "hn-web"), accept("br0", "br0"), {Does: "return"}}
		}, nil},
		{"Docker, one of two fixed", docker(), func(f *Facts) {
			f.Host.Chains[0].Rules = append([]examine.Rule{{Match: examine.Match{In: examine.LinkMatch{Name: "hn-", Begins: true}}, Does: "accept"}}, f.Host.Chains[0].Rules...)
		}, []string{"bridged-frames: the firewall (ip filter FORWARD) drops what endpoints of network lan send to each other"}},
		{"a table for bridges", []examine.Chain{{Family: "bridge", Table: "b", Name: "f", Hook: "forward", Drops: true}},
			func(f *Facts) { f.Config.Networks = f.Config.Networks[:1]; f.Host.Links[5].Lent = nil }, []string{
				"bridged-frames: the firewall (bridge b f) drops what endpoints of network web send to each other"}},
		{"one chain accepts, the next drops", []examine.Chain{
			{Family: "inet", Table: "a", Name: "f", Hook: "forward", Rules: []examine.Rule{{Does: "accept"}}},
			{Family: "inet", Table: "b", Name: "f", Hook: "forward", Rules: []examine.Rule{{Match: examine.Match{Source: examine.PrefixMatch{Prefix: pre("172.16.1.0/24")}}, Does: "drop"}}}},
			nil, []string{"bridged-frames: the firewall (inet b f) drops what endpoints of network web send to each other"}},
		{"a firewall for the host", input(true, accept("lo", "")), func(f *Facts) { f.Config.Networks = f.Config.Networks[:1] }, []string{
			"host-services: the firewall (inet fw in) drops DNS, DNS over TCP from network web to the host"}},
		{"a firewall that knows DNS", input(true, examine.Rule{Match: examine.Match{Protocol: 17, Ports: examine.PortMatch{Low: 53, High: 53}}, Does: "accept"}),
			func(f *Facts) { f.Config.Networks = f.Config.Networks[:1] }, []string{
				"host-services: the firewall (inet fw in) drops DNS over TCP from network web to the host"}},
		{"a firewall that knows the bridge", input(true, accept("hn-web", ""), accept("br0", "")), nil, nil},
		{"a rule that is not understood lets nothing through", input(true, examine.Rule{Match: examine.Match{Unknown: true}, Does: "accept"}),
			func(f *Facts) { f.Config.Networks = f.Config.Networks[:1] }, []string{
				"host-services: the firewall (inet fw in) drops DNS, DNS over TCP from network web to the host"}},
		{"somebody masquerades our prefix", []examine.Chain{{Family: "ip", Table: "nat", Name: "POSTROUTING", Hook: "postrouting", Rules: []examine.Rule{
			{Match: examine.Match{Source: examine.PrefixMatch{Prefix: pre("172.16.0.0/12")}}, Does: "masquerade"},
			{Match: examine.Match{Source: examine.PrefixMatch{Prefix: pre("172.16.0.0/12"), Not: true}}, Does: "masquerade"}}}},
			func(f *Facts) { f.Config.Networks = f.Config.Networks[:1] }, []string{
				"nat-rules: a masquerade rule for 172.16.0.0/12 (ip nat POSTROUTING) covers network web (172.16.1.0/24)"}},
		{"somebody publishes our port", []examine.Chain{{Family: "ip", Table: "nat", Name: "DOCKER", Rules: []examine.Rule{
			{Match: examine.Match{Protocol: 6, Ports: examine.PortMatch{Low: 8080, High: 8080}}, Does: "dnat"},
			{Match: examine.Match{Protocol: 17, Ports: examine.PortMatch{Low: 8080, High: 8080}}, Does: "dnat"},
			{Match: examine.Match{Protocol: 6, Ports: examine.PortMatch{Low: 8081, High: 8081}}, Does: "dnat"}}}}, nil, []string{
			"nat-rules: mapping 1 (tcp *:8080 to c1:80) is published by a rule of somebody else too (ip nat DOCKER)"}},
		{"chains that lead to each other", []examine.Chain{
			{Family: "ip", Table: "t", Name: "a", Hook: "forward", Rules: []examine.Rule{{Does: "jump", Target: "b"}}},
			{Family: "ip", Table: "t", Name: "b", Rules: []examine.Rule{{Does: "jump", Target: "b"}}}}, nil, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			f := healthy()
			f.Host.Chains, f.Config.Networks[0].PortSecurity = tt.chains, model.Off // else its frames do not go up the bridge
			if tt.spoil != nil {
				tt.spoil(&f)
			}
			var got []string
			for _, found := range Run(f) {
				got = append(got, found.Check+": "+found.What)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// TestDockerUserIsMended: what is put into DOCKER-USER survives Docker.
func TestDockerUserIsMended(t *testing.T) {
	t.Parallel()
	f := healthy()
	f.Host.Chains, f.Config.Networks[0].PortSecurity = docker(), model.Off
	found := Run(f)
	if len(found) == 0 || found[0].Command != "iptables -I DOCKER-USER -i hn-web -o hn-web -j ACCEPT" {
		t.Fatalf("%+v", found)
	}
	if diff := cmp.Diff(&BridgeRule{Table: "filter", Chain: "DOCKER-USER", Bridge: "hn-web"}, found[0].fix.AcceptBridged); diff != "" {
		t.Error(diff)
	}
}
