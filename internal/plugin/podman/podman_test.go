package podman

import (
	"bytes"
	"context"
	"encoding/json"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hostnat/hostnat/api"
)

// fake is a daemon that takes everything, but for one call that it refuses.
type fake struct {
	networks  []api.Network
	endpoints []api.Endpoint
	mappings  []api.Mapping
	refuse    string // external side of a mapping
	attached  []api.EndpointSpec
}

func (f *fake) Networks(context.Context) ([]api.Network, error) { return slices.Clone(f.networks), nil }
func (f *fake) Mappings(context.Context) ([]api.Mapping, error) { return slices.Clone(f.mappings), nil }
func (f *fake) Endpoints(context.Context, string) ([]api.Endpoint, error) {
	return slices.Clone(f.endpoints), nil
}

func (f *fake) CreateNetwork(_ context.Context, s api.NetworkSpec) (api.Network, error) {
	n := api.Network{Name: s.Name, Owner: s.Owner, Type: api.NATNetwork, NAT: "default", Bridge: "hn-" + s.Name, Exclude: s.Exclude,
		Subnets: []netip.Prefix{netip.MustParsePrefix("172.16.0.0/24")}, Gateways: []netip.Addr{netip.MustParseAddr("172.16.0.1")}}
	if len(s.Subnets) > 0 {
		n.Subnets[0] = netip.MustParsePrefix(s.Subnets[0])
		n.Gateways[0] = n.Subnets[0].Addr().Next()
	}
	if s.NAT != "" {
		n.NAT, n.Type = s.NAT, s.Type
	}
	f.networks = append(f.networks, n)
	return n, nil
}

func (f *fake) DeleteNetwork(_ context.Context, name string, _ bool) error {
	if slices.ContainsFunc(f.endpoints, func(e api.Endpoint) bool { return e.Network == name }) {
		return &api.Error{Code: api.Conflict, Message: "network " + name + " has endpoints"}
	}
	f.networks = slices.DeleteFunc(f.networks, func(n api.Network) bool { return n.Name == name })
	return nil
}

func (f *fake) AttachEndpoint(_ context.Context, s api.EndpointSpec) (api.Endpoint, error) {
	f.attached = append(f.attached, s)
	e := api.Endpoint{Name: s.Name, Network: s.Network, Managed: true, State: api.EndpointUp, Owner: s.Owner, Labels: s.Labels, IfName: s.IfName, MAC: "02:00:00:00:00:01",
		Addresses: []netip.Addr{netip.MustParseAddr("172.16.0.2")}, Subnets: []netip.Prefix{netip.MustParsePrefix("172.16.0.0/24")}, Gateways: []netip.Addr{netip.MustParseAddr("172.16.0.1")}}
	f.endpoints = append(f.endpoints, e)
	return e, nil
}

func (f *fake) DetachEndpoint(_ context.Context, name string) error {
	f.endpoints = slices.DeleteFunc(f.endpoints, func(e api.Endpoint) bool { return e.Name == name })
	return nil
}

func (f *fake) AddMapping(_ context.Context, s api.MappingSpec) (api.Mapping, error) {
	if s.External == f.refuse {
		return api.Mapping{}, &api.Error{Code: api.Conflict, Message: s.External + " is mapped already"}
	}
	name, _, _ := strings.Cut(s.Internal, ":")
	m := api.Mapping{ID: uint32(len(f.mappings) + 1), Protocol: api.Protocol(s.Protocol), External: s.External, Owner: s.Owner, Labels: s.Labels, Targets: []api.Target{{Endpoint: name}}}
	f.mappings = append(f.mappings, m)
	return m, nil
}

func (f *fake) DeleteMapping(_ context.Context, id uint32) error {
	f.mappings = slices.DeleteFunc(f.mappings, func(m api.Mapping) bool { return m.ID == id })
	return nil
}

func (f *fake) plugin(t *testing.T) *Plugin {
	return &Plugin{Daemon: f, Files: t.TempDir(), Note: func(message string) { t.Log(message) }}
}

func TestCreateRefuses(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		in   Network
		want string
	}{
		{"IPv6", Network{IPv6: true}, "networks of hostnat have no IPv6 yet"},
		{"two subnets", Network{Subnets: []Subnet{{Subnet: "10.0.0.0/24"}, {Subnet: "10.0.1.0/24"}}}, "2 subnets are given"},
		{"a subnet of IPv6", Network{Subnets: []Subnet{{Subnet: "fd00::/64"}}}, `subnet "fd00::/64" is not one of IPv4`},
		{"name servers", Network{DNSServers: []string{"192.0.2.1"}}, "leave --dns out"},
		{"routes", Network{Routes: []json.RawMessage{json.RawMessage("{}")}}, "leave --route out"},
		{"IPAM driver", Network{IPAM: map[string]string{"driver": "dhcp"}}, "leave --ipam-driver dhcp out"},
		{"unknown option", Network{Options: map[string]string{"colour": "red"}}, `option "colour" is not known; there are com.docker.network.driver.mtu, compartment`},
		{"MTU", Network{Options: map[string]string{"mtu": "big"}}, `option mtu: "big" is not a number of bytes`},
		{"internal behind a NAT", Network{Internal: true, Options: map[string]string{"nat": "office"}}, "an internal network is behind no NAT"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			f := &fake{}
			_, err := f.plugin(t).Create(t.Context(), tt.in)
			if err == nil || !strings.Contains(err.Error(), tt.want) || len(f.networks) > 0 {
				t.Errorf("got %v, networks %v", err, f.networks)
			}
		})
	}
}

// What Podman says and this package does not know comes back as it was.
func TestCreateKeepsTheRest(t *testing.T) {
	t.Parallel()
	f := &fake{}
	in := `{"name":"web","id":"1","driver":"hostnat","dns_enabled":false,"created":"now","labels":{"a":"b"},"new":{"x":[1]},
		"subnets":[{"subnet":"10.1.0.0/24","lease_range":{"start_ip":"10.1.0.100","end_ip":"10.1.0.200"}}],"ipam_options":{"driver":"host-local"}}`
	var out, want bytes.Buffer
	code := f.plugin(t).Exec(t.Context(), Surroundings{Args: []string{"create"}, In: strings.NewReader(in), Out: &out, UIDMap: "0 0 4294967295"})
	text := `{"name":"web","id":"1","driver":"hostnat","dns_enabled":false,"ipv6_enabled":false,"internal":false,"created":"now","labels":{"a":"b"},"new":{"x":[1]},"network_interface":"hn-web",
		"options":{"dns":"off"},"subnets":[{"subnet":"10.1.0.0/24","gateway":"10.1.0.1","lease_range":{"start_ip":"10.1.0.100","end_ip":"10.1.0.200"}}],"ipam_options":{"driver":"host-local"}}`
	var a, b any
	if json.Unmarshal(out.Bytes(), &a) != nil || json.Unmarshal([]byte(text), &b) != nil || code != 0 {
		t.Fatalf("code %d, %s", code, out.String())
	}
	if diff := cmp.Diff(b, a); diff != "" {
		t.Errorf("(-want +got):\n%s%s", diff, want.String())
	}
	if diff := cmp.Diff([]string{"10.1.0.1-10.1.0.99", "10.1.0.201-10.1.0.254"}, f.networks[0].Exclude); diff != "" {
		t.Errorf("kept out (-want +got):\n%s", diff)
	}
}

func containerNamed(name string) Container {
	return Container{ID: name + "-id-0123456789", Name: name, Network: Network{Name: "web", Driver: Driver, DNS: true},
		Options: ContainerOnLink{Interface: "eth0", Aliases: []string{"www", "db"}}, Ports: []PortMapping{{Container: 80, Host: 8080}, {Container: 90, Host: 9000, Protocol: "tcp,udp", Range: 3}}}
}

func TestSetupNames(t *testing.T) {
	t.Parallel()
	f := &fake{endpoints: []api.Endpoint{
		{Name: "c1", Network: "other", Managed: true, State: api.EndpointUp}, {Name: "db", Network: "web", Managed: true, State: api.EndpointUp},
	}}
	if _, err := f.plugin(t).Setup(t.Context(), "/run/netns/c1", containerNamed("c1")); err != nil {
		t.Fatal(err)
	}
	if got := f.attached[0]; got.Name != "c1.web" || !slices.Equal(got.Aliases, []string{"www", "c1"}) {
		t.Errorf("attached as %s with %v", got.Name, got.Aliases)
	}
	var external []string
	for _, m := range f.mappings {
		external = append(external, string(m.Protocol)+" "+m.External)
	}
	if diff := cmp.Diff([]string{"tcp *:8080", "tcp *:9000-9002", "udp *:9000-9002"}, external); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// If a part of it is refused, nothing of a container stays.
func TestSetupIsWhole(t *testing.T) {
	t.Parallel()
	f := &fake{refuse: "*:9000-9002"}
	if _, err := f.plugin(t).Setup(t.Context(), "/run/netns/c1", containerNamed("c1")); err == nil || len(f.endpoints)+len(f.mappings) > 0 {
		t.Errorf("%v, endpoints %v, mappings %v", err, f.endpoints, f.mappings)
	}
}

func TestExec(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		args string
		in   string
		euid int
		want string
		code int
	}{
		{"info", "info", "", 0, `{"api_version":"1.0.0","version":"v1"}`, 0},
		{"info as anybody", "info", "", 1000, `{"api_version":"1.0.0","version":"v1"}`, 0},
		{"no verb", "", "", 0, `{"error":"hostnat: this is a plugin of netavark: it takes info, create, setup NETNS or teardown NETNS, and was given \"\""}`, 1},
		{"a command of hostnat's", "network list", "", 0, `{"error":"hostnat: this is a plugin of netavark: it takes info, create, setup NETNS or teardown NETNS, and was given \"network list\""}`, 1},
		{"rootless", "create", "{}", 1000, `{"error":"hostnat: rootless Podman cannot use the driver hostnat: its containers are not on the host's own network; run podman as root"}`, 1},
		{"no JSON", "create", "{", 0, `{"error":"hostnat: read what netavark says: unexpected EOF"}`, 1},
		{"nobody", "setup /x", "{}", 0, `{"error":"hostnat: netavark names no container, or no network"}`, 1},
		{"nothing to tear down", "teardown /x", `{"container_id":"1","network":{"name":"web"}}`, 0, "", 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var out bytes.Buffer
			code := (&fake{}).plugin(t).Exec(t.Context(), Surroundings{Args: strings.Fields(tt.args), In: strings.NewReader(tt.in), Out: &out, Version: "v1", UIDMap: "0 0 4294967295", Euid: tt.euid})
			if got := strings.TrimSpace(out.String()); got != tt.want || code != tt.code {
				t.Errorf("code %d, %s; want %d, %s", code, got, tt.code, tt.want)
			}
		})
	}
	// Root of a user namespace is not root.
	if err := (Surroundings{UIDMap: "0 1000 1\n1 100000 65536"}).rootful(); err == nil {
		t.Error("root of a user namespace is taken for root")
	}
}

func TestIsPlugin(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]bool{"/usr/libexec/netavark/hostnat": true, "/usr/local/lib/netavark/hostnat": true, "hostnat-netavark": true, "/usr/bin/hostnat": false, "hostnat": false, "./hostnat": false} {
		if IsPlugin(name) != want {
			t.Errorf("%s: %v", name, !want)
		}
	}
}
