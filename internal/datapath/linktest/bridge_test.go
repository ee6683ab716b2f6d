package linktest

import (
	"net/netip"
	"testing"

	"github.com/hostnat/hostnat/dev/lab"
	"github.com/hostnat/hostnat/internal/datapath"
	"github.com/hostnat/hostnat/internal/datapath/dptest"
	"github.com/hostnat/hostnat/internal/datapath/dptest/wire"
	"github.com/hostnat/hostnat/internal/model"
)

// newUnmanagedRig has endpoint 0 as always, and a veth to namespace 1 that was
// plugged into the bridge by hand with address 172.16.1.77. Ports are not checked: nobody has noticed that one.
func newUnmanagedRig(t *testing.T) *dptest.Rig {
	t.Helper()
	r := dptest.NewBareRig(t, 2)
	r.AddNetwork(t, wire.RigNetwork, "br1", datapath.Network{
		Compartment: wire.RigCompartment, NAT: wire.RigNAT, Subnet: netip.MustParsePrefix("172.16.1.0/24"),
		Gateway: netip.MustParseAddr("172.16.1.1"), GatewayMAC: wire.GatewayMAC, Unguarded: true,
	})
	r.AddEndpoint(t, 0, wire.RigNetwork, wire.EndpointAddress(0))
	r.Plug(t, 1, wire.RigNetwork, unmanaged.Addr())
	r.Apply(t)
	return r
}

var unmanaged = netip.MustParseAddrPort("172.16.1.77:4000")

func TestUnmanagedPortOfBridgeReachesOutside(t *testing.T) {
	t.Parallel()
	r := newUnmanagedRig(t)
	r.Config.Mappings[1] = dptest.Mapping(model.TCP, "203.0.113.1:8080", netip.MustParseAddrPort("172.16.1.77:80"))
	r.Apply(t)
	ctx := wire.WithTimeout(t)
	for _, network := range []string{"tcp", "udp"} {
		server, err := lab.EchoServer(r.Remote, network, lab.RemoteAddress+":7000")
		wire.Must(t, err)
		defer server.Close()
		seen, err := lab.Ask(ctx, r.Endpoints[1], network, lab.RemoteAddress+":7000")
		if err != nil || seen.Addr() != wire.HostAddress {
			t.Errorf("%s: seen as %v, %v; drops %v", network, seen, err, r.Drops(t))
		}
	}
	if _, err := lab.Ping(ctx, r.Endpoints[1], lab.RemoteAddress); err != nil {
		t.Errorf("%v; drops %v", err, r.Drops(t))
	}
	server, err := lab.EchoServer(r.Endpoints[1], "tcp", "172.16.1.77:80")
	wire.Must(t, err)
	defer server.Close()
	seen, err := lab.Ask(ctx, r.Remote, "tcp", wire.Published.String())
	if err != nil || seen.Addr() != wire.RemoteAddress {
		t.Errorf("published port: seen as %v, %v; drops %v", seen, err, r.Drops(t))
	}
	r.Consistent(t)
}

func TestBulkTCPBehindUnmanagedPort(t *testing.T) {
	t.Parallel()
	r := newUnmanagedRig(t)
	bulk(t, r.Endpoints[1], r.Remote, lab.RemoteAddress+":7000", lab.RemoteAddress+":7000")
}

func TestUnmanagedPortCannotForgeManagedEndpoint(t *testing.T) {
	t.Parallel()
	r := newUnmanagedRig(t)
	forged := func(from netip.AddrPort, mac model.MAC) []byte {
		return wire.Ethernet(mac, wire.GatewayMAC, wire.EtherIPv4, wire.Segment{Protocol: model.UDP, From: from, To: wire.Unanswered(7, 80)}.IP())
	}
	r.Send(t, r.Endpoints[1], "eth0",
		forged(wire.Inside(0, 4000), dptest.EndpointMAC(1)),                          // an endpoint's address
		forged(netip.MustParseAddrPort("172.16.1.1:4000"), dptest.EndpointMAC(1)),    // the gateway's
		forged(netip.MustParseAddrPort("203.0.113.1:4000"), dptest.EndpointMAC(1)),   // the host's
		forged(netip.MustParseAddrPort("198.51.100.99:4000"), dptest.EndpointMAC(1)), // of nobody here
		forged(netip.MustParseAddrPort("172.16.2.5:4000"), dptest.EndpointMAC(1)))
	r.Dropped(t, "spoofed-source", 5)
	r.Send(t, r.Endpoints[1], "eth0", forged(unmanaged, dptest.EndpointMAC(1)))
	r.AtRemote.Await(t, "honest packet", 1, wire.Is(model.UDP, netip.AddrPort{}, wire.Unanswered(7, 80)))
	if n := len(r.Sessions(t)); n != 1 {
		t.Errorf("sessions %+v, want the honest one alone", r.Sessions(t))
	}
}

func TestInsideTrafficToHostAndNeighbourPasses(t *testing.T) {
	t.Parallel()
	r := newUnmanagedRig(t)
	ctx := wire.WithTimeout(t)
	for i, place := range []struct {
		from, at *lab.Namespace
		address  string
	}{
		{r.Endpoints[0], r.Host, "172.16.1.1:5000"}, {r.Endpoints[1], r.Host, "172.16.1.1:5001"},
		{r.Endpoints[0], r.Endpoints[1], "172.16.1.77:5002"}, {r.Endpoints[1], r.Endpoints[0], "172.16.1.2:5003"},
		{r.Endpoints[0], r.Host, "203.0.113.1:5006"}, {r.Endpoints[1], r.Host, "203.0.113.1:5007"},
		{r.Host, r.Endpoints[0], "172.16.1.2:5004"}, {r.Host, r.Endpoints[1], "172.16.1.77:5005"},
	} {
		server, err := lab.EchoServer(place.at, "tcp", place.address)
		wire.Must(t, err)
		defer server.Close()
		if _, err := lab.Ask(ctx, place.from, "tcp", place.address); err != nil {
			t.Errorf("%d: %v; drops %v", i, err, r.Drops(t))
		}
	}
	if !r.Empty(t) || len(r.Drops(t)) != 0 {
		t.Errorf("sessions %+v, drops %v, want none", r.Sessions(t), r.Drops(t))
	}
}
