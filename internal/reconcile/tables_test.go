package reconcile

import (
	"net/netip"
	"testing"

	"github.com/hostnat/hostnat/internal/config"
	"github.com/hostnat/hostnat/internal/datapath"
	"github.com/hostnat/hostnat/internal/host"
	"github.com/hostnat/hostnat/internal/model"
)

// An address alone is nobody's name: the compartment says whose it is.
func TestNamesOfCompartments(t *testing.T) {
	t.Parallel()
	c := config.NewConfig()
	c.Compartments = append(c.Compartments, model.Compartment{Name: "blue", ID: 8})
	address := netip.MustParseAddr("172.16.1.2")
	c.Networks = []model.Network{{Name: "web", ID: 3, Compartment: "default"}, {Name: "blueweb", ID: 4, Compartment: "blue"}}
	c.Endpoints = []model.Endpoint{{Name: "c1", Network: "web", Addresses: []netip.Addr{address}}, {Name: "c2", Network: "blueweb", Addresses: []netip.Addr{address}}}
	n := namesOf(c)
	if n.endpoints[endpointKey{2, address}] != "c1" || n.endpoints[endpointKey{8, address}] != "c2" || len(n.endpoints) != 2 {
		t.Errorf("endpoints %v", n.endpoints)
	}
	if n.nats[1] != model.DefaultNAT || n.networks[4] != "blueweb" || n.compartments[8] != "blue" {
		t.Errorf("names %+v", n)
	}
}

// The gateway's MAC is the network's own for its whole life, unicast and locally
// administered, whatever the id.
func TestGatewayMAC(t *testing.T) {
	t.Parallel()
	seen := map[model.MAC]bool{}
	for _, id := range []uint32{1, 2, 255, 256, 65535, 65536, 1 << 22} {
		mac := model.Network{ID: id}.GatewayMAC()
		if parsed, err := model.ParseMAC(string(mac)); err != nil || parsed != mac {
			t.Errorf("id %d: %s, %v", id, mac, err)
		}
		if seen[mac] || mac != (model.Network{ID: id, Name: "renamed"}).GatewayMAC() {
			t.Errorf("id %d: %s is another's, or changes", id, mac)
		}
		seen[mac] = true
	}
}

// A plan changes nothing that it was not asked about: links of others stay.
func TestMakeLeavesForeignLinksAlone(t *testing.T) {
	t.Parallel()
	links := []host.Link{
		{Index: 2, Name: "eth0"}, {Index: 3, Name: "hn-web"}, {Index: 4, Name: "hv-c1", MasterIndex: 3}, // named like ours
		{Index: 5, Name: "docker0", Type: "bridge"}, {Index: 6, Name: "veth1", MasterIndex: 5},
	}
	p := Make(config.NewConfig(), links, nil, 1500)
	if len(p.Delete)+len(p.Release)+len(p.Return)+len(p.Bridges)+len(p.Adopt) != 0 {
		t.Errorf("plan %+v, want nothing", p)
	}
}

// A session of the other family has a name like any.
func TestNamesOfIPv6Sessions(t *testing.T) {
	t.Parallel()
	address := netip.MustParseAddr("2001:db8::2")
	c := config.NewConfig()
	c.Networks = []model.Network{{Name: "web", ID: 3, Compartment: "default"}}
	c.Endpoints = []model.Endpoint{{Name: "c1", Network: "web", Addresses: []netip.Addr{netip.MustParseAddr("172.16.1.2"), address}}}
	s := namesOf(c).session(datapath.Session{Compartment: c.CompartmentID("default"), Internal: netip.AddrPortFrom(address, 80)})
	if s.Endpoint != "c1" {
		t.Errorf("%+v", s)
	}
}

// Who has an address by DHCP is named like an endpoint; of an address that is both, the
// managed endpoint's name counts.
func TestNamesOfDHCPClients(t *testing.T) {
	t.Parallel()
	c := config.NewConfig()
	c.Networks = []model.Network{{Name: "web", ID: 3, Compartment: "default"}}
	at := func(last byte) netip.Addr { return netip.AddrFrom4([4]byte{172, 16, 1, last}) }
	c.Endpoints = []model.Endpoint{{Name: "c1", Network: "web", Addresses: []netip.Addr{at(2)}}}
	c.Discovered = []model.Endpoint{
		{Name: "vm", Network: "web", Kind: model.KindLease, Addresses: []netip.Addr{at(50)}},
		{Name: "imposter", Network: "web", Kind: model.KindTraffic, Addresses: []netip.Addr{at(2)}},
	}
	n := namesOf(c)
	for last, want := range map[byte]string{2: "c1", 50: "vm", 51: ""} {
		if got := n.endpoints[endpointKey{2, at(last)}]; got != want {
			t.Errorf("%s is %q, want %q", at(last), got, want)
		}
	}
}
