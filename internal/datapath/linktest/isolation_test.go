package linktest

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/hostnat/hostnat/dev/lab"
	"github.com/hostnat/hostnat/internal/datapath"
	"github.com/hostnat/hostnat/internal/datapath/dptest"
	"github.com/hostnat/hostnat/internal/datapath/dptest/wire"
	"github.com/hostnat/hostnat/internal/model"
)

// bothWork has both endpoints talk at once, from the same port, and returns
// what the remote saw of each.
func bothWork(t *testing.T, r *dptest.Rig, addresses ...string) [2]netip.AddrPort {
	t.Helper()
	var clients [2]wire.Peer
	var seen [2]netip.AddrPort
	server := wire.Listen(t, r.Remote, lab.RemoteAddress+":7000")
	for i, a := range addresses {
		clients[i] = wire.Listen(t, r.Endpoints[i], a+":4000")
		clients[i].Send(t, netip.AddrPortFrom(wire.RemoteAddress, 7000), fmt.Sprint("from ", i))
		seen[i] = server.Expect(t, fmt.Sprint("from ", i))
	}
	for i := range clients {
		server.Send(t, seen[i], fmt.Sprint("to ", i))
		clients[i].Expect(t, fmt.Sprint("to ", i))
	}
	for i := range clients {
		if clients[i].Pending(0) {
			t.Errorf("endpoint %d got the other's answer", i)
		}
		ctx := wire.WithTimeout(t)
		if _, err := lab.Ping(ctx, r.Endpoints[i], lab.RemoteAddress); err != nil {
			t.Error(err)
		}
	}
	if seen[0] == seen[1] {
		t.Errorf("both are seen as %v", seen[0])
	}
	r.Consistent(t)
	return seen
}

func TestTwoNetworksOnOneNAT(t *testing.T) {
	t.Parallel()
	r := dptest.NewTwoNetworkRig(t, datapath.Network{
		Compartment: wire.RigCompartment, NAT: wire.RigNAT, Subnet: netip.MustParsePrefix("172.16.2.0/24"), Gateway: netip.MustParseAddr("172.16.2.1"),
	}, "172.16.2.2")
	for _, seen := range bothWork(t, r, "172.16.1.2", "172.16.2.2") {
		if seen.Addr() != wire.HostAddress {
			t.Errorf("seen as %v, want the NAT's address", seen)
		}
	}
	isolated(t, r)
}

func TestTwoNATsOnOneHost(t *testing.T) {
	t.Parallel()
	r := dptest.NewTwoNetworkRig(t, datapath.Network{
		Compartment: wire.RigCompartment, NAT: wire.RigNAT + 10, Subnet: netip.MustParsePrefix("172.16.2.0/24"), Gateway: netip.MustParseAddr("172.16.2.1"),
	}, "172.16.2.2")
	seen := bothWork(t, r, "172.16.1.2", "172.16.2.2")
	if seen[0].Addr() != wire.HostAddress || seen[1].Addr() != netip.MustParseAddr("203.0.113.10") {
		t.Errorf("seen as %v, want each NAT's own address", seen)
	}
	for _, s := range r.Sessions(t) {
		if second := s.Internal.Addr() == netip.MustParseAddr("172.16.2.2"); (s.NAT == wire.RigNAT+10) != second || (s.Network == wire.RigNetwork+10) != second {
			t.Errorf("session %+v has the wrong NAT or network", s)
		}
	}
	isolated(t, r)
}

// isolated checks that neither network reaches the other, forwarding or not.
func isolated(t *testing.T, r *dptest.Rig) {
	t.Helper()
	first, second := wire.Inside(0, 4100), netip.MustParseAddrPort("172.16.2.2:4100")
	for round, forward := range []string{"0", "1"} {
		wire.Must(t, r.Host.Sysctl("net/ipv4/ip_forward", forward))
		wire.Must(t, r.Host.Sysctl("net/ipv4/conf/hostnat0/forwarding", "1"))
		for _, p := range []model.Protocol{model.UDP, model.TCP, model.ICMP} {
			r.FromEndpoint(t, 0, wire.Segment{Protocol: p, Flags: wire.Syn, From: first, To: second})
			r.Send(t, r.Endpoints[1], "eth0",
				wire.Ethernet(dptest.EndpointMAC(1), wire.SecondMAC, wire.EtherIPv4, wire.Segment{Protocol: p, Flags: wire.Syn, From: second, To: first}.IP()))
		}
		r.Dropped(t, "isolated-network", uint64(6*(round+1)))
	}
	for i, w := range r.AtEndpoint {
		if got := w.Came(func(p wire.Packet) bool { return p.To == first || p.To == second }); len(got) != 0 {
			t.Errorf("endpoint %d got %v", i, got)
		}
	}
}

// Two compartments may use the same addresses, and the same ports of them.
func TestSameAddressInTwoCompartments(t *testing.T) {
	t.Parallel()
	r := dptest.NewTwoNetworkRig(t, datapath.Network{
		Compartment: wire.RigCompartment + 10, NAT: wire.RigNAT, Subnet: netip.MustParsePrefix("172.16.1.0/24"), Gateway: netip.MustParseAddr("172.16.1.1"),
	}, "172.16.1.2")
	r.Config.Mappings[1] = dptest.Mapping(model.TCP, "203.0.113.1:8080", wire.Inside(0, 80))
	m := dptest.Mapping(model.TCP, "203.0.113.1:8081", wire.Inside(0, 80))
	m.Targets[0].Network, m.Compartment = wire.RigNetwork+10, wire.RigCompartment+10
	r.Config.Mappings[2] = m
	r.Apply(t)
	bothWork(t, r, "172.16.1.2", "172.16.1.2")
	ctx := wire.WithTimeout(t)
	for i, external := range []string{"203.0.113.1:8080", "203.0.113.1:8081"} {
		server, err := lab.EchoServer(r.Endpoints[i], "tcp", "172.16.1.2:80")
		wire.Must(t, err)
		if _, err := lab.Ask(ctx, r.Remote, "tcp", external); err != nil {
			t.Errorf("%s: %v; drops %v", external, err, r.Drops(t))
		}
		wire.Must(t, server.Close()) // so that the other's cannot have answered
	}
	// What ends in one compartment stays in the other.
	wire.Must(t, r.Datapath.EndSessions(func(s datapath.Session) bool { return s.Compartment == wire.RigCompartment }))
	for _, s := range r.Sessions(t) {
		if s.Compartment != wire.RigCompartment+10 {
			t.Errorf("session %+v has not ended", s)
		}
	}
	if len(r.Sessions(t)) == 0 {
		t.Error("the other compartment's sessions have ended too")
	}
	r.Consistent(t)
}

// A network without NAT has no way out, and says why.
func TestNetworkWithoutNATStaysInside(t *testing.T) {
	t.Parallel()
	r := dptest.NewRig(t, 1)
	n := r.Config.Networks[wire.RigNetwork]
	n.NAT = 0
	r.Config.Networks[wire.RigNetwork] = n
	r.Apply(t)
	r.Mute(t, 0)
	r.FromEndpoint(t, 0, wire.Segment{Protocol: model.UDP, From: wire.Inside(0, 4000), To: wire.Unanswered(7, 80)})
	r.Dropped(t, "no-nat", 1)
}
