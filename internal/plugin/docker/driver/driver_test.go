package driver

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hostnat/hostnat/api"
	"github.com/hostnat/hostnat/internal/plugin/docker"
)

// fake is hostnat's daemon, as far as the driver can tell.
type fake struct {
	networks  []api.Network
	endpoints []api.Endpoint
	mappings  []api.Mapping
	subnets   []string // those that are chosen, in order
	busy      []string // external sides of mappings that are refused
	chosen    int
}

func refused(code api.Code, format string, args ...any) error {
	return &api.Error{Code: code, Message: fmt.Sprintf(format, args...)}
}

func (f *fake) Networks(context.Context) ([]api.Network, error) { return slices.Clone(f.networks), nil }
func (f *fake) Mappings(context.Context) ([]api.Mapping, error) { return slices.Clone(f.mappings), nil }
func (f *fake) Reservations(context.Context) ([]api.Reservation, error) {
	return []api.Reservation{{Network: "shop", Address: netip.MustParseAddr("172.16.5.3")}, {Network: "other", Address: netip.MustParseAddr("172.16.5.4")}}, nil
}

func (f *fake) CreateNetwork(_ context.Context, s api.NetworkSpec) (api.Network, error) {
	n := api.Network{Name: s.Name, Owner: s.Owner, Labels: s.Labels, Type: s.Type, NAT: s.NAT, Compartment: s.Compartment, DHCP: s.DHCP, Exclude: s.Exclude}
	switch {
	case len(s.Subnets) > 0:
		n.Subnets = []netip.Prefix{netip.MustParsePrefix(s.Subnets[0])}
	case f.chosen == len(f.subnets):
		return n, refused(api.Exhausted, "no subnet is free")
	default:
		n.Subnets = []netip.Prefix{netip.MustParsePrefix(f.subnets[f.chosen])}
		f.chosen++
	}
	n.Gateways = []netip.Addr{n.Subnets[0].Addr().Next()}
	if len(s.Gateways) > 0 {
		n.Gateways[0] = netip.MustParseAddr(s.Gateways[0])
	}
	for _, other := range f.networks {
		if n.Type != api.PerEndpointNetwork && other.Type != api.PerEndpointNetwork && n.Compartment == other.Compartment && n.Subnets[0].Overlaps(other.Subnets[0]) {
			return n, refused(api.Conflict, "subnet %s overlaps network %q", n.Subnets[0], other.Name)
		}
	}
	f.networks = append(f.networks, n)
	return n, nil
}

func (f *fake) DeleteNetwork(_ context.Context, name string, _ bool) error {
	f.networks = slices.DeleteFunc(f.networks, func(n api.Network) bool { return n.Name == name })
	f.endpoints = slices.DeleteFunc(f.endpoints, func(e api.Endpoint) bool { return e.Network == name })
	return nil
}

func (f *fake) Endpoints(_ context.Context, network string) ([]api.Endpoint, error) {
	return slices.DeleteFunc(slices.Clone(f.endpoints), func(e api.Endpoint) bool { return network != "" && e.Network != network }), nil
}

func (f *fake) AttachEndpoint(_ context.Context, s api.EndpointSpec) (api.Endpoint, error) {
	for _, e := range f.endpoints {
		if e.Name == s.Name {
			return e, nil
		}
	}
	e := api.Endpoint{Name: s.Name, Network: s.Network, Owner: s.Owner, Labels: s.Labels, MAC: s.MAC, Kind: api.KindPair, Target: "hp-" + s.Name}
	if e.MAC == "" {
		e.MAC = "02:42:00:00:00:01"
	}
	for _, n := range f.networks {
		if n.Name == s.Network {
			e.Gateways, e.Subnets = n.Gateways, n.Subnets
		}
	}
	e.Addresses = []netip.Addr{netip.MustParseAddr(s.Addresses[0])}
	f.endpoints = append(f.endpoints, e)
	return e, nil
}

func (f *fake) DetachEndpoint(_ context.Context, name string) error {
	f.endpoints = slices.DeleteFunc(f.endpoints, func(e api.Endpoint) bool { return e.Name == name })
	return nil
}

func (f *fake) AddMapping(_ context.Context, s api.MappingSpec) (api.Mapping, error) {
	if slices.Contains(f.busy, s.External) {
		return api.Mapping{}, refused(api.Conflict, "port %s is taken", s.External)
	}
	endpoint, ports, _ := strings.Cut(s.Internal, ":")
	if s.External == "" {
		s.External = "0.0.0.0:30000"
	}
	m := api.Mapping{ID: uint32(len(f.mappings) + 1), Protocol: api.Protocol(s.Protocol), External: s.External, Owner: s.Owner, Labels: s.Labels,
		Targets: []api.Target{{Endpoint: endpoint, Internal: "172.16.5.2:" + ports}}}
	f.mappings = append(f.mappings, m)
	return m, nil
}

func (f *fake) DeleteMapping(_ context.Context, id uint32) error {
	f.mappings = slices.DeleteFunc(f.mappings, func(m api.Mapping) bool { return m.ID == id })
	return nil
}

// caller makes Docker's calls.
type caller struct {
	t      *testing.T
	daemon *fake
	driver *Driver
}

func newCaller(t *testing.T) *caller {
	f := &fake{subnets: []string{"172.16.5.0/24", "172.16.6.0/24"}}
	return &caller{t: t, daemon: f, driver: New(f, "unix:///docker.sock")}
}

// call makes one call, with a body as Docker writes it, and returns what the answer says.
func (c *caller) call(method, body string) string {
	c.t.Helper()
	w := httptest.NewRecorder()
	c.driver.Handler(slog.New(slog.DiscardHandler)).ServeHTTP(w, httptest.NewRequest("POST", "/"+method, strings.NewReader(body)))
	if w.Code != 200 {
		return fmt.Sprint(w.Code)
	}
	return strings.TrimSpace(w.Body.String())
}

func (c *caller) want(method, body, answer string) {
	c.t.Helper()
	if diff := cmp.Diff(answer, c.call(method, body)); diff != "" {
		c.t.Errorf("%s %s (-want +got):\n%s", method, body, diff)
	}
}

// pool gets a pool of the driver's choice, and its subnet.
func (c *caller) pool() (id, subnet string) {
	c.t.Helper()
	var p leasedPool
	if err := json.Unmarshal([]byte(c.call("IpamDriver.RequestPool", `{"AddressSpace":"hostnat","V6":false}`)), &p); err != nil || p.PoolID == "" {
		c.t.Fatalf("no pool: %+v, %v", p, err)
	}
	return p.PoolID, p.Pool
}

// network gets a pool and makes a network of it.
func (c *caller) network(id string) (pool string) {
	c.t.Helper()
	pool, subnet := c.pool()
	c.want("NetworkDriver.CreateNetwork", fmt.Sprintf(`{"NetworkID":%q,"Options":{"com.docker.network.enable_ipv6":false,"com.docker.network.generic":{"name":"shop","nat":"lab"}},
		"IPv4Data":[{"AddressSpace":"hostnat","Pool":%q,"Gateway":"172.16.5.1/24"}],"IPv6Data":[]}`, id, subnet), `{}`)
	return pool
}

func (c *caller) networks() (list []string) {
	for _, n := range c.daemon.networks {
		list = append(list, fmt.Sprintf("%s %s %s", n.Name, n.Subnets[0], n.NAT))
	}
	return list
}

func TestHandshake(t *testing.T) {
	t.Parallel()
	c := newCaller(t)
	c.want("Plugin.Activate", "", `{"Implements":["NetworkDriver","IpamDriver"]}`)
	c.want("NetworkDriver.GetCapabilities", "null", `{"Scope":"local","ConnectivityScope":"local","GwAllocChecker":true}`)
	c.want("NetworkDriver.GwAllocCheck", `{"Options":{}}`, `{"SkipIPv4":false,"SkipIPv6":true}`)
	c.want("IpamDriver.GetCapabilities", "", `{"RequiresMACAddress":false,"RequiresRequestReplay":false}`)
	c.want("NetworkDriver.AllocateNetwork", `{}`, "404")
	c.want("NetworkDriver.Join", `{"NetworkID":`, `{"Err":"the call cannot be read: unexpected end of JSON input"}`)
	c.want("IpamDriver.RequestPool", `[]`, `{"Error":"the call cannot be read: json: cannot unmarshal array into Go value of type driver.requestPool"}`)
	if got := c.call("NetworkDriver.Join", strings.Repeat(" ", maxBody+1)); !strings.Contains(got, "too large") {
		t.Errorf("a body without end is answered with %s", got)
	}
}

// TestContainer goes through the calls of one network and one container.
func TestContainer(t *testing.T) {
	t.Parallel()
	c := newCaller(t)
	pool := c.network("0123456789abcdef")
	if diff := cmp.Diff([]string{"shop 172.16.5.0/24 lab"}, c.networks()); diff != "" {
		t.Errorf("networks (-want +got):\n%s", diff)
	}
	c.want("NetworkDriver.CreateNetwork", `{"NetworkID":"0123456789abcdef","Options":{},"IPv4Data":[{"Pool":"172.16.5.0/24","Gateway":"172.16.5.1/24"}]}`, `{}`) // once more

	address := fmt.Sprintf(`{"PoolID":%q,"Address":"","Options":null}`, pool)
	c.want("IpamDriver.RequestAddress", address, `{"Address":"172.16.5.2/24","Data":{}}`)
	c.want("IpamDriver.RequestAddress", address, `{"Address":"172.16.5.4/24","Data":{}}`) // .3 is reserved
	c.want("IpamDriver.ReleaseAddress", fmt.Sprintf(`{"PoolID":%q,"Address":"172.16.5.4"}`, pool), `{}`)
	c.want("IpamDriver.RequestAddress", address, `{"Address":"172.16.5.4/24","Data":{}}`)
	c.want("IpamDriver.RequestAddress", fmt.Sprintf(`{"PoolID":%q,"Address":"172.16.5.2"}`, pool), `{"Error":"address 172.16.5.2 belongs to a container that starts"}`)

	endpoint := `"NetworkID":"0123456789abcdef","EndpointID":"fedcba9876543210"`
	create := `{` + endpoint + `,"Interface":{"Address":"172.16.5.2/24","AddressIPv6":"","MacAddress":""},"Options":{}}`
	for range 2 {
		c.want("NetworkDriver.CreateEndpoint", create, `{"Interface":{"Address":"","AddressIPv6":"","MacAddress":"02:42:00:00:00:01"}}`)
	}
	c.want("IpamDriver.RequestAddress", fmt.Sprintf(`{"PoolID":%q,"Address":"172.16.5.2"}`, pool), `{"Error":"address 172.16.5.2 belongs to endpoint docker-fedcba987654"}`)
	c.want("NetworkDriver.Join", `{`+endpoint+`,"SandboxKey":"/var/run/docker/netns/1","Options":{}}`,
		`{"InterfaceName":{"SrcName":"hp-docker-fedcba987654","DstPrefix":"eth"},"Gateway":"172.16.5.1","DisableGatewayService":false}`)
	ports := `{` + endpoint + `,"Options":{"com.docker.network.portmap":[{"Proto":6,"IP":"","Port":80,"HostIP":"","HostPort":8080,"HostPortEnd":8080}]}}`
	for range 2 {
		c.want("NetworkDriver.ProgramExternalConnectivity", ports, `{}`)
	}
	if len(c.daemon.mappings) != 1 {
		t.Errorf("mappings: %+v", c.daemon.mappings)
	}
	c.want("NetworkDriver.EndpointOperInfo", `{`+endpoint+`}`, `{"Value":{}}`)
	c.want("NetworkDriver.Leave", `{`+endpoint+`}`, `{}`)
	if len(c.daemon.mappings) != 0 || len(c.daemon.endpoints) != 1 {
		t.Errorf("after Leave: %+v, %+v", c.daemon.mappings, c.daemon.endpoints)
	}
	for range 2 {
		c.want("NetworkDriver.DeleteEndpoint", `{`+endpoint+`}`, `{}`)
	}
	for range 2 {
		c.want("NetworkDriver.DeleteNetwork", `{"NetworkID":"0123456789abcdef"}`, `{}`)
		c.want("IpamDriver.ReleasePool", fmt.Sprintf(`{"PoolID":%q}`, pool), `{}`)
	}
	if len(c.daemon.networks)+len(c.daemon.endpoints) > 0 {
		t.Errorf("left: %+v, %+v", c.daemon.networks, c.daemon.endpoints)
	}
	c.want("NetworkDriver.CreateEndpoint", create, `{"Err":"hostnat has no network for Docker's network 0123456789ab any more: remove it and create it again"}`)
}

// TestPools: each pool is another subnet until it is given back, and at the end an error.
func TestPools(t *testing.T) {
	t.Parallel()
	c := newCaller(t)
	first, one := c.pool()
	_, two := c.pool()
	if one != "172.16.5.0/24" || two != "172.16.6.0/24" {
		t.Errorf("pools %s, %s", one, two)
	}
	c.want("IpamDriver.RequestPool", `{}`, `{"Error":"no subnet is free"}`)
	c.want("IpamDriver.RequestAddress", fmt.Sprintf(`{"PoolID":%q,"Options":{"RequestAddressType":"com.docker.network.gateway"}}`, first), `{"Address":"172.16.5.1/24","Data":{}}`)
	c.want("IpamDriver.RequestAddress", fmt.Sprintf(`{"PoolID":%q}`, first), `{"Error":"subnet 172.16.5.0/24 is of no network of driver hostnat: hostnat gives addresses to those alone"}`)
	c.want("IpamDriver.ReleasePool", fmt.Sprintf(`{"PoolID":%q}`, first), `{}`)
	if len(c.daemon.networks) != 1 {
		t.Errorf("networks that stand for pools: %v", c.networks())
	}
	asked := `{"Pool":"10.9.0.0/24","SubPool":"10.9.0.128/25"}`
	for range 2 { // the second after a call whose answer was lost
		c.want("IpamDriver.RequestPool", asked, `{"PoolID":"10.9.0.0/24","Pool":"10.9.0.0/24","Data":{}}`)
	}
	c.want("NetworkDriver.CreateNetwork", `{"NetworkID":"n1","IPv4Data":[{"Pool":"10.9.0.0/24","Gateway":"10.9.0.1/24","AuxAddresses":{"printer":"10.9.0.128/24"}}]}`, `{}`)
	c.want("IpamDriver.RequestAddress", `{"PoolID":"10.9.0.0/24"}`, `{"Address":"10.9.0.129/24","Data":{}}`)
	c.want("IpamDriver.RequestPool", `{"Pool":"10.9.0.0/24"}`, `{"Error":"subnet 10.9.0.0/24 is that of network docker-n1: choose another, or another compartment with --ipam-opt compartment=NAME and -o compartment=NAME"}`)
	c.want("IpamDriver.RequestPool", `{"Pool":"10.9.0.0/24","Options":{"compartment":"blue"}}`, `{"PoolID":"blue:10.9.0.0/24","Pool":"10.9.0.0/24","Data":{}}`)
	c.want("NetworkDriver.CreateNetwork", `{"NetworkID":"n2","IPv4Data":[{"Pool":"10.9.0.0/24","Gateway":"10.9.0.1/24"}]}`, `{"Err":"subnet 10.9.0.0/24 overlaps network \"docker-n1\""}`)
	c.want("NetworkDriver.CreateNetwork", `{"NetworkID":"n2","Options":{"com.docker.network.generic":{"compartment":"blue"}},"IPv4Data":[{"Pool":"10.9.0.0/24","Gateway":"10.9.0.1/24"}]}`, `{}`)
	c.want("IpamDriver.RequestAddress", `{"PoolID":"blue:10.9.0.0/24"}`, `{"Address":"10.9.0.2/24","Data":{}}`)
	for _, n := range c.daemon.networks {
		if isLease(n) && n.Subnets[0].String() == "10.9.0.0/24" {
			t.Errorf("%s stays though a network has its subnet", n.Name)
		}
	}
	c.want("IpamDriver.RequestPool", `{"V6":true}`, `{"Error":"networks of hostnat have no IPv6 yet: leave --ipv6 out"}`)
	c.want("IpamDriver.RequestPool", `{"SubPool":"10.9.0.0/25"}`, `{"Error":"the range 10.9.0.0/25 is given without a subnet: give --subnet too"}`)
	c.want("IpamDriver.RequestPool", `{"Pool":"10.9.0.0/24","SubPool":"10.8.0.0/25"}`, `{"Error":"the range \"10.8.0.0/25\" is not part of the subnet 10.9.0.0/24"}`)
	c.want("IpamDriver.RequestAddress", `{"PoolID":"gone"}`, `{"Error":"pool gone is not known any more: remove the network and create it again"}`)
}

// TestPoolsThatDockerDoesNotTake: it keeps each, and asks for another one without end.
func TestPoolsThatDockerDoesNotTake(t *testing.T) {
	t.Parallel()
	c := newCaller(t)
	c.daemon.subnets = nil
	for i := range mostLeases + 10 {
		c.daemon.subnets = append(c.daemon.subnets, fmt.Sprintf("10.1.%d.0/24", i))
	}
	for range mostLeases {
		c.pool()
	}
	if got := c.call("IpamDriver.RequestPool", `{}`); !strings.HasPrefix(got, `{"Error":"64 subnets are leased`) {
		t.Errorf("one more: %s", got)
	}
}

func TestNetworks(t *testing.T) {
	t.Parallel()
	data := []pool{{Pool: "172.16.5.0/24", Gateway: "172.16.5.1/24"}}
	text := func(s string) json.RawMessage { return json.RawMessage(s) }
	usual := api.NetworkSpec{Name: "docker-n1", Owner: docker.DriverOwner, Subnets: []string{"172.16.5.0/24"}, Gateways: []string{"172.16.5.1"}, Labels: map[string]string{docker.LabelNetwork: "n1"}}
	each, closed := usual, usual
	each.Name, each.Compartment, each.Isolation, each.MTU = "web", "each", "off", "1400"
	closed.NAT = "none"
	for _, tt := range []struct {
		name    string
		options map[string]json.RawMessage
		data    []pool
		want    api.NetworkSpec
		refusal string
	}{
		{"no options", nil, data, usual, ""},
		{"options", map[string]json.RawMessage{optionGeneric: text(`{"name":"web","compartment":"each","isolation":"off","com.docker.network.driver.mtu":"1400"}`)}, data, each, ""},
		{"internal", map[string]json.RawMessage{optionInternal: text("true"), optionGeneric: text("null")}, data, closed, ""},
		{"internal behind a NAT", map[string]json.RawMessage{optionInternal: text("true"), optionGeneric: text(`{"nat":"lab"}`)}, data, usual, "a network with --internal is behind no NAT: leave -o nat=lab out"},
		{"unknown", map[string]json.RawMessage{optionGeneric: text(`{"nta":"lab"}`)}, data, usual, `option "nta" is not known: use com.docker.network.driver.mtu, compartment, dhcp, dns, domain, isolation, mtu, name, nat, port-security`},
		{"no subnet", nil, nil, usual, "a network of hostnat has one subnet, not 0"},
		{"without IPAM", nil, []pool{{Pool: "0.0.0.0/0"}}, usual, `the subnet "0.0.0.0/0" cannot be a network's: use Docker's IPAM driver or hostnat's`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, err := specOf(createNetwork{NetworkID: "n1", Options: tt.options, IPv4Data: tt.data})
			if err != nil || tt.refusal != "" {
				if fmt.Sprint(err) != tt.refusal {
					t.Errorf("refused with %v, want %q", err, tt.refusal)
				}
				return
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestPublished(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, bindings, want string }{
		{"none", `null`, ""},
		{"one", `[{"Proto":6,"Port":80,"HostPort":8080,"HostPortEnd":8080}]`, "tcp 0.0.0.0:8080 c1:80"},
		{"a row", `[{"Proto":17,"Port":90,"HostPort":9000,"HostPortEnd":9000},{"Proto":17,"Port":91,"HostPort":9001,"HostPortEnd":9001}]`, "udp 0.0.0.0:9000-9001 c1:90-91"},
		{"an address", `[{"Proto":6,"Port":80,"HostIP":"127.0.0.1","HostPort":8080}]`, "tcp 127.0.0.1:8080 c1:80"},
		{"any port", `[{"Proto":6,"Port":80}]`, "tcp  c1:80"},
		{"one of several", `[{"Proto":6,"Port":80,"HostPort":8080,"HostPortEnd":8081}]`, "tcp 0.0.0.0:8080 c1:80 or tcp 0.0.0.0:8081 c1:80"},
		{"SCTP", `[{"Proto":132,"Port":80,"HostPort":80}]`, "port 80: only tcp and udp ports can be published"},
		{"IPv6", `[{"Proto":6,"Port":80,"HostIP":"::1","HostPort":80}]`, "port 80: address ::1 is not one of IPv4, and others cannot be published yet"},
		{"any port of an address", `[{"Proto":6,"Port":80,"HostIP":"127.0.0.1"}]`, "port 80 on address 127.0.0.1: say which port of the host, or leave the address out"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			choices, err := published(map[string]json.RawMessage{optionPorts: json.RawMessage(tt.bindings)}, "c1", "e1")
			var list []string
			for _, choice := range choices {
				var any []string
				for _, s := range choice {
					any = append(any, s.Protocol+" "+s.External+" "+s.Internal)
				}
				list = append(list, strings.Join(any, " or "))
			}
			if err != nil {
				list = []string{err.Error()}
			}
			if diff := cmp.Diff(tt.want, strings.Join(list, ", ")); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// TestPortThatIsTaken: all ports are published, or none; of several that will do, the
// first free one.
func TestPortThatIsTaken(t *testing.T) {
	t.Parallel()
	c := newCaller(t)
	c.network("n1")
	c.call("NetworkDriver.CreateEndpoint", `{"NetworkID":"n1","EndpointID":"e1","Interface":{"Address":"172.16.5.2/24"}}`)
	c.daemon.busy = []string{"0.0.0.0:8080", "0.0.0.0:8081"}
	publish := func(ports string) string {
		return c.call("NetworkDriver.ProgramExternalConnectivity", `{"NetworkID":"n1","EndpointID":"e1","Options":{"com.docker.network.portmap":[`+ports+`]}}`)
	}
	free, taken := `{"Proto":6,"Port":80,"HostPort":8000,"HostPortEnd":8000}`, `{"Proto":6,"Port":81,"HostPort":8080,"HostPortEnd":8080}`
	if got := publish(free + "," + taken); got != `{"Err":"port 0.0.0.0:8080 is taken"}` || len(c.daemon.mappings) > 0 {
		t.Errorf("%s, mappings %+v", got, c.daemon.mappings)
	}
	if got := publish(free + `,{"Proto":6,"Port":81,"HostPort":8080,"HostPortEnd":8090}`); got != `{}` || len(c.daemon.mappings) != 2 || c.daemon.mappings[0].External != "0.0.0.0:8082" {
		t.Errorf("%s, mappings %+v", got, c.daemon.mappings)
	}
}

// TestInternalNetworkHasNoGateway: and Docker is to add no way out of its own.
func TestInternalNetworkHasNoGateway(t *testing.T) {
	t.Parallel()
	c := newCaller(t)
	c.want("NetworkDriver.CreateNetwork", `{"NetworkID":"n1","Options":{"com.docker.network.internal":true},"IPv4Data":[{"Pool":"172.18.0.0/16","Gateway":"172.18.0.1/16"}]}`, `{}`)
	if n := c.daemon.networks[0]; n.DHCP != "off" {
		t.Errorf("two give out addresses on %+v", n)
	}
	c.call("NetworkDriver.CreateEndpoint", `{"NetworkID":"n1","EndpointID":"e1","Interface":{"Address":"172.18.0.2/16"}}`)
	c.want("NetworkDriver.Join", `{"NetworkID":"n1","EndpointID":"e1"}`, `{"InterfaceName":{"SrcName":"hp-docker-e1","DstPrefix":"eth"},"Gateway":"","DisableGatewayService":true}`)
}
