package configfile

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/hostnat/hostnat/internal/config/wanted"
	"github.com/hostnat/hostnat/internal/model"
)

func TestParse(t *testing.T) {
	t.Parallel()
	text := `# a comment
owner: ansible
nats:
  - name: default
    timeouts: {udp: 5m, icmp: 30}
    mssClamp: yes
    externalAddresses: []
networks:
  - &web
    name: web
    subnets: 172.16.1.0/24
    dns: off
    labels: {a: 1, b: "", c: true}
  - <<: *web
    name: lab
    subnets: [172.16.2.0/24]
mappings:
  - 8080:c1:80
  - 192.0.2.1:53:c1:53/udp
  - c1:443
reservations:
---
{"endpoints": [{"name": "c1", "network": "web", "netns": "c1", "mac": "12:34:56:00:11:22", "owner": "me"}]}
---
# nothing
`
	got, err := Parse(File{"a.yaml", text}, File{"b.json", `{"pools":[{"prefix":"10.0.0.0/8","size":26}]}`})
	if err != nil {
		t.Fatal(err)
	}
	labels := map[string]string{"a": "1", "b": "", "c": "true"}
	want := wanted.Objects{
		Pools: []wanted.Pool{{Prefix: "10.0.0.0/8", Size: "26"}},
		NATs: []wanted.NAT{{Name: "default", Owner: "ansible", Timeouts: wanted.Timeouts{UDP: "5m", ICMP: "30"}, MSSClamp: "yes",
			ExternalAddresses: []string{}}},
		Networks: []wanted.Network{
			{Name: "web", Owner: "ansible", Subnets: []string{"172.16.1.0/24"}, DNS: "off", Labels: labels},
			{Name: "lab", Owner: "ansible", Subnets: []string{"172.16.2.0/24"}, DNS: "off", Labels: labels},
		},
		Mappings: []wanted.Mapping{
			{Protocol: "tcp", External: "8080", Internal: []string{"c1:80"}, Owner: "ansible"},
			{Protocol: "udp", External: "192.0.2.1:53", Internal: []string{"c1:53"}, Owner: "ansible"},
			{Protocol: "tcp", Internal: []string{"c1:443"}, Owner: "ansible"},
		},
		Endpoints: []wanted.Endpoint{{Name: "c1", Network: "web", Netns: "c1", MAC: "12:34:56:00:11:22", Owner: "me"}},
		Sections: []wanted.Section{{Kind: "nats", Owner: "ansible"}, {Kind: "networks", Owner: "ansible"}, {Kind: "mappings", Owner: "ansible"},
			{Kind: "reservations", Owner: "ansible"}, {Kind: "endpoints"}, {Kind: "pools"}},
	}
	if diff := cmp.Diff(want, got, cmpopts.IgnoreTypes(wanted.Place{})); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	place := wanted.Place{File: "a.yaml", Line: 4, Keys: map[string]int{"name": 4, "timeouts": 5, "timeouts.udp": 5, "timeouts.icmp": 5, "mssClamp": 6, "externalAddresses": 7}}
	if diff := cmp.Diff(place, got.NATs[0].Place); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestParseRefuses(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, text, want string }{
		{"unknown section", "networks: []\nnetwork: []", `f:2: a configuration has no key "network"; did you mean networks?`},
		{"unknown key", "networks:\n- name: web\n  colour: red", `f:3: a network has no key "colour"; there are name, type, nat, compartment, subnets, gateways, bridge, adopt, domain, overlap, isolation, portSecurity, dhcp, dns, leaseTime, mtu, ntp, pxe, routes, ranges, exclude, labels, owner`},
		{"one letter", "networks:\n- name: web\n  subnet: 10.0.0.0/8", `f:3: a network has no key "subnet"; did you mean subnets?`},
		{"other spelling", "networks:\n- name: web\n  port-security: off", `f:3: a network has no key "port-security"; did you mean portSecurity?`},
		{"within another", "nats:\n- name: x\n  timeouts: {tcp: 3}", `f:3: a NAT's timeouts has no key "tcp"; there are udp, tcpEstablished, tcpTransitory, icmp`},
		{"twice in an object", "networks:\n- name: web\n  mtu: 1400\n  mtu: 1500", `f:4: network has the key mtu twice: line 3 has it too`},
		{"object twice", "networks:\n- name: web\n---\nnetworks:\n- name: web", `f:5: network web is there twice: f:2 has it too`},
		{"no name", "networks:\n- mtu: 1400", `f:2: network has no name`},
		{"no value", "networks:\n- name: web\n  mtu:", `f:3: mtu has no value; leave it out, or give one; [] is an empty list`},
		{"empty value", "networks:\n- name: ''", `f:2: name has no value; leave it out, or give one`},
		{"list for a text", "networks:\n- name: [web]", `f:2: name is a list; give one value`},
		{"keys for a text", "networks:\n- name: {a: b}", `f:2: name has keys of its own; give one value`},
		{"keys for a list", "networks:\n- name: web\n  subnets: {a: b}", `f:3: subnets is no list; write each with '- ' in front`},
		{"commas in a list", "networks:\n- name: web\n  ntp: 192.0.2.1,192.0.2.2", `f:3: ntp has the value "192.0.2.1,192.0.2.2" with a comma in it; write each with '- ' in front`},
		{"text for keys", "nats:\n- name: x\n  timeouts: 3", `f:3: NAT's timeouts has no keys; write KEY: VALUE`},
		{"text for an object", "networks:\n- web", `f:2: network has no keys; write KEY: VALUE`},
		{"keys for a section", "networks:\n  web: {mtu: 1400}", `f:2: networks is no list; write each with '- ' in front`},
		{"no keys at all", "- web", `f:1: a configuration has no keys; write KEY: VALUE`},
		{"published port", "mappings:\n- 8080", `f:2: mapping "8080" cannot be read; write [[ADDRESS:]PORT:]ENDPOINT:PORT[/tcp|udp], or keys and values`},
		{"label", "networks:\n- name: web\n  labels: {a: [b]}", `f:3: a of labels is no text; give one value`},
		{"no YAML", "networks:\n  - name: web\n mtu: 3", `f:3: this is no YAML: did not find expected key`},
		{"tabs", "networks:\n\t- name: web", `f:2: this is no YAML: found character that cannot start any token`},
		{"unknown anchor", "networks: *x", `f:1: this is no YAML: unknown anchor 'x' referenced`},
		{"circle", "networks:\n- &a\n  <<: *a", `f:2: there are more than 32 levels`},
		{"many objects", "nats:\n" + strings.Repeat("- name: x\n", MaxObjects+1), `f:2: there are more than 10000 nats`},
		{"many mappings", "mappings: [" + strings.Repeat("80:c1:80,", MaxMappings+1) + "]", `f:1: there are more than 100000 mappings`},
		{"many values", "nats: [" + strings.Repeat("a,", maxMarks) + "]", `f:1: the file has more than 1572864 values; cut it into several files`},
		{"many aliases", bomb(), "f:1: there are more than 4194304 values up to here, those of aliases counted each time"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := Parse(File{"f", tt.text})
			if err == nil || err.Error() != tt.want {
				t.Errorf("got  %v\nwant %s", err, tt.want)
			}
			if model.CodeOf(err) != model.Invalid {
				t.Errorf("code %s", model.CodeOf(err))
			}
		})
	}
}

// bomb is a short text with many values.
func bomb() string {
	var s strings.Builder
	s.WriteString("x-0: &a0 {name: a}\n")
	for i := range 8 {
		fmt.Fprintf(&s, "x-%d: &a%d {<<: [%s]}\n", i+1, i+1, strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*a%d,", i), 9), ","))
	}
	return s.String() + "networks: [{<<: *a8}]\n"
}

func FuzzParse(f *testing.F) {
	for _, text := range []string{"", "networks: []", "nats: [{name: default, timeouts: {udp: 1}}]", "a: &a [*a]", "{", "mappings: [80:c1:80]", "owner: x\n---\npools: [{prefix: 10.0.0.0/8}]",
		"networks:\n- &x {name: a}\n- <<: *x\n  name: b", "\xff\xfe{\x00}\x00", "? a\n: b", "!!binary x: y", "networks: !!set {a}", "%YAML 1.2\n---\nnetworks: []"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		w, err := Parse(File{"f", text})
		if err != nil {
			var e *model.Error
			if !errors.As(err, &e) || e.Code != model.Invalid || !strings.HasPrefix(e.Message, "f:") || strings.ContainsAny(err.Error(), "\n\r") {
				t.Fatalf("%q: %v", text, err)
			}
			return
		}
		written, err := Write(w, "")
		if err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		again, err := Parse(File{"f", string(written)})
		if err != nil {
			t.Fatalf("%q was written as\n%s\nand read: %v", text, written, err)
		}
		again.Sections, w.Sections = nil, nil
		if diff := cmp.Diff(w, again, cmpopts.IgnoreTypes(wanted.Place{}), cmpopts.EquateEmpty()); diff != "" {
			t.Fatalf("%q was written as\n%s\n(-want +got):\n%s", text, written, diff)
		}
	})
}
