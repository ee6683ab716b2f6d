package datapath

import (
	"net/netip"
	"testing"

	"github.com/hostnat/hostnat/dev/lab"
	"github.com/hostnat/hostnat/internal/model"
)

// A session on an address that the NAT lost would go on sending from it, and
// hear nothing.
func TestSessionsEndWithTheirExternalAddress(t *testing.T) {
	t.Parallel()
	r := newRig(t, 1)
	const second = "203.0.113.9"
	server := listen(t, r.Remote, lab.RemoteAddress+":7000")
	client := listen(t, r.Endpoints[0], "172.16.1.2:4000")
	to := netip.MustParseAddrPort(lab.RemoteAddress + ":7000")
	client.send(t, to, "before")
	if from := server.expect(t, "before"); from.Addr() != netip.MustParseAddr(lab.HostAddress) {
		t.Fatalf("sent from %v", from)
	}
	must(t, r.Host.DeleteAddress(lab.HostLink, lab.HostAddress+lab.OutsideBits))
	must(t, r.Host.AddAddress(lab.HostLink, second+lab.OutsideBits))
	must(t, r.Host.AddRoute("0.0.0.0/0", lab.RemoteAddress))
	moved := netip.MustParseAddr(second)
	r.config.Pools = []Pool{r.pool(rigNAT, moved, model.PortRange{Low: 2000, High: 2999})}
	delete(r.config.HostAddresses, hostAddress)
	r.config.HostAddresses[moved] = r.outside
	r.apply(t)
	if n := len(r.sessions(t)); n != 0 {
		t.Errorf("%d sessions on the address that is gone", n)
	}
	client.send(t, to, "after")
	if from := server.expect(t, "after"); from.Addr() != moved {
		t.Errorf("sent from %v after the address moved, want %v", from, moved)
	}
}

// The default route moves to an interface with another address: the next
// packet of an old flow notices, the one after has a session there.
func TestSessionsFollowTheRoute(t *testing.T) {
	t.Parallel()
	r := newRig(t, 1)
	must(t, lab.Veth(r.Host, "out1", r.Remote, "eth1"))
	must(t, r.Host.AddAddress("out1", "198.51.100.1/24"))
	must(t, r.Remote.AddAddress("eth1", "198.51.100.2/24"))
	must(t, r.Remote.AddAddress("lo", "192.0.2.1/32"))
	other := ifindex(t, r.Host, "out1")
	r.config.Outsides[other] = Outside{}
	r.config.HostAddresses[netip.MustParseAddr("198.51.100.1")] = other
	r.config.Pools = append(r.config.Pools, Pool{NAT: rigNAT, Interface: other, Addresses: []PoolAddress{{
		Address: netip.MustParseAddr("198.51.100.1"), Ports: []model.PortRange{{Low: 2000, High: 2999}},
	}}})
	r.apply(t)
	r.attach(t, other, OutsideIngress, OutsideEgress)

	server := listen(t, r.Remote, "192.0.2.1:7000")
	client := listen(t, r.Endpoints[0], "172.16.1.2:4000")
	to := netip.MustParseAddrPort("192.0.2.1:7000")
	client.send(t, to, "before")
	if from := server.expect(t, "before"); from.Addr() != netip.MustParseAddr(lab.HostAddress) {
		t.Fatalf("sent from %v", from)
	}
	must(t, r.Host.AddRoute("192.0.2.0/24", "198.51.100.2"))
	eventually(t, "the session to end", func() bool {
		client.send(t, to, "moving")
		return r.drops(t)["route-changed"] == 1
	})
	client.send(t, to, "after")
	for {
		text, from := server.receive(t)
		if text == "moving" {
			continue // what left by the old way within the second that a route is remembered
		}
		if from.Addr() != netip.MustParseAddr("198.51.100.1") {
			t.Errorf("sent from %v after the route moved", from)
		}
		return
	}
}
