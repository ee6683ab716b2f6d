package cni

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/containernetworking/cni/pkg/skel"
	"github.com/containernetworking/cni/pkg/types"
	"github.com/google/go-cmp/cmp"

	"github.com/hostnat/hostnat/api"
)

func TestPublished(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		ports []portMapping
		want  string // external and internal of each, or the refusal
	}{
		{"none", nil, ""},
		{"one", []portMapping{{8080, 80, "", ""}}, "tcp *:8080 c1:80"},
		{"not published", []portMapping{{0, 80, "tcp", ""}}, ""},
		{"a range, in any order", []portMapping{{9002, 92, "udp", ""}, {9000, 90, "UDP", "0.0.0.0"}, {9001, 91, "udp", ""}}, "udp *:9000-9002 c1:90-92"},
		{"in a row outside alone", []portMapping{{8080, 80, "tcp", ""}, {8081, 80, "tcp", ""}}, "tcp *:8080 c1:80, tcp *:8081 c1:80"},
		{"both protocols", []portMapping{{53, 53, "udp", ""}, {53, 53, "tcp", ""}}, "tcp *:53 c1:53, udp *:53 c1:53"},
		{"an address", []portMapping{{8080, 80, "tcp", "127.0.0.1"}, {8081, 81, "tcp", ""}}, "tcp *:8081 c1:81, tcp 127.0.0.1:8080 c1:80"},
		{"to the last", []portMapping{{65534, 65534, "tcp", ""}, {65535, 65535, "tcp", ""}}, "tcp *:65534-65535 c1:65534-65535"},
		{"SCTP", []portMapping{{80, 80, "sctp", ""}}, "hostnat: port 80: sctp ports cannot be published; use tcp or udp"},
		{"IPv6", []portMapping{{80, 80, "tcp", "::1"}}, "hostnat: port 80: address ::1 is not one of IPv4, and others cannot be published yet"},
		{"too high", []portMapping{{65536, 80, "tcp", ""}}, "hostnat: port 65536 to 80: ports are from 1 to 65535"},
		{"no port inside", []portMapping{{80, 0, "tcp", ""}}, "hostnat: port 80 to 0: ports are from 1 to 65535"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			specs, err := published(tt.ports, "c1")
			var got []string
			for _, s := range specs {
				got = append(got, s.Protocol+" "+s.External+" "+s.Internal)
			}
			if err != nil {
				got = []string{err.Error()}
			}
			if diff := cmp.Diff(tt.want, strings.Join(got, ", ")); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestNames(t *testing.T) {
	t.Parallel()
	a := attachment{network: "web", container: "0123456789abcdef", ifName: "eth0"}
	for _, tt := range []struct {
		name, pod, space string
		want             []string
	}{
		{"no pod", "", "", []string{"0123456789ab", "0123456789abcdef", "0123456789abcdef.eth0"}},
		{"Podman: both are the container's name", "c1", "c1", []string{"c1", "c1.web", "c1.0123456789ab", "0123456789abcdef.eth0"}},
		{"Kubernetes", "c1", "shop", []string{"c1", "c1.web", "c1.shop", "c1.0123456789ab", "0123456789abcdef.eth0"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			env := envArgs{K8S_POD_NAME: types.UnmarshallableString(tt.pod), K8S_POD_NAMESPACE: types.UnmarshallableString(tt.space)}
			if diff := cmp.Diff(tt.want, names(env, a)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestParseRefuses(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, in string
		code     uint
		want     string
	}{
		{"no JSON", `{`, types.ErrDecodingFailure, "not JSON"},
		{"another's key", `{"ipMasq": true}`, types.ErrUnsupportedField, "unsupported field ipMasq: true"},
		{"a program's own key", `{"cni.dev/attachments": [], "podman.io/x": 1}`, 0, ""},
		{"IPAM", `{"ipam": {"type": "dhcp"}}`, types.ErrUnsupportedField, "leave ipam out"},
		{"empty IPAM", `{"ipam": {}}`, 0, ""},
		{"rates", `{"runtimeConfig": {"bandwidth": {"ingressRate": 1}}}`, types.ErrUnsupportedField, "chain the plugin bandwidth"},
		{"no rates", `{"runtimeConfig": {"bandwidth": {}}}`, 0, ""},
		{"ranges", `{"runtimeConfig": {"ipRanges": [[{"subnet": "10.0.0.0/24"}]]}}`, types.ErrUnsupportedField, "chooses addresses itself"},
		{"MTU", `{"mtu": -1}`, types.ErrUnsupportedField, "number of bytes"},
		{"MTU in words", `{"mtu": "big"}`, types.ErrDecodingFailure, "cannot be read"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := parse([]byte(tt.in))
			var refusal *types.Error
			if errors.As(err, &refusal) != (tt.code != 0) || refusal != nil && (refusal.Code != tt.code || !strings.Contains(refusal.Error(), tt.want)) {
				t.Errorf("got %v", err)
			}
		})
	}
}

// Each refusal of the daemon has one of the specification's numbers.
func TestCoded(t *testing.T) {
	t.Parallel()
	for code, want := range map[api.Code]uint{
		api.Invalid: 7, api.NotFound: 7, api.Conflict: 100, api.Denied: 100, api.Unavailable: 11, api.Exhausted: 11, api.Internal: 999,
	} {
		var got *types.Error
		if err := coded(&api.Error{Code: code, Message: "no"}); !errors.As(err, &got) || got.Code != want || got.Msg != "hostnat: no" {
			t.Errorf("%s: %v", code, err)
		}
	}
}

func TestIsPlugin(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		as        string
		arguments int
		command   string
		want      bool
	}{
		{"/usr/lib/cni/hostnat", 0, "ADD", true}, {"/opt/cni/bin/hostnat-cni", 0, "", true}, {"hostnat", 0, "", false},
		{"hostnat", 2, "ADD", false}, // a command that somebody runs from within a runtime's hook
	} {
		if IsPlugin(tt.as, tt.arguments, tt.command) != tt.want {
			t.Errorf("%+v", tt)
		}
	}
}

// fake is a daemon that takes everything, but for what others do in the middle.
type fake struct {
	endpoints []api.Endpoint
	mappings  []api.Mapping
	rival     string // an endpoint that another call attaches just before
	refuse    string // external side of a mapping
}

func (f *fake) Version(context.Context) (api.Version, error) { return api.Version{}, nil }
func (f *fake) Network(_ context.Context, name string) (api.Network, error) {
	return api.Network{}, &api.Error{Code: api.NotFound, Message: name}
}

func (f *fake) CreateNetwork(_ context.Context, s api.NetworkSpec) (api.Network, error) {
	return api.Network{Name: s.Name, Owner: Owner, Type: api.NATNetwork, NAT: "default", Subnets: []netip.Prefix{netip.MustParsePrefix("172.16.0.0/24")}, Gateways: []netip.Addr{netip.MustParseAddr("172.16.0.1")}}, nil
}

func (f *fake) Endpoints(context.Context, string) ([]api.Endpoint, error) {
	return slices.Clone(f.endpoints), nil
}

func (f *fake) AttachEndpoint(_ context.Context, s api.EndpointSpec) (api.Endpoint, error) {
	if f.rival == s.Name {
		f.endpoints = append(f.endpoints, api.Endpoint{Name: s.Name, Network: s.Network, Managed: true, State: api.EndpointUp})
		return api.Endpoint{}, &api.Error{Code: api.Conflict, Message: "exists already"}
	}
	e := api.Endpoint{Name: s.Name, Network: s.Network, Managed: true, State: api.EndpointUp, Owner: s.Owner, Labels: s.Labels, Aliases: s.Aliases}
	f.endpoints = append(f.endpoints, e)
	return e, nil
}

func (f *fake) DetachEndpoint(_ context.Context, name string) error {
	f.endpoints = slices.DeleteFunc(f.endpoints, func(e api.Endpoint) bool { return e.Name == name })
	return nil
}
func (f *fake) Mappings(context.Context) ([]api.Mapping, error) { return slices.Clone(f.mappings), nil }
func (f *fake) AddMapping(_ context.Context, s api.MappingSpec) (api.Mapping, error) {
	if s.External == f.refuse {
		return api.Mapping{}, &api.Error{Code: api.Conflict, Message: s.External + " is mapped already"}
	}
	f.mappings = append(f.mappings, api.Mapping{ID: uint32(len(f.mappings) + 1), External: s.External, Owner: s.Owner, Labels: s.Labels})
	return api.Mapping{}, nil
}

func (f *fake) DeleteMapping(_ context.Context, id uint32) error {
	f.mappings = slices.DeleteFunc(f.mappings, func(m api.Mapping) bool { return m.ID == id })
	return nil
}

func (f *fake) plugin(t *testing.T) *Plugin {
	return &Plugin{Daemon: f, Gone: func(string) bool { return true }, Flows: func() bool { return true }, Note: func(message string) { t.Log(message) }}
}

func request(container, ports string) *skel.CmdArgs {
	return &skel.CmdArgs{ContainerID: container, Netns: "/nonexistent", IfName: "eth0", Args: "IgnoreUnknown=1;K8S_POD_NAME=c1",
		StdinData: []byte(`{"cniVersion":"1.1.0","name":"web","runtimeConfig":{"portMappings":[` + ports + `]}}`)}
}

// Another call that takes the name in between is found out.
func TestAddOfOneNameAtOnce(t *testing.T) {
	t.Parallel()
	f := &fake{rival: "c1"}
	if _, err := f.plugin(t).Add(t.Context(), request("one", "")); err != nil {
		t.Fatal(err)
	}
	if got := f.endpoints[1]; got.Name != "c1.web" || len(got.Aliases) != 0 {
		t.Errorf("attached as %s with %v", got.Name, got.Aliases)
	}
}

// If a part of it is refused, nothing of the container stays, and all of the others.
func TestAddIsWhole(t *testing.T) {
	t.Parallel()
	f := &fake{refuse: "*:81"}
	if _, err := f.plugin(t).Add(t.Context(), request("one", `{"hostPort":79,"containerPort":79}`)); err != nil {
		t.Fatal(err)
	}
	_, err := f.plugin(t).Add(t.Context(), request("two", `{"hostPort":80,"containerPort":80},{"hostPort":81,"containerPort":90}`))
	if err == nil || len(f.endpoints) != 1 || len(f.mappings) != 1 {
		t.Errorf("%v, endpoints %v, mappings %v", err, f.endpoints, f.mappings)
	}
}

// What is absent for a moment is not taken away: its namespace is there.
func TestCollectLooksTwice(t *testing.T) {
	t.Parallel()
	for _, gone := range []bool{true, false} {
		f := &fake{endpoints: []api.Endpoint{{Name: "old", Managed: true, Owner: Owner, State: api.EndpointAbsent, Labels: attachment{"web", "old", "eth0"}.labels()}}}
		p := f.plugin(t)
		p.Gone = func(string) bool { return gone }
		if _, err := p.Add(t.Context(), request("new", "")); err != nil {
			t.Fatal(err)
		}
		if want := map[bool]int{true: 1, false: 2}[gone]; len(f.endpoints) != want {
			t.Errorf("gone %v: endpoints %v", gone, f.endpoints)
		}
	}
}
