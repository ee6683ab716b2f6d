package reconcile

import (
	"net/netip"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/hostnat/hostnat/internal/host"
	"github.com/hostnat/hostnat/internal/model"
)

// externalLinks are two ways out: eth0 to 192.0.2.0/24, eth1 to 198.51.100.0/24,
// of which a part is behind eth2.
func externalLinks() []host.Link {
	return []host.Link{
		{Index: 1, Name: "lo", Loopback: true, Addresses: prefixes("127.0.0.1/8")},
		{Index: 2, Name: "eth0", HasEthernet: true, Addresses: prefixes("192.0.2.1/24")},
		{Index: 3, Name: "eth1", HasEthernet: true, Addresses: prefixes("198.51.100.1/24")},
		{Index: 4, Name: "eth2", HasEthernet: true, Addresses: prefixes("198.51.100.129/25")},
		{Index: 5, Name: "hn-web", Alias: host.Owner, Addresses: prefixes("203.0.113.1/24")},
	}
}

func TestMakeExternals(t *testing.T) {
	t.Parallel()
	at := func(link, address string) []External {
		return []External{{link, netip.PrefixFrom(netip.MustParseAddr(address), 32)}}
	}
	added := func(list ...string) (out []model.ExternalAddress) {
		for _, a := range list {
			out = append(out, model.ExternalAddress{Address: netip.MustParseAddr(a), Added: true})
		}
		return out
	}
	const home = "eth0" // of the default route
	tests := []struct {
		name        string
		nat         model.NAT
		on          string // the link that has 192.0.2.9 from us
		own         string // the link that has it without us
		defaultLink string
		want        Externals
	}{
		{"nothing", model.NAT{}, "", "", home, Externals{}},
		{"in the net of a link", model.NAT{ExternalAddresses: added("198.51.100.9")}, "", "", home, Externals{Add: at("eth1", "198.51.100.9")}},
		{"in the smaller net", model.NAT{ExternalAddresses: added("198.51.100.200")}, "", "", home, Externals{Add: at("eth2", "198.51.100.200")}},
		{"in no net: the way out", model.NAT{ExternalAddresses: added("203.0.113.9")}, "", "", home, Externals{Add: at("eth0", "203.0.113.9")}},
		{"two ranges of one", model.NAT{ExternalAddresses: added("192.0.2.9", "192.0.2.9")}, "", "", home, Externals{Add: at("eth0", "192.0.2.9")}},
		{"bound to a link", model.NAT{ExternalInterfaces: []string{"gone0", "eth1", "eth0"}, ExternalAddresses: added("192.0.2.9")}, "", "", home,
			Externals{Add: at("eth1", "192.0.2.9")}},
		{"bound to a link that is gone", model.NAT{ExternalInterfaces: []string{"gone0"}, ExternalAddresses: added("192.0.2.9")}, "", "", home,
			Externals{Homeless: []netip.Addr{netip.MustParseAddr("192.0.2.9")}}},
		{"no way out", model.NAT{ExternalAddresses: added("203.0.113.9")}, "", "", "", Externals{Homeless: []netip.Addr{netip.MustParseAddr("203.0.113.9")}}},
		{"there", model.NAT{ExternalAddresses: added("192.0.2.9")}, "eth0", "", home, Externals{}},
		{"elsewhere", model.NAT{ExternalAddresses: added("192.0.2.9")}, "eth1", "", home, Externals{Add: at("eth0", "192.0.2.9"), Remove: at("eth1", "192.0.2.9")}},
		{"wanted no more", model.NAT{ExternalAddresses: added("192.0.2.8")}, "eth0", "", home, Externals{Add: at("eth0", "192.0.2.8"), Remove: at("eth0", "192.0.2.9")}},
		{"the host has it", model.NAT{ExternalAddresses: added("192.0.2.9")}, "", "eth1", home, Externals{}},
		{"the host has it now, too", model.NAT{ExternalAddresses: added("192.0.2.9")}, "eth0", "eth1", home, Externals{Remove: at("eth0", "192.0.2.9")}},
		{"the host's own is not there", model.NAT{ExternalAddresses: []model.ExternalAddress{{Address: netip.MustParseAddr("192.0.2.9")}}}, "", "", home, Externals{}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c := testConfig()
			c.NATs = append(c.NATs, tt.nat)
			links := externalLinks()
			for i := range links {
				if links[i].Name == tt.on {
					links[i].Addresses = append(links[i].Addresses, prefixes("192.0.2.9/32")...)
					links[i].External = prefixes("192.0.2.9/32")
				}
				if links[i].Name == tt.own {
					links[i].Addresses = append(links[i].Addresses, prefixes("192.0.2.9/24")...)
				}
			}
			if diff := gocmp.Diff(tt.want, MakeExternals(c, links, tt.defaultLink), compareNetip); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// An address stays where it is while there is no default route to say better.
func TestExternalStaysWithoutDefaultRoute(t *testing.T) {
	t.Parallel()
	c := testConfig()
	c.NATs[0].ExternalAddresses = []model.ExternalAddress{{Address: netip.MustParseAddr("203.0.113.9"), Added: true}}
	links := externalLinks()
	links[1].External = prefixes("203.0.113.9/32")
	links[1].Addresses = append(links[1].Addresses, links[1].External...)
	if got := MakeExternals(c, links, ""); len(got.Add)+len(got.Remove)+len(got.Homeless) != 0 {
		t.Errorf("got %+v", got)
	}
}

// An address of a NAT is no other's: who follows an interface has that one's own,
// and an address that is on no interface cannot be used.
func TestPoolsOfAddedAddresses(t *testing.T) {
	t.Parallel()
	v := hostView()
	for i := range v.links {
		if v.links[i].Name == "eth0" {
			v.links[i].Addresses = append(prefixes("192.0.2.77/32"), v.links[i].Addresses...)
			v.links[i].External = prefixes("192.0.2.77/32")
		}
	}
	for address, want := range map[string]string{"": "192.0.2.1", "192.0.2.77": "192.0.2.77", "192.0.2.78": "none"} {
		n := model.NAT{ID: 5, ExternalInterfaces: []string{"eth0"}}
		if address != "" {
			n.ExternalAddresses = []model.ExternalAddress{{Address: netip.MustParseAddr(address), Ports: model.DefaultPorts, Added: true}}
		}
		v.config.NATs = []model.NAT{n}
		got := "none"
		if pools := v.pools(n); len(pools) > 0 && len(pools[0].Addresses) > 0 {
			got = pools[0].Addresses[0].Address.String()
		}
		if got != want {
			t.Errorf("%q: got %s, want %s", address, got, want)
		}
	}
}

func TestOutsideProblems(t *testing.T) {
	t.Parallel()
	v := hostView()
	own := model.ExternalAddress{Address: netip.MustParseAddr("192.0.2.99"), Ports: model.PortRange{Low: 1, High: 2}}
	more := own
	more.Ports = model.PortRange{Low: 3, High: 4}
	v.config.NATs = []model.NAT{{Name: "office", ExternalInterfaces: []string{"eth0", "gone0"}, ExternalAddresses: []model.ExternalAddress{own, more,
		{Address: netip.MustParseAddr("192.0.2.1")}, {Address: netip.MustParseAddr("192.0.2.98"), Added: true}}}}
	want := []string{"external address 192.0.2.99 of NAT office is on no interface of the host", "external interface gone0 of NAT office does not exist"}
	if diff := gocmp.Diff(want, v.outsideProblems()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
