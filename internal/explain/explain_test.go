package explain

import (
	"context"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hostnat/hostnat/internal/config"
	"github.com/hostnat/hostnat/internal/event"
	"github.com/hostnat/hostnat/internal/model"
)

func world() World {
	network := func(name, subnet, gateway string) model.Network {
		return model.Network{
			Name: name, NAT: model.DefaultNAT, Compartment: model.DefaultCompartment, Bridge: "hn-" + name,
			Subnets: []netip.Prefix{netip.MustParsePrefix(subnet)}, Gateways: []netip.Addr{netip.MustParseAddr(gateway)},
		}
	}
	endpoint := func(name, network, address string) model.Endpoint {
		return model.Endpoint{Name: name, Network: network, Kind: model.KindNetns, Interface: "hv-" + name, Addresses: []netip.Addr{netip.MustParseAddr(address)}}
	}
	return World{
		Config: config.Config{
			NATs:      []model.NAT{{Name: model.DefaultNAT}},
			Networks:  []model.Network{network("web", "172.16.1.0/24", "172.16.1.1"), network("lab", "172.16.2.0/24", "172.16.2.1")},
			Endpoints: []model.Endpoint{endpoint("c1", "web", "172.16.1.2"), endpoint("c2", "web", "172.16.1.3"), endpoint("c3", "lab", "172.16.2.2")},
		},
		Host: model.HostFacts{
			Addresses:        []model.HostAddress{{Address: netip.MustParseAddr("203.0.113.1"), Interface: "eth0"}},
			Prefixes:         []model.HostPrefix{{Prefix: netip.MustParsePrefix("10.0.0.0/24"), Source: model.AddressSource + "eth1"}},
			DefaultInterface: "eth0", Interfaces: []string{"eth0", "eth1"},
		},
	}
}

// TestWhereAPacketComesIn: the side follows from the sender, unless it is told.
func TestWhereAPacketComesIn(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		from, at string
		want     string // side and link, or the refusal
	}{
		{"c1", "", "endpoint hv-c1"},
		{"c1:5000", "", "endpoint hv-c1"},
		{"172.16.1.2", "", "endpoint hv-c1"},
		{"172.16.1.77", "", "network hn-web"},
		{"10.0.0.5", "", "outside eth1"},
		{"198.51.100.7:99", "", "outside eth0"},
		{"172.16.1.77", "c1", "endpoint hv-c1"},
		{"1.2.3.4", "lab", "network hn-lab"},
		{"1.2.3.4", "eth1", "outside eth1"},
		{"203.0.113.1", "eth1", "outside eth1"},
		{"203.0.113.1", "", "FROM 203.0.113.1 is the host's own address: what the host sends is not translated"},
		{"172.16.1.1", "", "FROM 172.16.1.1 is the host's own address: what the host sends is not translated"},
		{"c9", "", `endpoint "c9" does not exist`},
		{"c1:0", "", `FROM port "0" is not a port`},
		{"c1:70000", "", `FROM port "70000" is not a port`},
		{"300.1.1.1", "", `FROM "300.1.1.1" is not an IPv4 address`},
		{"::1", "", "FROM ::1 is IPv6"},
		{"[::1]", "", "FROM ::1 is IPv6"},
		{"", "", `FROM "" is not an IPv4 address`},
		{"c1", "eth9", `"eth9" is no endpoint, no network and no link of the host`},
	} {
		trial, err := Question{Protocol: "tcp", From: tt.from, To: "8.8.8.8:53", At: tt.at}.Trial(world())
		got := string(trial.Entry) + " " + trial.Link
		if err != nil {
			got = err.(*model.Error).Message
		}
		if got != tt.want {
			t.Errorf("from %q at %q: %s, want %s", tt.from, tt.at, got, tt.want)
		}
	}
}

// TestRemedies: each says what decided, and a command.
func TestRemedies(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		reason event.Reason
		to     string
		want   []string // commands
	}{
		{event.IsolatedNetwork, "c3:80", []string{"hostnat network set web isolation=off", "hostnat network set lab isolation=off"}},
		{event.IsolatedNetwork, "c2:80", []string{"hostnat network set web isolation=on"}},
		{event.LinkLocal, "169.254.169.254:80", []string{"hostnat nat set default link-local=allow"}},
		{event.EndpointLimit, "8.8.8.8:53", []string{"hostnat nat set default max-sessions=0 max-ports=0 max-rate=0"}},
		{event.NoRoute, "8.8.8.8:53", []string{"ip route get 8.8.8.8; ip route add 8.8.8.8/32 via ROUTER"}},
		{event.SpoofedSource, "8.8.8.8:53", []string{"hostnat endpoint detach c1; hostnat endpoint attach web c1 --address 172.16.1.2 ..."}},
		{event.Malformed, "8.8.8.8:53", nil},
	} {
		try := func(_ context.Context, trial model.Trial) (model.Fate, error) {
			return model.Fate{
				Program: "inside_ingress", Link: trial.Link, NAT: model.DefaultNAT, Network: "web", Endpoint: "c1",
				Verdict: model.VerdictDropped, Reason: tt.reason.String(), From: trial.From, To: trial.To,
			}, nil
		}
		a, err := Ask(t.Context(), Question{Protocol: "tcp", From: "c1", To: tt.to}, world(), try)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, r := range a.Remedies {
			got = append(got, r.Command)
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%v (-want +got):\n%s", tt.reason, diff)
		}
		if a.Meaning != tt.reason.Describe() {
			t.Errorf("%v means %q", tt.reason, a.Meaning)
		}
	}
}

// TestBridgeKeepsEndpointsApart: what the programs leave to a bridge gets to the
// other endpoint, unless the network's endpoints are isolated.
func TestBridgeKeepsEndpointsApart(t *testing.T) {
	t.Parallel()
	left := func(_ context.Context, trial model.Trial) (model.Fate, error) {
		return model.Fate{Program: "inside_ingress", Link: trial.Link, Network: "web", Endpoint: "c1", Verdict: model.VerdictLeft, From: trial.From, To: trial.To}, nil
	}
	w, q := world(), Question{Protocol: "tcp", From: "c1", To: "c2:80"}
	a, err := Ask(t.Context(), q, w, left)
	if err != nil || a.Summary != "It gets to endpoint c2, which sees 172.16.1.2:40000." {
		t.Errorf("%q, %v", a.Summary, err)
	}
	w.Config.Networks[0].Isolation = model.IsolatedEndpoints
	a, err = Ask(t.Context(), q, w, left)
	if err != nil || a.Fate.Reason != "isolated-network" || len(a.Remedies) != 1 {
		t.Errorf("%+v, %v", a, err)
	}
}

// TestPath: what a probe finds is said, and what to do about it where packets vanish.
func TestPath(t *testing.T) {
	t.Parallel()
	router := netip.MustParseAddr("198.51.100.1")
	small := world()
	small.Config.Networks[0].MTU = 1400
	for _, tt := range []struct {
		name     string
		world    World
		path     model.PathMTU
		found    string
		summary  string
		remedies []Remedy
	}{
		{
			"all", world(), model.PathMTU{By: "echo requests", Largest: 1500, Tried: 1500},
			"packets of 1,500 bytes, the largest that leave, get to 8.8.8.8 (echo requests)", "It gets out.", nil,
		},
		{
			"a black hole", world(), model.PathMTU{By: "echo requests", Largest: 1400, Tried: 1500},
			"packets of 1,400 bytes get to 8.8.8.8 (echo requests); larger ones vanish",
			"It gets out, but packets above 1,400 bytes to 8.8.8.8 vanish without an ICMP error.",
			[]Remedy{{"network web", "hostnat network set web mtu=1400"}},
		},
		{
			"a narrow one", world(), model.PathMTU{By: "echo requests", Largest: 500, Tried: 1500},
			"packets of 500 bytes get to 8.8.8.8 (echo requests); larger ones vanish",
			"It gets out, but packets above 500 bytes to 8.8.8.8 vanish without an ICMP error.",
			[]Remedy{{"network web", "hostnat network set web mtu=576"}},
		},
		{
			"a network that sends none such", small, model.PathMTU{By: "echo requests", Largest: 1400, Tried: 1500},
			"web sends none larger than 1,400 bytes", "It gets out.", nil,
		},
		{
			"a router says so", world(), model.PathMTU{By: "echo requests", Largest: 1400, Tried: 1500, Router: router},
			"packets of 1,400 bytes get to 8.8.8.8 (echo requests); of larger ones 198.51.100.1 says that they are too big", "It gets out.", nil,
		},
		{
			"nobody answers", world(), model.PathMTU{By: "SYNs with data", Tried: 1500},
			"8.8.8.8 does not answer SYNs with data of any size: how large packets may be is not known", "It gets out.", nil,
		},
		{
			"not reached", world(), model.PathMTU{Refusal: "no", Tried: 1500}, "8.8.8.8 is not reached: no", "It gets out.", nil,
		},
	} {
		a := Answer{Summary: "It gets out.", Fate: model.Fate{Network: "web", Verdict: model.VerdictSent, To: netip.MustParseAddrPort("8.8.8.8:53"), OutLink: "eth0"}}
		a.AddPath(tt.world, tt.path)
		if got := a.Steps[len(a.Steps)-1].Found; got != tt.found || a.Summary != tt.summary || a.Path == nil {
			t.Errorf("%s: %q, %q", tt.name, got, a.Summary)
		}
		if diff := cmp.Diff(tt.remedies, a.Remedies); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, diff)
		}
	}
}

// TestAnsweredByHostnat: a ping that goes no further is said to be none that gets to anybody.
func TestAnsweredByHostnat(t *testing.T) {
	t.Parallel()
	answered := func(_ context.Context, trial model.Trial) (model.Fate, error) {
		return model.Fate{Program: "inside_ingress", Link: trial.Link, Network: "web", Endpoint: "c1", Verdict: model.VerdictAnswered, From: trial.From, To: trial.To}, nil
	}
	a, err := Ask(t.Context(), Question{Protocol: "icmp", From: "c1", To: "203.0.113.1"}, world(), answered)
	if err != nil || a.Summary != "It is answered by hostnat itself: the host has 203.0.113.1." || a.Steps[len(a.Steps)-1].Name != "ends" {
		t.Errorf("%+v, %v", a, err)
	}
}
