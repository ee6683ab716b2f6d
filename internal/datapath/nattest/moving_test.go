package nattest

import (
	"net/netip"
	"testing"

	"github.com/hostnat/hostnat/dev/lab"
	"github.com/hostnat/hostnat/internal/datapath"
	"github.com/hostnat/hostnat/internal/datapath/dptest"
	"github.com/hostnat/hostnat/internal/datapath/dptest/wire"
	"github.com/hostnat/hostnat/internal/model"
)

// A session on an address that the NAT lost would go on sending from it, and
// hear nothing.
func TestSessionsEndWithTheirExternalAddress(t *testing.T) {
	t.Parallel()
	r := dptest.NewRig(t, 1)
	const second = "203.0.113.9"
	server := wire.Listen(t, r.Remote, lab.RemoteAddress+":7000")
	client := wire.Listen(t, r.Endpoints[0], "172.16.1.2:4000")
	to := netip.MustParseAddrPort(lab.RemoteAddress + ":7000")
	client.Send(t, to, "before")
	if from := server.Expect(t, "before"); from.Addr() != netip.MustParseAddr(lab.HostAddress) {
		t.Fatalf("sent from %v", from)
	}
	wire.Must(t, r.Host.DeleteAddress(lab.HostLink, lab.HostAddress+lab.OutsideBits))
	wire.Must(t, r.Host.AddAddress(lab.HostLink, second+lab.OutsideBits))
	wire.Must(t, r.Host.AddRoute("0.0.0.0/0", lab.RemoteAddress))
	moved := netip.MustParseAddr(second)
	r.Config.Pools = []datapath.Pool{r.Pool(wire.RigNAT, moved, model.PortRange{Low: 2000, High: 2999})}
	delete(r.Config.HostAddresses, wire.HostAddress)
	r.Config.HostAddresses[moved] = r.Outside
	r.Apply(t)
	if n := len(r.Sessions(t)); n != 0 {
		t.Errorf("%d sessions on the address that is gone", n)
	}
	client.Send(t, to, "after")
	if from := server.Expect(t, "after"); from.Addr() != moved {
		t.Errorf("sent from %v after the address moved, want %v", from, moved)
	}
}

// The default route moves to an interface with another address: the next
// packet of an old flow notices, the one after has a session there.
func TestSessionsFollowTheRoute(t *testing.T) {
	t.Parallel()
	r := dptest.NewRig(t, 1)
	wire.Must(t, lab.Veth(r.Host, "out1", r.Remote, "eth1"))
	wire.Must(t, r.Host.AddAddress("out1", "198.51.100.1/24"))
	wire.Must(t, r.Remote.AddAddress("eth1", "198.51.100.2/24"))
	wire.Must(t, r.Remote.AddAddress("lo", "192.0.2.1/32"))
	other := wire.Ifindex(t, r.Host, "out1")
	r.Config.Outsides[other] = datapath.Outside{}
	r.Config.HostAddresses[netip.MustParseAddr("198.51.100.1")] = other
	r.Config.Pools = append(r.Config.Pools, datapath.Pool{NAT: wire.RigNAT, Interface: other, Addresses: []datapath.PoolAddress{{
		Address: netip.MustParseAddr("198.51.100.1"), Ports: []model.PortRange{{Low: 2000, High: 2999}},
	}}})
	r.Apply(t)
	r.Attach(t, other, datapath.OutsideIngress, datapath.OutsideEgress)

	server := wire.Listen(t, r.Remote, "192.0.2.1:7000")
	client := wire.Listen(t, r.Endpoints[0], "172.16.1.2:4000")
	to := netip.MustParseAddrPort("192.0.2.1:7000")
	client.Send(t, to, "before")
	if from := server.Expect(t, "before"); from.Addr() != netip.MustParseAddr(lab.HostAddress) {
		t.Fatalf("sent from %v", from)
	}
	wire.Must(t, r.Host.AddRoute("192.0.2.0/24", "198.51.100.2"))
	wire.Eventually(t, "the session to end", func() bool {
		client.Send(t, to, "moving")
		return r.Drops(t)["route-changed"] == 1
	})
	client.Send(t, to, "after")
	for {
		text, from := server.Receive(t)
		if text == "moving" {
			continue // what left by the old way within the second that a route is remembered
		}
		if from.Addr() != netip.MustParseAddr("198.51.100.1") {
			t.Errorf("sent from %v after the route moved", from)
		}
		return
	}
}
