package reconcile

import (
	"cmp"
	"net/netip"
	"slices"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/hostnat/hostnat/internal/datapath"
	"github.com/hostnat/hostnat/internal/host"
	"github.com/hostnat/hostnat/internal/model"
)

var compareNetip = gocmp.Options{
	gocmp.Comparer(func(a, b netip.Addr) bool { return a == b }),
	gocmp.Comparer(func(a, b netip.Prefix) bool { return a == b }),
	gocmp.Comparer(func(a, b netip.AddrPort) bool { return a == b }),
	cmpopts.EquateEmpty(),
}

var localPorts = model.PortRange{Low: 32768, High: 60999}

// dynamicPorts are the default ones without the host's ephemeral ports.
var dynamicPorts = []model.PortRange{{Low: 1024, High: 32767}, {Low: 61000, High: 65535}}

func prefixes(list ...string) []netip.Prefix {
	var out []netip.Prefix
	for _, p := range list {
		out = append(out, netip.MustParsePrefix(p))
	}
	return out
}

// hostView is testConfig on a host with two outsides, a VPN and a bond.
func hostView() view {
	c := testConfig()
	c.Endpoints[0].Addresses, c.Endpoints[0].MAC = []netip.Addr{netip.MustParseAddr("172.16.1.2")}, "02:00:00:00:00:02"
	c.Endpoints[1].Addresses, c.Endpoints[1].MAC = []netip.Addr{netip.MustParseAddr("172.16.1.3")}, "02:00:00:00:00:03"
	return view{config: c, anchor: 3, reassembly: 15, local: localPorts, links: []host.Link{
		{Index: 1, Name: "lo", Loopback: true, HasEthernet: true, Addresses: prefixes("127.0.0.1/8")},
		{Index: 2, Name: "eth0", HasEthernet: true, Addresses: prefixes("192.0.2.1/24", "192.0.2.2/24")},
		{Index: 3, Name: host.AnchorName, HasEthernet: true, Alias: host.Owner},
		{Index: 4, Name: "hn-web", HasEthernet: true, Alias: host.Owner, MAC: "02:68:6e:80:00:03", Addresses: prefixes("172.16.1.1/24")},
		{Index: 5, Name: "hv-c1", HasEthernet: true, MTU: 1400, Alias: host.Owner, MasterIndex: 4},
		{Index: 6, Name: "tap0", HasEthernet: true, MasterIndex: 4},
		{Index: 7, Name: "br0", HasEthernet: true, MAC: "02:00:00:00:00:77", Addresses: prefixes("172.16.2.1/24")},
		{Index: 8, Name: "tap1", HasEthernet: true, MasterIndex: 7},
		{Index: 9, Name: "tun0", Addresses: prefixes("10.8.0.2/32")},
		{Index: 10, Name: "docker0", Type: "bridge", HasEthernet: true, Addresses: prefixes("172.17.0.1/16")},
		{Index: 11, Name: "veth9", HasEthernet: true, MasterIndex: 10},
		{Index: 12, Name: "eth1", HasEthernet: true}, // without address
		{Index: 13, Name: "blue", Type: "vrf", HasEthernet: true},
		{Index: 15, Name: host.ReassemblyLink, Type: "veth", HasEthernet: true, Alias: host.Owner, MTU: 65535},
		{Index: 14, Name: "eth2", HasEthernet: true, MasterIndex: 13, Addresses: prefixes("198.51.100.1/24")},
	}}
}

func pool(id, index uint32, address string, ports ...model.PortRange) datapath.Pool {
	return datapath.Pool{NAT: id, Interface: index, Addresses: []datapath.PoolAddress{{Address: netip.MustParseAddr(address), Ports: ports}}}
}

// followed is the pool of a NAT without addresses of its own on an interface.
func followed(id, index uint32, addresses ...string) datapath.Pool {
	p := datapath.Pool{NAT: id, Interface: index, Follows: true}
	for _, a := range prefixes(addresses...) {
		p.Addresses = append(p.Addresses, datapath.PoolAddress{Address: a.Addr(), Bits: a.Bits(), Ports: dynamicPorts})
	}
	return p
}

// chosen are its pools for addresses that routes may choose.
func chosen(id uint32, addresses ...string) (list []datapath.Pool) {
	for _, a := range addresses {
		p := followed(id, 0, a)
		p.Source = p.Addresses[0].Address
		list = append(list, p)
	}
	return list
}

func ports(text string) model.AddrPorts {
	var a model.AddrPorts
	if err := a.UnmarshalText([]byte(text)); err != nil {
		panic(err)
	}
	return a
}

func TestDatapathConfig(t *testing.T) {
	t.Parallel()
	v := hostView()
	v.config.Mappings = []model.Mapping{{
		ID: 7, NAT: "default", Protocol: model.TCP, From: prefixes("192.0.2.0/24"), External: ports("0.0.0.0:8080-8081"),
		Targets: []model.Target{{Network: "web", Internal: ports("172.16.1.2:80-81")}, {Network: "lan", Internal: ports("172.16.2.9:90-91")}},
	}}
	subnet := netip.MustParsePrefix
	want := datapath.Config{
		Anchor: 3, Reassembly: 15, LocalPorts: localPorts,
		NATs: map[uint32]model.NAT{1: v.config.NATs[0]},
		Pools: append([]datapath.Pool{
			followed(1, 2, "192.0.2.1/24", "192.0.2.2/24"), followed(1, 9, "10.8.0.2/32"), followed(1, 10, "172.17.0.1/16"),
			followed(1, 12), followed(1, 13), followed(1, 14, "198.51.100.1/24"),
		}, chosen(1, "192.0.2.1/24", "192.0.2.2/24", "10.8.0.2/32", "172.17.0.1/16", "198.51.100.1/24")...),
		Networks: map[uint32]datapath.Network{
			3: {Compartment: 2, NAT: 1, Bridge: 4, Input: 4, Subnet: subnet("172.16.1.0/24"), Gateway: netip.MustParseAddr("172.16.1.1"), GatewayMAC: "02:68:6e:80:00:03", Switched: true, Names: true},
			4: {Compartment: 2, NAT: 1, Bridge: 7, Subnet: subnet("172.16.2.0/24"), Gateway: netip.MustParseAddr("172.16.2.1"), GatewayMAC: "02:00:00:00:00:77", Names: true},
		},
		Insides: map[uint32]datapath.Inside{
			4: {Network: 3, Bridge: true}, 7: {Network: 4, Bridge: true},
			8: {Network: 4, Port: true}, // its owner plugged it in
			5: {Network: 3, Address: netip.MustParseAddr("172.16.1.2"), MAC: "02:00:00:00:00:02"},
			6: {Network: 3, Address: netip.MustParseAddr("172.16.1.3"), MAC: "02:00:00:00:00:03"},
		},
		// Not the ports of bridges, whose traffic is seen there; those of a VRF are.
		Outsides: map[uint32]datapath.Outside{2: {}, 9: {NoEthernet: true}, 10: {}, 12: {}, 13: {}, 14: {}},
		Endpoints: []datapath.Endpoint{
			{ID: 5, Compartment: 2, Address: netip.MustParseAddr("172.16.1.2"), Interface: 5, Network: 3, Peer: true, MTU: 1400, MAC: "02:00:00:00:00:02", GatewayMAC: "02:68:6e:80:00:03"},
			{ID: 6, Compartment: 2, Address: netip.MustParseAddr("172.16.1.3"), Interface: 6, Network: 3, MAC: "02:00:00:00:00:03", GatewayMAC: "02:68:6e:80:00:03"},
		},
		HostAddresses: map[netip.Addr]uint32{
			netip.MustParseAddr("192.0.2.1"): 2, netip.MustParseAddr("192.0.2.2"): 2, netip.MustParseAddr("172.16.1.1"): 4,
			netip.MustParseAddr("172.16.2.1"): 7, netip.MustParseAddr("10.8.0.2"): 9, netip.MustParseAddr("172.17.0.1"): 10,
			netip.MustParseAddr("198.51.100.1"): 14,
		},
		Broadcasts: map[netip.Addr]uint32{
			netip.MustParseAddr("192.0.2.255"): 2, netip.MustParseAddr("172.16.1.255"): 4, netip.MustParseAddr("172.16.2.255"): 7,
			netip.MustParseAddr("172.17.255.255"): 10, netip.MustParseAddr("198.51.100.255"): 14,
		},
		Mappings: map[uint32]datapath.Mapping{7: {
			NAT: 1, Compartment: 2, Protocol: model.TCP, From: prefixes("192.0.2.0/24"), External: ports("0.0.0.0:8080-8081"),
			Targets: []datapath.Target{{Network: 3, Internal: ports("172.16.1.2:80-81")}, {Network: 4, Internal: ports("172.16.2.9:90-91")}},
		}},
	}
	if diff := gocmp.Diff(want, v.datapathConfig(), compareNetip); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestDatapathConfigOfWhatIsMissing: a part that is absent takes nothing else along.
func TestDatapathConfigOfWhatIsMissing(t *testing.T) {
	t.Parallel()
	v := hostView()
	v.links = slices.DeleteFunc(v.links, func(l host.Link) bool { return l.Name == "hv-c1" || l.Name == "br0" || l.Name == "eth0" })
	v.config.Mappings = []model.Mapping{
		{ID: 1, NAT: "gone", Targets: []model.Target{{Network: "web"}}}, {ID: 2, NAT: "default", Targets: []model.Target{{Network: "gone"}}},
		{ID: 3, NAT: "default", Protocol: model.UDP, Targets: []model.Target{{Network: "gone"}, {Network: "lan"}}},
	}
	v.config.Endpoints = append(v.config.Endpoints, model.Endpoint{Name: "x", Network: "gone", Interface: "tun0"})
	v.config.Networks = append(v.config.Networks, model.Network{Name: "lonely", ID: 9, NAT: "gone", Compartment: "gone"})
	c := v.datapathConfig()
	if len(c.Endpoints) != 1 || c.Endpoints[0].Interface != 6 {
		t.Errorf("endpoints %+v, want the TAP alone", c.Endpoints)
	}
	if n := c.Networks[4]; n.Bridge != 0 || n.Compartment != 2 || n.NAT != 1 {
		t.Errorf("network without bridge: %+v", n)
	}
	if n := c.Networks[9]; n.NAT != 0 {
		t.Errorf("network without NAT: %+v", n)
	}
	if len(c.Mappings[3].Targets) != 1 || len(c.Mappings) != 1 {
		t.Errorf("mappings %+v, want 3 alone", c.Mappings)
	}
	if _, inside := c.Insides[9]; inside {
		t.Error("the link of an endpoint without network is inside")
	}
}

func TestPools(t *testing.T) {
	t.Parallel()
	fixed := func(list ...string) []model.ExternalAddress {
		var out []model.ExternalAddress
		for _, text := range list {
			a, err := model.ParseExternalAddress(text)
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, a)
		}
		return out
	}
	all := chosen(5, "192.0.2.1/24", "192.0.2.2/24", "10.8.0.2/32", "172.17.0.1/16", "198.51.100.1/24")
	bound := func(p datapath.Pool) datapath.Pool { p.Bound = true; return p }
	for _, tt := range []struct {
		name  string
		nat   model.NAT
		want  []datapath.Pool
		watch model.PortRange // ports that need no watch for the host's own use
	}{
		{"one interface", model.NAT{ID: 5, ExternalInterfaces: []string{"eth0"}},
			append([]datapath.Pool{followed(5, 2, "192.0.2.1/24", "192.0.2.2/24")}, all...), localPorts},
		{"interface without address", model.NAT{ID: 5, ExternalInterfaces: []string{"eth1"}}, append([]datapath.Pool{followed(5, 12)}, all...), localPorts},
		{"interface that is not there", model.NAT{ID: 5, ExternalInterfaces: []string{"eth9"}}, nil, localPorts},
		{"interface that is inside", model.NAT{ID: 5, ExternalInterfaces: []string{"br0", "hn-web"}}, nil, localPorts},
		{"fixed address", model.NAT{ID: 5, ExternalAddresses: fixed("192.0.2.2")},
			[]datapath.Pool{pool(5, 0, "192.0.2.2", dynamicPorts...)}, localPorts},
		{"fixed address on one interface", model.NAT{ID: 5, ExternalInterfaces: []string{"eth1", "tun0"}, ExternalAddresses: fixed("192.0.2.2:2000-2999")},
			[]datapath.Pool{bound(pool(5, 0, "192.0.2.2", model.PortRange{Low: 2000, High: 2999})), pool(5, 9, "192.0.2.2", model.PortRange{Low: 2000, High: 2999}), pool(5, 12, "192.0.2.2", model.PortRange{Low: 2000, High: 2999})}, localPorts},
		{"range across the host's", model.NAT{ID: 5, ExternalAddresses: fixed("192.0.2.2:30000-40000")},
			[]datapath.Pool{pool(5, 0, "192.0.2.2", model.PortRange{Low: 30000, High: 32767})}, localPorts},
		{"range in the host's", model.NAT{ID: 5, ExternalAddresses: fixed("192.0.2.2:40000-40009")},
			[]datapath.Pool{pool(5, 0, "192.0.2.2", model.PortRange{Low: 40000, High: 40009})}, model.PortRange{}},
		{"one port", model.NAT{ID: 5, ExternalAddresses: fixed("192.0.2.2:65535-65535")},
			[]datapath.Pool{pool(5, 0, "192.0.2.2", model.PortRange{Low: 65535, High: 65535})}, localPorts},
		{"two ranges of an address", model.NAT{ID: 5, ExternalAddresses: fixed("192.0.2.2:2000-2999", "192.0.2.1", "192.0.2.2:4000-4999")},
			[]datapath.Pool{{NAT: 5, Addresses: []datapath.PoolAddress{
				{Address: netip.MustParseAddr("192.0.2.2"), Ports: []model.PortRange{{Low: 2000, High: 2999}, {Low: 4000, High: 4999}}},
				{Address: netip.MustParseAddr("192.0.2.1"), Ports: dynamicPorts},
			}}}, localPorts},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			v := hostView()
			v.config.NATs = []model.NAT{tt.nat}
			c := v.datapathConfig()
			order := func(a, b datapath.Pool) int { return cmp.Compare(a.Interface, b.Interface) }
			slices.SortStableFunc(c.Pools, order)
			slices.SortStableFunc(tt.want, order)
			if diff := gocmp.Diff(tt.want, c.Pools, compareNetip); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if c.LocalPorts != tt.watch {
				t.Errorf("ports left unwatched: %v, want %v", c.LocalPorts, tt.watch)
			}
		})
	}
}

func TestAttachments(t *testing.T) {
	t.Parallel()
	got := datapath.Config{
		Reassembly: 15,
		Insides:    map[uint32]datapath.Inside{4: {Bridge: true}, 5: {}},
		Outsides:   map[uint32]datapath.Outside{2: {}, 9: {NoEthernet: true}},
		Mappings:   map[uint32]datapath.Mapping{1: {}},
	}.Attachments()
	want := []datapath.Attachment{
		{Interface: 1, Hook: datapath.LoopbackEgress},
		{Interface: 2, Hook: datapath.OutsideEgress}, {Interface: 2, Hook: datapath.OutsideIngress},
		{Interface: 4, Hook: datapath.BridgeEgress}, {Interface: 4, Hook: datapath.BridgeIngress}, {Interface: 5, Hook: datapath.InsideIngress}, {Interface: 5, Hook: datapath.PortEgress},
		{Interface: 9, Hook: datapath.OutsideEgressL3}, {Interface: 9, Hook: datapath.OutsideIngressL3},
		{Interface: 15, Hook: datapath.ReassemblyEnter}, {Interface: 15, Hook: datapath.ReassemblyLeave},
	}
	slices.SortFunc(got, func(a, b datapath.Attachment) int {
		return cmp.Or(cmp.Compare(a.Interface, b.Interface), cmp.Compare(a.Hook, b.Hook))
	})
	if diff := gocmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestPoolsOfAddresses: which of the host's addresses what leaves may have.
func TestPoolsOfAddresses(t *testing.T) {
	t.Parallel()
	addresses := func(l host.Link) []string {
		v := view{local: localPorts, links: []host.Link{
			{Index: 1, Name: "lo", Loopback: true, Addresses: prefixes("127.0.0.1/8", "203.0.113.7/32")},
			{Index: 3, Name: "hn-web", Alias: host.Owner, Addresses: prefixes("172.16.1.1/24")},
			l,
		}}
		var got []string
		for _, p := range v.pools(model.NAT{ID: 5}) {
			if !p.Source.IsValid() {
				for _, a := range p.Addresses {
					got = append(got, a.Address.String())
				}
				got = append(got, "|")
				continue
			}
			got = append(got, p.Source.String())
		}
		return got
	}
	for _, tt := range []struct {
		name string
		link host.Link
		want []string
	}{
		{"on loopback alone", host.Link{}, []string{"203.0.113.7", "|", "203.0.113.7"}},
		{"link-local first", host.Link{Addresses: prefixes("169.254.9.9/16", "10.0.0.2/24")},
			[]string{"10.0.0.2", "169.254.9.9", "|", "10.0.0.2", "169.254.9.9", "203.0.113.7"}},
		{"of the link's scope", host.Link{Addresses: prefixes("10.9.9.9/24", "10.0.0.2/24"), Narrow: prefixes("10.9.9.9/24")},
			[]string{"10.0.0.2", "10.9.9.9", "|", "10.0.0.2", "10.9.9.9", "203.0.113.7"}},
		{"deprecated", host.Link{Addresses: prefixes("169.254.9.9/16", "10.0.0.1/24", "10.0.0.2/24"), Deprecated: prefixes("10.0.0.1/24")},
			[]string{"10.0.0.2", "10.0.0.1", "169.254.9.9", "|", "10.0.0.2", "10.0.0.1", "169.254.9.9", "203.0.113.7"}},
		{"hostnat's own", host.Link{Addresses: prefixes("10.0.0.7/32", "10.0.0.2/24"), External: prefixes("10.0.0.7/32")},
			[]string{"10.0.0.2", "|", "10.0.0.2", "203.0.113.7"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			tt.link.Index, tt.link.Name = 2, "eth0"
			if diff := gocmp.Diff(tt.want, addresses(tt.link)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// A container's end of a link is not outside while it waits to be moved there. One that
// has come up, has an address or leads elsewhere is.
func TestWaitingEndIsNotOutside(t *testing.T) {
	t.Parallel()
	v := view{config: testConfig(), links: []host.Link{
		{Index: 2, Name: "eth0", HasEthernet: true, Addresses: prefixes("192.0.2.1/24")},
		{Index: 3, Name: "waits", Type: "veth", HasEthernet: true, PeerIndex: 4, PeerNSID: -1},
		{Index: 4, Name: "up", Type: "veth", HasEthernet: true, PeerIndex: 3, PeerNSID: -1, Up: true},
		{Index: 5, Name: "addressed", Type: "veth", HasEthernet: true, PeerIndex: 3, PeerNSID: -1, Addresses: prefixes("192.0.2.3/24")},
		{Index: 6, Name: "away", Type: "veth", HasEthernet: true, PeerIndex: 3, PeerNSID: 7},
		{Index: 7, Name: "vlan", Type: "vlan", HasEthernet: true, PeerIndex: 2, PeerNSID: -1},
	}}
	var names []string
	for _, l := range v.outsides() {
		names = append(names, l.Name)
	}
	if diff := gocmp.Diff([]string{"eth0", "up", "addressed", "away", "vlan"}, names); diff != "" {
		t.Errorf("outsides (-want +got):\n%s", diff)
	}
}
