package datapath

import (
	"net/netip"
	"testing"

	"github.com/hostnat/hostnat/dev/lab"
	"github.com/hostnat/hostnat/internal/model"
)

// newUnmanagedRig has endpoint 0 as always, and a veth to namespace 1 that was
// plugged into the bridge by hand with address 172.16.1.77.
func newUnmanagedRig(t *testing.T) *rig {
	t.Helper()
	r := newBareRig(t, 2)
	r.addNetwork(t, rigNetwork, "br1", Network{
		Compartment: rigCompartment, NAT: rigNAT, Subnet: netip.MustParsePrefix("172.16.1.0/24"),
		Gateway: netip.MustParseAddr("172.16.1.1"), GatewayMAC: gatewayMAC,
	})
	r.addEndpoint(t, 0, rigNetwork, endpointAddress(0))
	r.plug(t, 1, rigNetwork, unmanaged.Addr())
	r.apply(t)
	return r
}

var unmanaged = netip.MustParseAddrPort("172.16.1.77:4000")

func TestUnmanagedPortOfBridgeReachesOutside(t *testing.T) {
	t.Parallel()
	r := newUnmanagedRig(t)
	r.config.Mappings[1] = mapping(model.TCP, "203.0.113.1:8080", netip.MustParseAddrPort("172.16.1.77:80"))
	r.apply(t)
	ctx := withTimeout(t)
	for _, network := range []string{"tcp", "udp"} {
		server, err := lab.EchoServer(r.Remote, network, lab.RemoteAddress+":7000")
		must(t, err)
		defer server.Close()
		seen, err := lab.Ask(ctx, r.Endpoints[1], network, lab.RemoteAddress+":7000")
		if err != nil || seen.Addr() != hostAddress {
			t.Errorf("%s: seen as %v, %v; drops %v", network, seen, err, r.drops(t))
		}
	}
	if _, err := lab.Ping(ctx, r.Endpoints[1], lab.RemoteAddress); err != nil {
		t.Errorf("%v; drops %v", err, r.drops(t))
	}
	server, err := lab.EchoServer(r.Endpoints[1], "tcp", "172.16.1.77:80")
	must(t, err)
	defer server.Close()
	seen, err := lab.Ask(ctx, r.Remote, "tcp", published.String())
	if err != nil || seen.Addr() != remoteAddress {
		t.Errorf("published port: seen as %v, %v; drops %v", seen, err, r.drops(t))
	}
	r.consistent(t)
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
		return ethernet(mac, gatewayMAC, etherIPv4, segment{protocol: model.UDP, from: from, to: stranger(7, 80)}.ip())
	}
	r.send(t, r.Endpoints[1], "eth0",
		forged(inside(0, 4000), endpointMAC(1)),                               // an endpoint's address
		forged(netip.MustParseAddrPort("172.16.1.1:4000"), endpointMAC(1)),    // the gateway's
		forged(netip.MustParseAddrPort("203.0.113.1:4000"), endpointMAC(1)),   // the host's
		forged(netip.MustParseAddrPort("198.51.100.99:4000"), endpointMAC(1)), // of nobody here
		forged(netip.MustParseAddrPort("172.16.2.5:4000"), endpointMAC(1)))
	r.dropped(t, "spoofed-source", 5)
	r.send(t, r.Endpoints[1], "eth0", forged(unmanaged, endpointMAC(1)))
	r.atRemote.await(t, "honest packet", 1, is(model.UDP, netip.AddrPort{}, stranger(7, 80)))
	if n := len(r.sessions(t)); n != 1 {
		t.Errorf("sessions %+v, want the honest one alone", r.sessions(t))
	}
}

func TestInsideTrafficToHostAndNeighbourPasses(t *testing.T) {
	t.Parallel()
	r := newUnmanagedRig(t)
	ctx := withTimeout(t)
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
		must(t, err)
		defer server.Close()
		if _, err := lab.Ask(ctx, place.from, "tcp", place.address); err != nil {
			t.Errorf("%d: %v; drops %v", i, err, r.drops(t))
		}
	}
	if !r.empty(t) || len(r.drops(t)) != 0 {
		t.Errorf("sessions %+v, drops %v, want none", r.sessions(t), r.drops(t))
	}
}
