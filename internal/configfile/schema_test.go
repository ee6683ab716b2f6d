package configfile

import (
	"bytes"
	"encoding/json"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/hostnat/hostnat/internal/config/wanted"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v4"

	"github.com/hostnat/hostnat/internal/config"
	"github.com/hostnat/hostnat/internal/model"
)

// schemaFile is what editors are told of; 'hostnat export --schema' prints the same.
const schemaFile = "../../docs/hostnat.schema.json"

func TestSchemaFile(t *testing.T) {
	t.Parallel()
	want, err := Schema()
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(schemaFile)
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s is not what 'hostnat export --schema' prints (-printed +file), %v:\n%s", schemaFile, err, diff)
	}
}

// compiled returns a function that says what the schema has against a YAML text.
func compiled(t *testing.T) func(text []byte) error {
	t.Helper()
	text, err := Schema()
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("hostnat.json", doc); err != nil {
		t.Fatal(err)
	}
	schema, err := c.Compile("hostnat.json")
	if err != nil {
		t.Fatal(err)
	}
	return func(text []byte) error {
		var v any
		if err := yaml.Unmarshal(text, &v); err != nil {
			return err
		}
		asJSON, err := json.Marshal(v)
		if err != nil {
			return err
		}
		instance, err := jsonschema.UnmarshalJSON(bytes.NewReader(asJSON))
		if err != nil {
			return err
		}
		return schema.Validate(instance)
	}
}

// everything is a configuration that mentions each key.
func everything() wanted.Objects {
	labels := map[string]string{"a": "b", "on": "1"}
	return wanted.Objects{
		Pools: []wanted.Pool{{Prefix: "10.0.0.0/8", Size: "24"}},
		NATs: []wanted.NAT{{
			Name: "default", ExternalInterfaces: []string{"eth0"}, ExternalAddresses: []string{"192.0.2.1:2000-2999"}, Profile: "winnat",
			Timeouts: wanted.Timeouts{UDP: "300", TCPEstablished: "2h4m", TCPTransitory: "240", ICMP: "60"}, TCPFiltering: "address-dependent", UDPFiltering: "endpoint-independent",
			UDPInboundRefresh: "true", Pooling: "arbitrary", EndpointDependent: "false", HoldDown: "0", Limits: wanted.Limits{Sessions: "1", Ports: "2", Rate: "3"},
			MSSClamp: "true", Exhaustion: "silent", LinkLocal: "allow", Table: "100", Labels: labels, Owner: "me",
		}},
		Networks: []wanted.Network{{
			Name: "web", Type: "nat", NAT: "default", Compartment: "c", Subnets: []string{"172.16.1.0/24"}, Gateways: []string{"172.16.1.1"}, Bridge: "br0", Adopt: "true",
			Domain: "lab.internal", Overlap: "renumber", Isolation: "endpoint", PortSecurity: "off", DHCP: "on", DNS: "off", LeaseTime: "3600", MTU: "auto", NTP: []string{"192.0.2.1"},
			PXE: wanted.PXE{NextServer: "172.16.1.9", ServerName: "boot", BootFile: "pxelinux.0"}, Routes: []string{"10.0.0.0/8=172.16.1.9"},
			Ranges: []string{"172.16.1.10-172.16.1.20"}, Exclude: []string{"172.16.1.5-172.16.1.5"}, Labels: labels, Owner: "me",
		}},
		Endpoints: []wanted.Endpoint{{Name: "c1", Network: "web", Netns: "c1", PID: "1", TAP: "tap0", Create: "true", User: "me", Group: "kvm", Queues: "4", VNetHdr: "true", Port: "p0", Addresses: []string{"172.16.1.2"},
			MAC: "02:00:00:00:00:01", IfName: "eth0", Aliases: []string{"www"}, Allow: []string{"0.0.0.0/0"}, Labels: labels, Owner: "me"}},
		Reservations: []wanted.Reservation{{Network: "web", Address: "172.16.1.9", MAC: "12:34:56:00:11:22", Name: "vm", Labels: labels, Owner: "me"}},
		Mappings: []wanted.Mapping{{Protocol: "udp", External: "8080", Internal: []string{"c1:80", "web/c2:80"}, Network: "web",
			Clients: map[string]string{"vm": "12:34:56:00:11:22"}, From: []string{"192.0.2.0/24"}, Force: "true", Labels: labels, Owner: "me"}},
		Proxies: []wanted.Proxy{{Kind: "name", Protocol: "tcp", Listen: "*:443", Connect: "c1:80", Routes: []string{"*=c1:80"}, ProxyProtocol: "true", Transparent: "true", Labels: labels, Owner: "me"}},
	}
}

// Whatever is written is read again, and the schema accepts it.
func TestEverythingIsWritten(t *testing.T) {
	t.Parallel()
	w := everything()
	for _, v := range []any{&w.Pools[0], &w.NATs[0], &w.Networks[0], &w.Endpoints[0], &w.Reservations[0], &w.Mappings[0], &w.Proxies[0]} {
		for _, f := range wanted.FieldsOf(v) {
			if f.IsZero() {
				t.Errorf("%T: this test has no %s", v, f.Key)
			}
		}
	}
	valid := compiled(t)
	for name, w := range map[string]wanted.Objects{"everything": w, "nothing": {}} {
		text, err := Write(w, "one\ntwo")
		if err != nil {
			t.Fatal(err)
		}
		if err := valid(text); err != nil {
			t.Errorf("%s: %v in\n%s", name, err, text)
		}
		got, err := Parse(File{"f", string(text)})
		if err != nil {
			t.Fatalf("%s: %v in\n%s", name, err, text)
		}
		got.Sections = nil
		if diff := cmp.Diff(w, got, cmp.FilterPath(func(p cmp.Path) bool { return p.Last().String() == ".Place" }, cmp.Ignore())); diff != "" {
			t.Errorf("%s (-want +got):\n%s\n%s", name, diff, text)
		}
	}
}

// What Parse refuses for its form the schema refuses too.
func TestSchemaRefuses(t *testing.T) {
	t.Parallel()
	valid := compiled(t)
	for _, text := range []string{
		"network: []", "networks: [{name: web, subnet: a}]", "networks: [{mtu: 1400}]", "networks: [{name: [web]}]", "networks: web",
		"networks: [{name: web, dns: maybe}]", "nats: [{name: x, timeouts: {tcp: 3}}]", "nats: [{name: x, timeouts: 3}]", "proxies: [{kind: v5, listen: 80}]",
	} {
		if err := valid([]byte(text)); err == nil {
			t.Errorf("%s is accepted", text)
		}
	}
	for _, text := range []string{"", "# nothing", "mappings: [8080:c1:80]", "networks: [{name: web, dns: off, subnets: 172.16.1.0/24}]", "x-web: &web {name: web}\nnetworks: [*web]", "nats: [{name: default, mssClamp: on, timeouts: {udp: 5m}}]"} {
		if err := valid([]byte(text)); err != nil {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// The schema of an export of what there is at the start.
func TestExportIsValid(t *testing.T) {
	t.Parallel()
	c := config.NewConfig()
	if _, err := c.AddNetwork(config.NetworkSpec{Name: "web", Subnet: "172.16.1.0/24", MTU: "1400"}, model.HostFacts{}, nil); err != nil {
		t.Fatal(err)
	}
	w, _ := c.Export()
	text, err := Write(w, "")
	if err == nil {
		err = compiled(t)(text)
	}
	if err != nil {
		t.Errorf("%v in\n%s", err, text)
	}
	t.Logf("%s", text)
}
