package docker

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/hostnat/hostnat/api"
)

var (
	anywhere = netip.IPv4Unspecified()
	labels   = map[string]string{LabelContainer: "id1"}
	networks = []api.Network{{Name: "docker", Bridge: "hn-docker"}, {Name: "shop", Bridge: "br-1"}}
)

func attachment(id, network, bridge, address, link string) Attachment {
	return Attachment{ID: id, Network: network, Bridge: bridge, Address: netip.MustParseAddr(address), MAC: "02:42:00:00:00:01", Gateway: true, Link: link}
}

func endpoint(network, name, port, address string) api.EndpointSpec {
	return api.EndpointSpec{Network: network, Name: name, Port: port, Addresses: []string{address}, MAC: "02:42:00:00:00:01", Labels: labels, Owner: Owner}
}

// made is what hostnat answers for a plan's wishes.
func made(p Plan) (s State) {
	s.Networks = networks
	for _, e := range p.Attach {
		s.Endpoints = append(s.Endpoints, api.Endpoint{
			Name: e.Name, Network: e.Network, Kind: api.KindPort, Target: e.Port, MAC: e.MAC, Addresses: []netip.Addr{netip.MustParseAddr(e.Addresses[0])},
			Aliases: e.Aliases, Labels: e.Labels, Owner: e.Owner, Managed: true, State: api.EndpointUp,
		})
	}
	for i, m := range p.Add {
		name, ports := m.Internal[:len(m.Internal)-3], m.Internal[len(m.Internal)-3:]
		s.Mappings = append(s.Mappings, api.Mapping{
			ID: uint32(i + 1), Protocol: api.Protocol(m.Protocol), External: m.External, Labels: m.Labels, Owner: m.Owner,
			Targets: []api.Target{{Endpoint: name, Internal: "172.20.0.2" + ports}},
		})
	}
	return s
}

func TestPlan(t *testing.T) {
	t.Parallel()
	published := []Port{{"tcp", anywhere, 8080, 80}, {"tcp", netip.IPv6Unspecified(), 8080, 80}, {"tcp", netip.Addr{}, 0, 443}}
	c1 := Container{ID: "id1", Name: "c1", Ports: published, Links: []Attachment{attachment("e1", "bridge", "hn-docker", "172.20.0.2", "veth1")}}
	asWanted := Plan{
		Attach: []api.EndpointSpec{endpoint("docker", "c1", "veth1", "172.20.0.2")},
		Add:    []api.MappingSpec{{Protocol: "tcp", External: "0.0.0.0:8080", Internal: "c1:80", Force: true, Labels: labels, Owner: Owner}},
	}
	two := c1
	two.Links = append([]Attachment{attachment("e2", "shop", "br-1", "172.21.0.2", "veth2")}, c1.Links...)
	two.Links[0].Aliases = []string{"c1", "Store", "no_label"}
	beside := endpoint("shop", "c1.shop", "veth2", "172.21.0.2")
	beside.Aliases = []string{"store"}
	renamed, again, foreign, gone := c1, c1, c1, c1
	renamed.Name = "c2"
	again.Links = []Attachment{attachment("e3", "bridge", "hn-docker", "172.20.0.2", "veth9")}
	foreign.Links = []Attachment{attachment("e4", "other", "br-other", "10.0.0.2", "veth1")}
	gone.Links = []Attachment{attachment("e1", "bridge", "hn-docker", "172.20.0.2", "")}
	alias := c1
	alias.Links = []Attachment{attachment("e1", "bridge", "hn-docker", "172.20.0.2", "veth1")}
	alias.Links[0].Aliases = []string{"store"}
	mine := State{Networks: networks, Endpoints: []api.Endpoint{{Name: "c1", Managed: true}}, Mappings: []api.Mapping{{ID: 7}}}
	tests := []struct {
		name       string
		containers []Container
		has        State
		want       Plan
	}{
		{"a container that is new", []Container{c1}, State{Networks: networks}, asWanted},
		{"nothing to do", []Container{c1}, made(asWanted), Plan{}},
		{"it has ended", nil, made(asWanted), Plan{Delete: []uint32{1}, Detach: []string{"c1"}}},
		{"it has another link since a restart", []Container{again}, made(asWanted), Plan{
			Detach: []string{"c1"}, Attach: []api.EndpointSpec{endpoint("docker", "c1", "veth9", "172.20.0.2")},
		}},
		{"it has another name", []Container{renamed}, made(asWanted), Plan{
			Delete: []uint32{1}, Detach: []string{"c1"}, Attach: []api.EndpointSpec{endpoint("docker", "c2", "veth1", "172.20.0.2")},
			Add: []api.MappingSpec{{Protocol: "tcp", External: "0.0.0.0:8080", Internal: "c2:80", Force: true, Labels: labels, Owner: Owner}},
		}},
		{"it has other aliases", []Container{alias}, made(asWanted), Plan{Name: map[string][]string{"c1": {"store"}}}},
		{"two networks", []Container{two}, State{Networks: networks}, Plan{Attach: []api.EndpointSpec{beside, asWanted.Attach[0]}, Add: asWanted.Add}},
		{"a network that is not hostnat's", []Container{foreign}, State{Networks: networks}, Plan{}},
		{"its link was not found", []Container{gone}, State{Networks: networks}, Plan{}},
		{"its name is somebody else's, who stays", []Container{c1}, mine, Plan{
			Attach: []api.EndpointSpec{endpoint("docker", "c1-id1", "veth1", "172.20.0.2")},
			Add:    []api.MappingSpec{{Protocol: "tcp", External: "0.0.0.0:8080", Internal: "c1-id1:80", Force: true, Labels: labels, Owner: Owner}},
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(tt.want, PlanFor(tt.containers, tt.has), cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("plan (-want +got):\n%s", diff)
			}
		})
	}
}

// TestPlanWithoutDocker: what has ended goes while Docker does not answer, and what
// runs stays.
func TestPlanWithoutDocker(t *testing.T) {
	t.Parallel()
	ended := api.Endpoint{Name: "c1", Owner: Owner, State: api.EndpointAbsent, Labels: labels}
	runs := api.Endpoint{Name: "c2", Owner: Owner, State: api.EndpointUp, Labels: map[string]string{LabelContainer: "id2"}}
	other := api.Endpoint{Name: "vm", State: api.EndpointAbsent}
	has := State{Endpoints: []api.Endpoint{ended, runs, other}, Mappings: []api.Mapping{
		{ID: 1, Owner: Owner, Labels: labels}, {ID: 2, Owner: Owner, Labels: runs.Labels}, {ID: 3},
	}}
	if diff := cmp.Diff(Plan{Delete: []uint32{1}, Detach: []string{"c1"}}, PlanWithout(has)); diff != "" {
		t.Errorf("plan (-want +got):\n%s", diff)
	}
}

func TestRowsOfPorts(t *testing.T) {
	t.Parallel()
	var list []Port
	for i := range uint16(3) {
		list = append(list, Port{"udp", anywhere, 9002 - i, 92 - i}, Port{"udp", netip.IPv6Unspecified(), 9002 - i, 92 - i})
	}
	list = append(list, Port{"udp", anywhere, 9003, 80}, Port{"tcp", netip.MustParseAddr("192.0.2.1"), 9000, 80}, Port{"sctp", anywhere, 1, 1})
	var got []string
	for _, r := range Rows(list) {
		got = append(got, r.Protocol+" "+r.External()+" "+r.Internal())
	}
	if diff := cmp.Diff([]string{"tcp 192.0.2.1:9000 80", "udp 0.0.0.0:9000-9002 90-92", "udp 0.0.0.0:9003 80"}, got); diff != "" {
		t.Errorf("rows (-want +got):\n%s", diff)
	}
}

func TestPlanNetworks(t *testing.T) {
	t.Parallel()
	subnet, gateway := netip.MustParsePrefix("172.18.0.0/16"), netip.MustParseAddr("172.18.0.1")
	def := Network{ID: "n0", Name: "bridge", Bridge: "hn-docker"}
	compose := Network{ID: "n1", Name: "shop", Bridge: "br-1", Subnet: subnet, Gateway: gateway}
	closed := Network{ID: "n2", Name: "closed", Bridge: "br-2", Subnet: subnet, Gateway: gateway, Internal: true}
	ours := api.Network{Name: "docker", Bridge: "hn-docker", Owner: Owner}
	spec := api.NetworkSpec{Name: "shop", Bridge: "br-1", Adopt: true, Subnets: []string{"172.18.0.0/16"}, Gateways: []string{"172.18.0.1"}, DHCP: "off", Owner: Owner, Labels: map[string]string{LabelNetwork: "n1"}}
	none, elsewhere := spec, spec
	none.Name, none.Bridge, none.NAT, none.Labels = "closed", "br-2", "none", map[string]string{LabelNetwork: "n2"}
	elsewhere.Name = "shop-n1"
	adopted := api.Network{Name: "shop", Bridge: "br-1", Owner: Owner, Labels: spec.Labels}
	tests := []struct {
		name string
		list []Network
		has  []api.Network
		want NetworkPlan
	}{
		{"those that are new", []Network{def, compose, closed}, []api.Network{ours}, NetworkPlan{Create: []api.NetworkSpec{spec, none}}},
		{"nothing to do", []Network{def, compose}, []api.Network{ours, adopted}, NetworkPlan{}},
		{"one is gone", []Network{def}, []api.Network{ours, adopted}, NetworkPlan{Delete: []string{"shop"}}},
		{"the name is a person's", []Network{def, compose}, []api.Network{ours, {Name: "shop", Bridge: "hn-shop"}}, NetworkPlan{Create: []api.NetworkSpec{elsewhere}}},
		{"Docker was not restarted yet", []Network{{ID: "n0", Name: "bridge", Bridge: "docker0"}, compose}, []api.Network{ours}, NetworkPlan{}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(tt.want, PlanNetworks(tt.list, tt.has)); diff != "" {
				t.Errorf("plan (-want +got):\n%s", diff)
			}
		})
	}
}

func TestReattached(t *testing.T) {
	t.Parallel()
	e := api.Endpoint{
		Name: "web1", Network: "web", Kind: api.KindPID, Target: "10", IfName: "eth0", MAC: "02:42:00:00:00:01", State: api.EndpointUp,
		Addresses: []netip.Addr{netip.MustParseAddr("172.16.1.2")}, Labels: map[string]string{LabelName: "c1"},
	}
	absent := e
	absent.State = api.EndpointAbsent
	again := api.EndpointSpec{Network: "web", Name: "web1", PID: "11", MAC: e.MAC, IfName: "eth0", Addresses: []string{"172.16.1.2"}, Labels: e.Labels}
	same := again
	same.PID = "10"
	tests := []struct {
		name string
		e    api.Endpoint
		pid  int
		want api.EndpointSpec
	}{
		{"it runs as before", e, 10, api.EndpointSpec{}},
		{"it does not run", absent, 0, api.EndpointSpec{}},
		{"another process", e, 11, again},
		{"another process of the same number", absent, 10, same},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, needed := Reattached(tt.e, Process{PID: tt.pid})
			if diff := cmp.Diff(tt.want, got); diff != "" || needed != (tt.want.Name != "") {
				t.Errorf("needed %v (-want +got):\n%s", needed, diff)
			}
		})
	}
}

func TestPlanNames(t *testing.T) {
	t.Parallel()
	driven := func(name, id string, aliases ...string) api.Endpoint {
		return api.Endpoint{Name: name, Aliases: aliases, Labels: map[string]string{LabelEndpoint: id}, Owner: DriverOwner}
	}
	has := []api.Endpoint{driven("new", "e1"), driven("as before", "e2", "c2"), driven("renamed", "e3", "c3"), driven("left", "e4", "c4"), {Name: "other", Owner: Owner}}
	want := Names{Aliases: map[string][]string{"new": {"c1", "store"}, "renamed": {"c5"}}, Unknown: []string{"left"}}
	got := PlanNames(map[string][]string{"e1": {"c1", "store"}, "e2": {"c2"}, "e3": {"c5"}, "e9": {"c9"}}, has)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"c1", "store-2"}, dnsNames([]string{"Store-2", "c1", "no_label", "C1"})); diff != "" {
		t.Errorf("names in DNS (-want +got):\n%s", diff)
	}
}
