package nattest

import (
	"net/netip"
	"testing"

	"github.com/hostnat/hostnat/dev/lab"
	"github.com/hostnat/hostnat/internal/datapath/dptest"
	"github.com/hostnat/hostnat/internal/datapath/dptest/wire"
	"github.com/hostnat/hostnat/internal/model"
)

// RFC 4787 REQ-1, RFC 5382 REQ-1: one inside port has one external port,
// whatever it talks to.

func TestOutboundReachesRemote(t *testing.T) {
	t.Parallel()
	r := dptest.NewRig(t, 1)
	ctx := wire.WithTimeout(t)
	for _, network := range []string{"tcp", "udp"} {
		server, err := lab.EchoServer(r.Remote, network, lab.RemoteAddress+":7000")
		wire.Must(t, err)
		defer server.Close()
		seen, err := lab.Ask(ctx, r.Endpoints[0], network, lab.RemoteAddress+":7000")
		if err != nil {
			t.Fatalf("%s: %v; drops %v", network, err, r.Drops(t))
		}
		if seen.Addr() != wire.HostAddress {
			t.Errorf("%s: the remote saw %v, want the host's address", network, seen)
		}
	}
	if _, err := lab.Ping(ctx, r.Endpoints[0], lab.RemoteAddress); err != nil {
		t.Fatalf("ping: %v; drops %v", err, r.Drops(t))
	}
	protocols := map[model.Protocol]bool{}
	for _, s := range r.Sessions(t) {
		protocols[s.Protocol] = true
		if s.PacketsOut == 0 || s.PacketsIn == 0 || s.NAT != wire.RigNAT || s.Network != wire.RigNetwork || s.Compartment != wire.RigCompartment {
			t.Errorf("session %+v", s)
		}
	}
	if len(protocols) != 3 {
		t.Errorf("sessions of %d protocols, want 3", len(protocols))
	}
	r.Consistent(t)
}

func TestUDPMappingIsEndpointIndependent(t *testing.T) {
	t.Parallel()
	r := dptest.NewRig(t, 1)
	wire.Must(t, r.Remote.AddAddress(lab.RemoteLink, "203.0.113.3/24"))
	client := wire.Listen(t, r.Endpoints[0], wire.Text(wire.EndpointAddress(0), "4000"))
	seen := map[netip.AddrPort]bool{}
	for _, address := range []string{"203.0.113.2:7000", "203.0.113.2:7001", "203.0.113.3:7000", "203.0.113.3:7001"} {
		server := wire.Listen(t, r.Remote, address)
		client.Send(t, netip.MustParseAddrPort(address), address)
		seen[server.Expect(t, address)] = true
	}
	if len(seen) != 1 {
		t.Errorf("four remotes saw %v, want one external address and port", seen)
	}
	if b := r.Bindings(t); len(b) != 1 || b[0].Sessions != 4 || b[0].Configured {
		t.Errorf("bindings %+v, want one with four sessions", b)
	}
	r.Consistent(t)
}

func TestTCPMappingIsEndpointIndependent(t *testing.T) {
	t.Parallel()
	r := dptest.NewRig(t, 1)
	wire.Must(t, r.Remote.AddAddress(lab.RemoteLink, "203.0.113.3/24"))
	ctx := wire.WithTimeout(t)
	seen := map[netip.AddrPort]bool{}
	for _, address := range []string{"203.0.113.2:7000", "203.0.113.2:7001", "203.0.113.3:7000", "203.0.113.3:7001"} {
		server, err := lab.EchoServer(r.Remote, "tcp", address)
		wire.Must(t, err)
		defer server.Close()
		conn, err := wire.Reuse(ctx, r.Endpoints[0], wire.Text(wire.EndpointAddress(0), "4000"), address)
		wire.Must(t, err)
		defer conn.Close()
		from, err := lab.AskConn(ctx, conn)
		wire.Must(t, err)
		seen[from] = true
	}
	if len(seen) != 1 {
		t.Errorf("four remotes saw %v, want one external address and port", seen)
	}
	r.Consistent(t)
}

// RFC 5508 REQ-1: each query identifier is a mapping of its own.
func TestEchoIdentifiersAreKeptApart(t *testing.T) {
	t.Parallel()
	r := dptest.NewRig(t, 2)
	wire.Must(t, r.Remote.AddAddress(lab.RemoteLink, "203.0.113.3/24"))
	ctx := wire.WithTimeout(t)
	ping := func(i int, id uint16, to string) {
		t.Helper()
		if _, err := (lab.EchoRequest{To: netip.MustParseAddr(to), ID: id, Size: 56}).Send(ctx, r.Endpoints[i]); err != nil {
			t.Fatalf("%v; drops %v", err, r.Drops(t))
		}
	}
	ping(0, 77, "203.0.113.2")
	ping(0, 77, "203.0.113.3")
	ping(0, 78, "203.0.113.2")
	ping(1, 77, "203.0.113.2")
	external := map[netip.AddrPort]netip.AddrPort{}
	for _, b := range r.Bindings(t) {
		external[b.External] = b.Internal
	}
	if len(r.Bindings(t)) != 3 || len(external) != 3 || len(r.Sessions(t)) != 4 {
		t.Errorf("bindings %v, %d sessions; want 3 different ones and 4 sessions", external, len(r.Sessions(t)))
	}
	// An identifier that nobody asked with gets no answer through.
	id := r.External(t, model.ICMP, wire.Inside(0, 77))
	r.FromRemote(t,
		wire.Segment{Protocol: model.ICMP, Reply: true, From: netip.AddrPortFrom(netip.MustParseAddr("203.0.113.9"), 0), To: id},
		wire.Segment{Protocol: model.ICMP, Reply: true, From: netip.AddrPortFrom(wire.RemoteAddress, 0), To: id, Payload: []byte("marker")})
	r.AtEndpoint[0].Await(t, "third reply", 3, wire.Is(model.ICMP, netip.AddrPort{}, wire.Inside(0, 77)))
	if got := r.AtEndpoint[0].Came(func(p wire.Packet) bool { return p.From.Addr() == netip.MustParseAddr("203.0.113.9") }); len(got) != 0 {
		t.Errorf("echo reply of another remote came in: %v", got)
	}
}

// RFC 4787 REQ-3: no two inside ports share an external one.
func TestSameSourcePortOfTwoEndpointsGetsTwoExternalPorts(t *testing.T) {
	t.Parallel()
	r := dptest.NewRig(t, 2)
	server := wire.Listen(t, r.Remote, lab.RemoteAddress+":7000")
	seen := map[netip.AddrPort]bool{}
	for i := range 2 {
		client := wire.Listen(t, r.Endpoints[i], wire.Text(wire.EndpointAddress(i), "4000"))
		client.Send(t, netip.AddrPortFrom(wire.RemoteAddress, 7000), "ask")
		from := server.Expect(t, "ask")
		seen[from] = true
		server.Send(t, from, "answer")
		client.Expect(t, "answer")
	}
	if len(seen) != 2 {
		t.Errorf("the remote saw %v, want two ports", seen)
	}
}

// TCP and UDP have port spaces of their own.
func TestProtocolsDoNotShareBindings(t *testing.T) {
	t.Parallel()
	r := dptest.NewRig(t, 1)
	r.Mute(t, 0)
	r.FromEndpoint(t, 0, wire.Segment{Protocol: model.UDP, From: wire.Inside(0, 4000), To: wire.Unanswered(7, 80)})
	external := r.External(t, model.UDP, wire.Inside(0, 4000))
	r.FromRemote(t,
		wire.Segment{Protocol: model.TCP, Flags: wire.Syn, From: wire.Unanswered(7, 80), To: external},
		wire.Segment{Protocol: model.UDP, From: wire.Unanswered(7, 80), To: external, Payload: []byte("marker")})
	r.AtEndpoint[0].Await(t, "marker", 1, wire.Says("marker"))
	if got := r.AtEndpoint[0].Came(wire.Is(model.TCP, netip.AddrPort{}, netip.AddrPort{})); len(got) != 0 {
		t.Errorf("a TCP segment came in by a UDP binding: %v", got)
	}
}
