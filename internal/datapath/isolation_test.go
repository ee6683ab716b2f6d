package datapath

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/hostnat/hostnat/dev/lab"
	"github.com/hostnat/hostnat/internal/model"
)

const secondMAC = model.MAC("02:00:00:00:00:02")

// newTwoNetworkRig has endpoint 0 in 172.16.1.0/24 as always, and endpoint 1 in
// a second network on its own bridge.
func newTwoNetworkRig(t *testing.T, second Network, address string) *rig {
	t.Helper()
	r := newBareRig(t, 2)
	r.secondAddress(t)
	if second.NAT != rigNAT {
		r.config.NATs[second.NAT] = defaultNAT(model.ProfileRFC)
		r.config.Pools = append(r.config.Pools, r.pool(second.NAT, netip.MustParseAddr("203.0.113.10"), rigPorts...))
	}
	r.addNetwork(t, rigNetwork, "br1", Network{
		Compartment: rigCompartment, NAT: rigNAT, Subnet: netip.MustParsePrefix("172.16.1.0/24"),
		Gateway: netip.MustParseAddr("172.16.1.1"), GatewayMAC: gatewayMAC,
	})
	second.GatewayMAC = secondMAC
	r.addNetwork(t, rigNetwork+10, "br2", second)
	r.addEndpoint(t, 0, rigNetwork, endpointAddress(0))
	r.addEndpoint(t, 1, rigNetwork+10, netip.MustParseAddr(address))
	r.apply(t)
	return r
}

// bothWork has both endpoints talk at once, from the same port, and returns
// what the remote saw of each.
func (r *rig) bothWork(t *testing.T, addresses ...string) [2]netip.AddrPort {
	t.Helper()
	var clients [2]peer
	var seen [2]netip.AddrPort
	server := listen(t, r.Remote, lab.RemoteAddress+":7000")
	for i, a := range addresses {
		clients[i] = listen(t, r.Endpoints[i], a+":4000")
		clients[i].send(t, netip.AddrPortFrom(remoteAddress, 7000), fmt.Sprint("from ", i))
		seen[i] = server.expect(t, fmt.Sprint("from ", i))
	}
	for i := range clients {
		server.send(t, seen[i], fmt.Sprint("to ", i))
		clients[i].expect(t, fmt.Sprint("to ", i))
	}
	for i := range clients {
		if clients[i].pending(0) {
			t.Errorf("endpoint %d got the other's answer", i)
		}
		ctx := withTimeout(t)
		if _, err := lab.Ping(ctx, r.Endpoints[i], lab.RemoteAddress); err != nil {
			t.Error(err)
		}
	}
	if seen[0] == seen[1] {
		t.Errorf("both are seen as %v", seen[0])
	}
	r.consistent(t)
	return seen
}

func TestTwoNetworksOnOneNAT(t *testing.T) {
	t.Parallel()
	r := newTwoNetworkRig(t, Network{
		Compartment: rigCompartment, NAT: rigNAT, Subnet: netip.MustParsePrefix("172.16.2.0/24"), Gateway: netip.MustParseAddr("172.16.2.1"),
	}, "172.16.2.2")
	for _, seen := range r.bothWork(t, "172.16.1.2", "172.16.2.2") {
		if seen.Addr() != hostAddress {
			t.Errorf("seen as %v, want the NAT's address", seen)
		}
	}
	r.isolated(t)
}

func TestTwoNATsOnOneHost(t *testing.T) {
	t.Parallel()
	r := newTwoNetworkRig(t, Network{
		Compartment: rigCompartment, NAT: rigNAT + 10, Subnet: netip.MustParsePrefix("172.16.2.0/24"), Gateway: netip.MustParseAddr("172.16.2.1"),
	}, "172.16.2.2")
	seen := r.bothWork(t, "172.16.1.2", "172.16.2.2")
	if seen[0].Addr() != hostAddress || seen[1].Addr() != netip.MustParseAddr("203.0.113.10") {
		t.Errorf("seen as %v, want each NAT's own address", seen)
	}
	for _, s := range r.sessions(t) {
		if second := s.Internal.Addr() == netip.MustParseAddr("172.16.2.2"); (s.NAT == rigNAT+10) != second || (s.Network == rigNetwork+10) != second {
			t.Errorf("session %+v has the wrong NAT or network", s)
		}
	}
	r.isolated(t)
}

// isolated checks that neither network reaches the other, forwarding or not.
func (r *rig) isolated(t *testing.T) {
	t.Helper()
	first, second := inside(0, 4100), netip.MustParseAddrPort("172.16.2.2:4100")
	for round, forward := range []string{"0", "1"} {
		must(t, r.Host.Sysctl("net/ipv4/ip_forward", forward))
		must(t, r.Host.Sysctl("net/ipv4/conf/hostnat0/forwarding", "1"))
		for _, p := range []model.Protocol{model.UDP, model.TCP, model.ICMP} {
			r.fromEndpoint(t, 0, segment{protocol: p, flags: syn, from: first, to: second})
			r.send(t, r.Endpoints[1], "eth0",
				ethernet(endpointMAC(1), secondMAC, etherIPv4, segment{protocol: p, flags: syn, from: second, to: first}.ip()))
		}
		r.dropped(t, "isolated-network", uint64(6*(round+1)))
	}
	for i, w := range r.atEndpoint {
		if got := w.came(func(p packet) bool { return p.to == first || p.to == second }); len(got) != 0 {
			t.Errorf("endpoint %d got %v", i, got)
		}
	}
}

// Two compartments may use the same addresses, and the same ports of them.
func TestSameAddressInTwoCompartments(t *testing.T) {
	t.Parallel()
	r := newTwoNetworkRig(t, Network{
		Compartment: rigCompartment + 10, NAT: rigNAT, Subnet: netip.MustParsePrefix("172.16.1.0/24"), Gateway: netip.MustParseAddr("172.16.1.1"),
	}, "172.16.1.2")
	r.config.Mappings[1] = mapping(model.TCP, "203.0.113.1:8080", inside(0, 80))
	m := mapping(model.TCP, "203.0.113.1:8081", inside(0, 80))
	m.Targets[0].Network, m.Compartment = rigNetwork+10, rigCompartment+10
	r.config.Mappings[2] = m
	r.apply(t)
	r.bothWork(t, "172.16.1.2", "172.16.1.2")
	ctx := withTimeout(t)
	for i, external := range []string{"203.0.113.1:8080", "203.0.113.1:8081"} {
		server, err := lab.EchoServer(r.Endpoints[i], "tcp", "172.16.1.2:80")
		must(t, err)
		if _, err := lab.Ask(ctx, r.Remote, "tcp", external); err != nil {
			t.Errorf("%s: %v; drops %v", external, err, r.drops(t))
		}
		must(t, server.Close()) // so that the other's cannot have answered
	}
	// What ends in one compartment stays in the other.
	must(t, r.dp.EndSessions(func(s Session) bool { return s.Compartment == rigCompartment }))
	for _, s := range r.sessions(t) {
		if s.Compartment != rigCompartment+10 {
			t.Errorf("session %+v has not ended", s)
		}
	}
	if len(r.sessions(t)) == 0 {
		t.Error("the other compartment's sessions have ended too")
	}
	r.consistent(t)
}

// A network without NAT has no way out, and says why.
func TestNetworkWithoutNATStaysInside(t *testing.T) {
	t.Parallel()
	r := newRig(t, 1)
	n := r.config.Networks[rigNetwork]
	n.NAT = 0
	r.config.Networks[rigNetwork] = n
	r.apply(t)
	r.mute(t, 0)
	r.fromEndpoint(t, 0, segment{protocol: model.UDP, from: inside(0, 4000), to: stranger(7, 80)})
	r.dropped(t, "no-nat", 1)
}
