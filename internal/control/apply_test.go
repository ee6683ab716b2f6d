package control

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/hostnat/hostnat/internal/config"
	"github.com/hostnat/hostnat/internal/configfile"
	"github.com/hostnat/hostnat/internal/model"
	"github.com/hostnat/hostnat/internal/store"
)

// apply applies one file.
func apply(t testing.TB, c *Control, text string, o ApplyOptions) (Applied, error) {
	t.Helper()
	w, err := configfile.Parse(configfile.File{Name: "f.yaml", Text: text})
	if err != nil {
		return Applied{}, err
	}
	return c.ApplyFiles(t.Context(), w, o)
}

// lines are what was changed, as "+ network web".
func lines(a Applied) (list []string) {
	marks := map[string]string{"created": "+", "changed": "~", "deleted": "-"}
	for _, c := range a.Changes {
		line := marks[c.Verb] + " " + c.Kind + " " + c.Name
		for _, f := range c.Fields {
			if c.Verb == "changed" {
				line += fmt.Sprintf("; %s %s -> %s", f.Key, f.Before, f.After)
			}
		}
		list = append(list, line)
	}
	return list
}

const site = `
pools:
  - {prefix: 10.64.0.0/12, size: 24}
nats:
  - name: default
    mssClamp: on
    timeouts: {udp: 1m}
    externalAddresses: ["192.168.7.5:20000-30000"]
  - name: office
    profile: winnat
    externalAddresses: [192.168.7.9]
networks:
  - name: web
    subnets: 172.16.1.0/24
    mtu: 1400
    exclude: [172.16.1.200-172.16.1.210]
    pxe: {bootFile: pxelinux.0}
  - name: lab
    nat: office
    compartment: lab
    subnets: [172.16.1.0/24]
  - name: quiet
    type: internal
  - name: each
    type: per-endpoint
    subnets: [10.9.0.0/16]
endpoints:
  - name: c1
    network: web
    netns: c1
    aliases: [www]
    labels: {team: blue}
  - name: v1
    network: lab
    tap: tap0
    addresses: [172.16.1.7]
  - {name: p1, network: each, netns: p1}
reservations:
  - {network: web, name: c9, address: 172.16.1.9}
mappings:
  - 8080:c1:80
  - {internal: c1:443, from: [198.51.100.0/24]}
  - {external: "9000-9009", internal: [web/c1:80-89, web/later:80-89], protocol: udp}
  - {external: 9100, internal: dhcp-client:22, network: web, clients: {dhcp-client: "02:00:00:00:00:09"}}
  - {external: 9200, internal: p1:80}
  - {protocol: any, external: 192.168.7.9, internal: v1, force: true}
proxies:
  - {kind: v4tov6, listen: "192.168.7.5:8081", connect: "[2001:db8::1]:80"}
  - {kind: name, listen: "192.168.7.5:443", routes: ["www.example.com=c1:443", "*=c1:444"], transparent: true}
`

func TestApplyFiles(t *testing.T) {
	t.Parallel()
	k := &fakeKernel{}
	c, s := start(t, t.TempDir(), k)
	_, before, err := s.Load()
	if err != nil {
		t.Fatal(err)
	}
	dry, err := apply(t, c, site, ApplyOptions{DryRun: true})
	if err != nil {
		t.Fatal(err)
	}
	if cfg, _ := c.snapshot(); len(cfg.Networks) != 0 || len(k.applied) != 0 {
		t.Fatal("a dry run changes something")
	}
	gone := errors.New("the client has gone")
	if _, err := apply(t, c, site, ApplyOptions{GivenUp: func() error { return gone }}); !errors.Is(err, gone) {
		t.Errorf("for who has gone: %v", err)
	}
	if cfg, _ := c.snapshot(); len(cfg.Networks) != 0 || len(k.applied) != 0 {
		t.Fatal("something is changed for who has gone")
	}
	done, err := apply(t, c, site, ApplyOptions{})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"+ pool 10.64.0.0/12",
		"~ nat default; externalAddresses  -> 192.168.7.5:20000-30000; timeouts.udp 300 -> 60; mssClamp false -> true", "+ nat office",
		"+ network web", "+ network lab", "+ network quiet", "+ network each",
		"+ endpoint c1", "+ endpoint v1", "+ endpoint p1",
		"+ reservation web/172.16.1.9",
		"+ mapping tcp *:8080", "+ mapping udp *:9000-9009", "+ mapping tcp *:9100", "+ mapping tcp *:9200", "+ mapping any 192.168.7.9",
		"+ proxy tcp 192.168.7.5:8081", "+ proxy tcp 192.168.7.5:443",
	}
	chosen := func(list []string) []string { // without the mapping whose port is chosen
		var out []string
		for i, line := range list {
			if i == 12 && strings.HasPrefix(line, "+ mapping tcp *:") {
				continue
			}
			out = append(out, line)
		}
		return out
	}
	for _, got := range []Applied{dry, done} {
		if diff := cmp.Diff(want, chosen(lines(got))); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	}
	if len(k.applied) != 1 {
		t.Errorf("the kernel was told %d times", len(k.applied))
	}
	cfg, after, err := s.Load()
	if err != nil || after != before+1 {
		t.Errorf("stored at %v after %v, %v", after, before, err)
	}
	everywhere(t, c, k, s, cfg)
	again, err := apply(t, c, site, ApplyOptions{})
	if err != nil || len(again.Changes) != 0 || len(k.applied) != 1 {
		t.Errorf("again: %v, %v, told %d times", lines(again), err, len(k.applied))
	}
	whole, err := apply(t, c, site, ApplyOptions{Whole: true, DryRun: true})
	if err != nil || len(whole.Changes) != 0 {
		t.Errorf("as the whole truth: %v, %v", lines(whole), err)
	}
}

// everywhere checks that memory, store and kernel have a configuration.
func everywhere(t *testing.T, c *Control, k *fakeKernel, s *store.Store, want config.Config) {
	t.Helper()
	got, _ := c.snapshot()
	stored, _, err := s.Load()
	if err != nil {
		t.Fatal(err)
	}
	for _, place := range []struct {
		name      string
		want, got config.Config
	}{{"memory", want, got}, {"store", want, stored}, {"kernel", want.Effective().Unfolded(), k.last()}} {
		if diff := cmp.Diff(place.want, place.got, compareNetip); diff != "" {
			t.Errorf("%s (-want +got):\n%s", place.name, diff)
		}
	}
}

// What changes in place keeps its id, and what files do not mention stays.
func TestApplyChanges(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, text string
		whole      bool
		want       []string
	}{
		{"a setting", "networks: [{name: web, dns: off}]", false, []string{"~ network web; dns on -> off"}},
		{"what is not mentioned gets its default", "networks: [{name: web}, {name: lab}, {name: quiet}, {name: each}]", true,
			[]string{"~ network web; mtu 1400 -> auto; pxe.bootFile pxelinux.0 -> ; exclude 172.16.1.200-172.16.1.210 -> "}},
		{"a profile", "nats: [{name: default, profile: winnat, timeouts: {icmp: 9}}]", false, []string{"~ nat default; profile rfc -> winnat; timeouts.udp 60 -> 120; timeouts.tcpEstablished 7440 -> 1800; " +
			"timeouts.tcpTransitory 240 -> 120; timeouts.icmp 60 -> 9; holdDown 120 -> 0"}},
		{"a list that is empty", "nats: [{name: default, externalAddresses: []}]", false, []string{"~ nat default; externalAddresses 192.168.7.5:20000-30000 -> "}},
		{"a network moves", "networks: [{name: web, subnets: [10.3.0.0/24]}]", false, []string{
			"~ network web; subnets 172.16.1.0/24 -> 10.3.0.0/24; gateways 172.16.1.1 -> 10.3.0.1; exclude 172.16.1.200-172.16.1.210 -> 10.3.0.200-10.3.0.210",
			"~ endpoint c1; addresses 172.16.1.2 -> 10.3.0.2", "- reservation web/172.16.1.9", "+ reservation web/10.3.0.9"}},
		{"aliases in place", "endpoints: [{name: c1, network: web, aliases: [a, b]}]", false, []string{"~ endpoint c1; aliases www -> a, b"}},
		{"another namespace", "endpoints: [{name: c1, network: web, netns: c2}]", false, []string{"~ endpoint c1; netns c1 -> c2"}},
		{"another target", "mappings: [{external: 8080, internal: v1:80}]", false, []string{"~ mapping tcp *:8080; internal c1:80 -> v1:80"}},
		{"two exchange places", "mappings: [{external: 8080, internal: p1:80}, {external: 9200, internal: c1:80}]", false,
			[]string{"~ mapping tcp *:8080; internal c1:80 -> p1:80", "~ mapping tcp *:9200; internal p1:80 -> c1:80"}},
		{"a proxy elsewhere", `proxies: [{kind: v4tov6, listen: "192.168.7.5:8081", connect: "[2001:db8::2]:80"}]`, false, []string{"~ proxy tcp 192.168.7.5:8081; connect [2001:db8::1]:80 -> [2001:db8::2]:80"}},
		{"a client has another address", "reservations: [{network: web, name: c9, address: 172.16.1.10}]", false, []string{"- reservation web/172.16.1.9", "+ reservation web/172.16.1.10"}},
		{"prune one kind", "proxies: []", true, []string{"- proxy tcp 192.168.7.5:8081", "- proxy tcp 192.168.7.5:443"}},
		{"without prune an empty list is nothing", "proxies: []", false, nil},
		{"prune what another owner has", "owner: ansible\nmappings: []", true, nil},
		{"prune all that there is", "endpoints: []\nnetworks: []\nnats: []\nmappings: []\nproxies: []\npools: []\nreservations: []", true, []string{
			"- pool 10.64.0.0/12", "- nat office", "- network web", "- network lab", "- network quiet", "- network each", "- endpoint c1", "- endpoint v1", "- endpoint p1",
			"- reservation web/172.16.1.9", "- mapping tcp *:8080", "- mapping tcp *:PORT", "- mapping udp *:9000-9009", "- mapping tcp *:9100", "- mapping tcp *:9200", "- mapping any 192.168.7.9",
			"- proxy tcp 192.168.7.5:8081", "- proxy tcp 192.168.7.5:443"}},
		{"a label", "networks: [{name: web, labels: {a: b}, owner: me}]", false, []string{"~ network web; labels  -> a=b; owner  -> me"}},
		{"an owner of everything in the document", "owner: me\nnetworks: [{name: web}]\n---\nnetworks: [{name: lab}]", false, []string{"~ network web; owner  -> me"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			k := &fakeKernel{}
			c, s := start(t, t.TempDir(), k)
			if _, err := apply(t, c, site, ApplyOptions{}); err != nil {
				t.Fatal(err)
			}
			before, _ := c.snapshot()
			got, err := apply(t, c, tt.text, ApplyOptions{Whole: tt.whole})
			if err != nil {
				t.Fatal(err)
			}
			free := fmt.Sprint("*:", before.Mappings[1].External.Ports.Low)
			have := lines(got)
			for i := range have {
				have[i] = strings.Replace(have[i], free, "*:PORT", 1)
			}
			if diff := cmp.Diff(tt.want, have); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			now, _ := c.snapshot()
			everywhere(t, c, k, s, now)
			for _, m := range now.Mappings {
				if old, err := before.Mapping(m.ID); err == nil && old.External != m.External {
					t.Errorf("mapping %d was %s and is %s", m.ID, old, m)
				}
			}
			if again, err := apply(t, c, tt.text, ApplyOptions{Whole: tt.whole}); err != nil || len(again.Changes) != 0 {
				t.Errorf("again: %v, %v", lines(again), err)
			}
		})
	}
}

func TestApplyRefuses(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, text, want string }{
		{"subnet taken", "networks:\n- name: x\n  subnets: 172.16.1.0/25", `f.yaml:3: subnet 172.16.1.0/25 overlaps network "web" (172.16.1.0/24); choose another subnet, or another --compartment`},
		{"value of a key", "networks:\n- name: web\n  dns: off\n  mtu: 12", `f.yaml:4: mtu: MTU "12" is not 576 to 65535; give bytes, or auto to follow the outgoing interface`},
		{"value within a key", "nats:\n- name: default\n  timeouts:\n    udp: never", `f.yaml:4: timeouts.udp: "never" is not a number of seconds or a duration; use 1 second to 30 days, for example 300, 2s or 5m`},
		{"what cannot be changed", "networks:\n- name: web\n  nat: office", `f.yaml:3: nat of network "web" is default, and cannot become office; delete the network first, or leave nat out`},
		{"no such network", "endpoints:\n- name: x\n  network: nowhere\n  netns: x", `f.yaml:3: network "nowhere" does not exist; 'hostnat network list' shows those that do`},
		{"no such endpoint", "mappings:\n- 99:nobody:80", `f.yaml:2: endpoint "nobody" does not exist; attach it, or say in which network it will be: network: NAME`},
		{"twice", "mappings:\n- 99:c1:80\n- {external: 8080, internal: c1:80}\n- 8080:c1:81", `f.yaml:4: tcp *:8080 is there twice: line 3 of f.yaml has it too`},
		{"overlapping ports", "mappings:\n- {external: 8079-8081, internal: c1:79-81}", `f.yaml:2: tcp *:8079-8081 overlaps mapping 1 (tcp *:8080 to c1:80) at *:8080; delete it first, or choose other external ports`},
		{"prune what is needed", "networks: []", ""},
		{"of a plugin", "endpoints:\n- {name: d1, network: web, netns: d1, owner: docker}", `f.yaml:2: owner docker is for what hostnat makes by itself for docker; choose another`},
		{"a change of a plugin's", "networks:\n- {name: dock, dns: off}", `f.yaml:2: network dock belongs to docker: hostnat makes and changes it by what docker says; change it there, or leave it out`},
		{"the last one is wrong", "networks:\n- name: good\n- name: -bad", `f.yaml:3: network name "-bad" starts with '-'; ` + model.NameHint},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			k := &fakeKernel{}
			c, s := start(t, t.TempDir(), k)
			if _, err := apply(t, c, site, ApplyOptions{}); err != nil {
				t.Fatal(err)
			}
			if _, err := c.CreateNetwork(t.Context(), config.NetworkSpec{Name: "dock", Owner: "docker"}); err != nil {
				t.Fatal(err)
			}
			before, _ := c.snapshot()
			_, err := apply(t, c, tt.text, ApplyOptions{Whole: tt.want == ""})
			if err == nil || tt.want != "" && err.Error() != tt.want {
				t.Errorf("got  %v\nwant %s", err, tt.want)
			}
			everywhere(t, c, k, s, before)
		})
	}
	t.Run("the kernel says no", func(t *testing.T) {
		t.Parallel()
		k := &fakeKernel{}
		c, s := start(t, t.TempDir(), k)
		if err := c.Reconcile(t.Context()); err != nil {
			t.Fatal(err)
		}
		before, _ := c.snapshot()
		k.refuse = func(cfg config.Config) error {
			if len(cfg.Networks) > 0 {
				return errKernel
			}
			return nil
		}
		if _, err := apply(t, c, site, ApplyOptions{}); !errors.Is(err, errKernel) {
			t.Errorf("got %v", err)
		}
		everywhere(t, c, k, s, before)
	})
}

// plain is a configuration without what a machine makes up by itself.
func plain(c config.Config) config.Config {
	c = c.Clone()
	c.NextID, c.NextMapping, c.NextProxy, c.Remembered, c.Leases, c.Discovered, c.Observed = 0, 0, 0, nil, nil, nil, nil
	for i := range c.NATs {
		c.NATs[i].ID = 0
	}
	for i := range c.Networks {
		c.Networks[i].ID = 0
		if c.Networks[i].LeaseTime == 0 {
			c.Networks[i].LeaseTime = model.DefaultLeaseTime
		}
	}
	for i := range c.Endpoints {
		c.Endpoints[i].ID = 0
	}
	var mappings []model.Mapping
	for _, m := range c.Mappings {
		m.ID = 0
		mappings = append(mappings, m)
	}
	c.Mappings = mappings
	for i := range c.Proxies {
		c.Proxies[i].ID = 0
	}
	var names []model.Compartment
	for _, p := range c.Compartments {
		names = append(names, model.Compartment{Name: p.Name})
	}
	c.Compartments = names
	return c
}

// exported is the configuration as a file.
func exported(t interface{ Fatal(...any) }, c *Control) string {
	cfg, _ := c.snapshot()
	w, left := cfg.Export()
	text, err := configfile.Write(w, strings.Join(left, "\n"))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestExportOfTheSite(t *testing.T) {
	t.Parallel()
	c, _ := start(t, t.TempDir(), &fakeKernel{})
	if _, err := apply(t, c, site, ApplyOptions{}); err != nil {
		t.Fatal(err)
	}
	text := exported(t, c)
	empty, _ := start(t, t.TempDir(), &fakeKernel{})
	if _, err := apply(t, empty, text, ApplyOptions{}); err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	want, _ := c.snapshot()
	got, _ := empty.snapshot()
	if diff := cmp.Diff(plain(want), plain(got), compareNetip); diff != "" {
		t.Errorf("(-want +got):\n%s\nfrom\n%s", diff, text)
	}
	for _, c := range []*Control{c, empty} {
		for _, whole := range []bool{false, true} {
			if again, err := apply(t, c, text, ApplyOptions{Whole: whole}); err != nil || len(again.Changes) != 0 {
				t.Errorf("export and apply (whole %v): %v, %v\n%s", whole, lines(again), err, text)
			}
		}
	}
}

// TestExportApply makes configurations by chance, with the operations that people
// use: what is exported changes nothing where it is from, makes the same on an empty
// machine, and corrects one that has become another.
func TestExportApply(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(r *rapid.T) {
		dir := t.TempDir()
		c, s := start(t, dir, &fakeKernel{})
		defer s.Close()
		grow(t, r, c, 25)
		text := exported(r, c)
		want, _ := c.snapshot()
		for _, whole := range []bool{false, true} {
			if again, err := apply(t, c, text, ApplyOptions{Whole: whole}); err != nil || len(again.Changes) != 0 {
				r.Fatalf("export and apply (whole %v): %v, %v\n%s", whole, lines(again), err, text)
			}
		}
		empty, e := start(t, t.TempDir(), &fakeKernel{})
		defer e.Close()
		if _, err := apply(t, empty, text, ApplyOptions{}); err != nil {
			r.Fatalf("%v in\n%s", err, text)
		}
		got, _ := empty.snapshot()
		if diff := cmp.Diff(plain(want), plain(got), compareNetip); diff != "" {
			r.Fatalf("on an empty machine (-want +got):\n%s\nfrom\n%s", diff, text)
		}
	})
}

// grow does so many changes by chance. Some are refused.
func grow(t *testing.T, r *rapid.T, c *Control, changes int) {
	ctx := t.Context()
	pick := func(list ...string) string { return rapid.SampledFrom(list).Draw(r, "pick") }
	name := func(prefix string) string { return fmt.Sprint(prefix, rapid.IntRange(1, 3).Draw(r, "name")) }
	meta := func() (map[string]string, string) {
		return map[string]string{"k": pick("v", "on", "a: b", "# x", "1", "ü")}, pick("", "me")
	}
	network := func() string { return pick("n1", "n2", "n3", "each", "quiet") }
	for range changes {
		switch rapid.IntRange(0, 9).Draw(r, "change") {
		case 0:
			spec := config.NetworkSpec{Name: name("n"), Subnet: pick("", "10.1.0.0/24", "10.2.0.0/16"), Compartment: pick("", "", "lab"), NAT: pick("", "", "x1"),
				MTU: pick("", "1400"), DHCP: pick("", "off"), Isolation: pick("", "off", "endpoint"), Domain: pick("", "lab.internal"), LeaseTime: pick("", "60")}
			spec.Labels, spec.Owner = meta()
			_, _ = c.CreateNetwork(ctx, spec)
		case 1:
			_, _ = c.CreateNetwork(ctx, config.NetworkSpec{Name: "quiet", Type: pick("internal", "nat"), Subnet: "10.7.0.0/24"})
			_, _ = c.CreateNetwork(ctx, config.NetworkSpec{Name: "each", Type: "per-endpoint", NAT: pick("", "none")})
		case 2:
			spec := config.EndpointSpec{Network: network(), Name: name("e"), Netns: name("ns"), IfName: pick("", "eth1"), Aliases: []string{pick("www", "db")}}
			spec.Labels, spec.Owner = meta()
			_, _ = c.AttachEndpoint(ctx, spec)
		case 3:
			_, _ = c.AttachEndpoint(ctx, config.EndpointSpec{Network: network(), Name: "tap", TAP: "tap0", Allow: []string{pick("192.0.2.0/24", "0.0.0.0/0")}})
		case 4:
			_ = c.DetachEndpoint(ctx, name("e"))
		case 5:
			spec := config.MappingSpec{Protocol: pick("tcp", "udp"), External: pick("80", "8000-8009", "192.168.7.5:81", ""), Internal: pick("e1:80", "e2:80,e1:80", "e3:80-89", "10.1.0.9:80")}
			spec.Labels, spec.Owner = meta()
			_, _ = c.AddMapping(ctx, spec)
		case 6:
			_, _ = c.AddProxy(ctx, config.ProxySpec{Kind: pick("v4tov6", "v6tov6"), Listen: pick("90", "[::1]:90", "192.168.7.5:91-92"), Connect: pick("[2001:db8::1]:80", "example.com:80", "example.com:1-2"), ProxyProtocol: true})
			_, _ = c.AddProxy(ctx, config.ProxySpec{Kind: "name", Listen: "443", Routes: []string{"a.example=e1:443", "*=e2:443"}, Transparent: true})
		case 7:
			_, _ = c.CreateNAT(ctx, config.NATSpec{Name: name("x"), Profile: pick("", "winnat"), ExternalAddresses: []string{pick("192.168.7.20", "192.168.7.21:2000-3000")}})
			_, _ = c.SetNAT(ctx, pick("default", "x1"), map[string]string{"max-ports": pick("0", "7"), "udp-timeout": pick("300", "9"), "table": pick("none", "7"), "link-local": pick("allow", "refuse"), "external-interface": pick("any", "eth0")})
		case 8:
			_, _ = c.AddReservation(ctx, config.ReservationSpec{Network: network(), Name: name("r"), Address: pick("10.1.0.50", "10.7.0.51")})
			_, _ = c.AddPool(ctx, config.PoolSpec{Prefix: pick("10.64.0.0/12", "172.20.0.0/16"), Size: pick("", "26")})
		case 9:
			_, _ = c.SetNetwork(ctx, network(), map[string]string{"exclude": pick("none", "10.1.0.200-10.1.0.210"), "pxe-boot-file": pick("none", "pxelinux.0"), "routes": pick("none", "10.99.0.0/16=10.1.0.9"), "ntp": pick("none", "192.0.2.1")})
			_ = c.DeleteNetwork(ctx, name("n"), true)
		}
	}
}

// A name in a file that is no endpoint yet is waited for.
func TestApplyWaitsForEndpoints(t *testing.T) {
	t.Parallel()
	c, _ := start(t, t.TempDir(), &fakeKernel{})
	if _, err := apply(t, c, "networks: [{name: web, subnets: 172.16.1.0/24}]\nmappings:\n- {external: 80, internal: [c1:80, c2:80], network: web}", ApplyOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.AttachEndpoint(t.Context(), config.EndpointSpec{Network: "web", Name: "c2", Netns: "c2"}); err != nil {
		t.Fatal(err)
	}
	cfg, _ := c.snapshot()
	if got := cfg.Mappings[0].Targets; got[0].Resolved() || got[1].Internal.Address != netip.MustParseAddr("172.16.1.2") {
		t.Errorf("targets %+v", got)
	}
}
