package host

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/hostnat/hostnat/dev/lab"
	"github.com/hostnat/hostnat/internal/host/hosttest"
	"github.com/hostnat/hostnat/internal/model"
	"github.com/vishvananda/netlink"
)

func TestFacts(t *testing.T) {
	t.Parallel()
	top := lab.StartTopology(t, 0)
	ensureBridge(t, top.Host, testBridge())
	hosttest.Must(t, lab.Veth(top.Host, "lan1", top.Remote, "x"), top.Host.AddAddress("lan1", "10.20.0.1/16"),
		top.Host.AddRoute("10.99.0.0/16", "10.20.0.2"), top.Host.SetMTU(lab.HostLink, 1450),
		top.Host.Sysctl("net/ipv4/ip_local_port_range", "40000 40999"))
	addOtherTable(t, top.Host, "10.77.0.0/16", "10.20.0.3")
	var got model.HostFacts
	hosttest.On(t, top.Host, func() (err error) {
		got, err = Facts(t.Context(), func(link string) bool { return link == "hn-web" })
		return err
	})
	want := model.HostFacts{
		Prefixes: []model.HostPrefix{
			{Prefix: netip.MustParsePrefix("127.0.0.0/8"), Source: "address of lo"},
			{Prefix: netip.MustParsePrefix("203.0.113.0/24"), Source: "address of out0"},
			{Prefix: netip.MustParsePrefix("10.20.0.0/16"), Source: "address of lan1"},
			{Prefix: netip.MustParsePrefix("10.77.0.0/16"), Source: "route via lan1"},
			{Prefix: netip.MustParsePrefix("10.99.0.0/16"), Source: "route via lan1"},
		},
		Addresses: []model.HostAddress{
			{Address: netip.MustParseAddr("203.0.113.1"), Interface: "out0"},
			{Address: netip.MustParseAddr("10.20.0.1"), Interface: "lan1"},
		},
		Routers: []model.HostMachine{
			{Address: netip.MustParseAddr("10.20.0.3"), Source: "router of 10.77.0.0/16 via lan1"},
			{Address: netip.MustParseAddr("203.0.113.2"), Source: "router of the default route via out0"},
			{Address: netip.MustParseAddr("10.20.0.2"), Source: "router of 10.99.0.0/16 via lan1"},
		},
		DefaultInterface: "out0",
		Interfaces:       []string{"out0", "lan1"},
		LocalPorts:       model.PortRange{Low: 40000, High: 40999},
		MTU:              1450,
	}
	if diff := cmp.Diff(want, got, comparePrefixes); diff != "" {
		t.Errorf("facts (-want +got):\n%s", diff)
	}
}

// What the host has by itself on a bridge that a network has adopted counts apart;
// what hostnat has lent to it does not.
func TestFactsOfAnAdoptedBridge(t *testing.T) {
	t.Parallel()
	n := hosttest.New(t)
	hosttest.Must(t, n.AddBridge("br0"), n.AddAddress("br0", "10.5.0.3/24"), n.AddRoute("10.9.0.0/16", "10.5.0.9"))
	var got model.HostFacts
	hosttest.On(t, n, func() error {
		if _, _, err := AdoptBridge(t.Context(), "br0", netip.MustParsePrefix("172.16.1.1/24"), false); err != nil {
			return err
		}
		var err error
		got, err = Facts(t.Context(), func(link string) bool { return link == "br0" })
		return err
	})
	want := []model.HostPrefix{
		{Prefix: netip.MustParsePrefix("10.5.0.3/24"), Source: "address of br0"},
		{Prefix: netip.MustParsePrefix("10.9.0.0/16"), Source: "route via br0"},
	}
	if diff := cmp.Diff(want, got.Adopted, comparePrefixes); diff != "" || len(got.Addresses) != 0 || len(got.Interfaces) != 0 {
		t.Errorf("addresses %v, interfaces %v, adopted (-want +got):\n%s", got.Addresses, got.Interfaces, diff)
	}
}

func addOtherTable(t *testing.T, n *lab.Namespace, prefix, gateway string) {
	t.Helper()
	hosttest.On(t, n, func() error {
		return netlink.RouteAdd(&netlink.Route{
			Table: 100, Dst: ipNet(netip.MustParsePrefix(prefix)), Gw: netip.MustParseAddr(gateway).AsSlice(),
		})
	})
}

func TestDefaultInterface(t *testing.T) {
	t.Parallel()
	n := hosttest.New(t)
	hosttest.Must(t, lab.Veth(n, "a", n, "b"), n.AddAddress("a", "10.1.0.1/24"), n.AddAddress("b", "10.2.0.1/24"))
	want := func(link string, mtu int) {
		t.Helper()
		hosttest.On(t, n, func() error {
			facts, err := Facts(t.Context(), nil)
			if facts.DefaultInterface != link || facts.MTU != mtu {
				t.Errorf("default interface %q, MTU %d; want %q, %d", facts.DefaultInterface, facts.MTU, link, mtu)
			}
			for _, p := range facts.Prefixes {
				if p.Prefix.Bits() <= 1 {
					t.Errorf("default route %v counts as a prefix", p)
				}
			}
			return err
		})
	}
	add := func(r netlink.Route, dst, gateway string) {
		t.Helper()
		r.Dst, r.Gw = ipNet(netip.MustParsePrefix(dst)), netip.MustParseAddr(gateway).AsSlice()
		hosttest.On(t, n, func() error { return netlink.RouteAdd(&r) })
	}
	want("", 1500)
	add(netlink.Route{Priority: 200}, "0.0.0.0/0", "10.1.0.2")
	want("a", 1500)
	add(netlink.Route{Priority: 100, MTU: 1300}, "0.0.0.0/0", "10.2.0.2")
	want("b", 1300)
	add(netlink.Route{Priority: 500}, "0.0.0.0/1", "10.1.0.2") // a VPN's two halves
	add(netlink.Route{Priority: 500}, "128.0.0.0/1", "10.1.0.2")
	want("a", 1500)
}
