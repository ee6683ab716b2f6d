package datapath

import (
	"net/netip"
	"testing"

	"github.com/hostnat/hostnat/dev/lab"
	"github.com/hostnat/hostnat/internal/model"
)

// RFC 4787 REQ-1, RFC 5382 REQ-1: one inside port has one external port,
// whatever it talks to.

func TestOutboundReachesRemote(t *testing.T) {
	t.Parallel()
	r := newRig(t, 1)
	ctx := withTimeout(t)
	for _, network := range []string{"tcp", "udp"} {
		server, err := lab.EchoServer(r.Remote, network, lab.RemoteAddress+":7000")
		must(t, err)
		defer server.Close()
		seen, err := lab.Ask(ctx, r.Endpoints[0], network, lab.RemoteAddress+":7000")
		if err != nil {
			t.Fatalf("%s: %v; drops %v", network, err, r.drops(t))
		}
		if seen.Addr() != hostAddress {
			t.Errorf("%s: the remote saw %v, want the host's address", network, seen)
		}
	}
	if _, err := lab.Ping(ctx, r.Endpoints[0], lab.RemoteAddress); err != nil {
		t.Fatalf("ping: %v; drops %v", err, r.drops(t))
	}
	protocols := map[model.Protocol]bool{}
	for _, s := range r.sessions(t) {
		protocols[s.Protocol] = true
		if s.PacketsOut == 0 || s.PacketsIn == 0 || s.NAT != rigNAT || s.Network != rigNetwork || s.Compartment != rigCompartment {
			t.Errorf("session %+v", s)
		}
	}
	if len(protocols) != 3 {
		t.Errorf("sessions of %d protocols, want 3", len(protocols))
	}
	r.consistent(t)
}

func TestUDPMappingIsEndpointIndependent(t *testing.T) {
	t.Parallel()
	r := newRig(t, 1)
	must(t, r.Remote.AddAddress(lab.RemoteLink, "203.0.113.3/24"))
	client := listen(t, r.Endpoints[0], text(endpointAddress(0), "4000"))
	seen := map[netip.AddrPort]bool{}
	for _, address := range []string{"203.0.113.2:7000", "203.0.113.2:7001", "203.0.113.3:7000", "203.0.113.3:7001"} {
		server := listen(t, r.Remote, address)
		client.send(t, netip.MustParseAddrPort(address), address)
		seen[server.expect(t, address)] = true
	}
	if len(seen) != 1 {
		t.Errorf("four remotes saw %v, want one external address and port", seen)
	}
	if b := r.bindings(t); len(b) != 1 || b[0].Sessions != 4 || b[0].Configured {
		t.Errorf("bindings %+v, want one with four sessions", b)
	}
	r.consistent(t)
}

func TestTCPMappingIsEndpointIndependent(t *testing.T) {
	t.Parallel()
	r := newRig(t, 1)
	must(t, r.Remote.AddAddress(lab.RemoteLink, "203.0.113.3/24"))
	ctx := withTimeout(t)
	seen := map[netip.AddrPort]bool{}
	for _, address := range []string{"203.0.113.2:7000", "203.0.113.2:7001", "203.0.113.3:7000", "203.0.113.3:7001"} {
		server, err := lab.EchoServer(r.Remote, "tcp", address)
		must(t, err)
		defer server.Close()
		conn, err := reuse(ctx, r.Endpoints[0], text(endpointAddress(0), "4000"), address)
		must(t, err)
		defer conn.Close()
		from, err := lab.AskConn(ctx, conn)
		must(t, err)
		seen[from] = true
	}
	if len(seen) != 1 {
		t.Errorf("four remotes saw %v, want one external address and port", seen)
	}
	r.consistent(t)
}

// RFC 5508 REQ-1: each query identifier is a mapping of its own.
func TestEchoIdentifiersAreKeptApart(t *testing.T) {
	t.Parallel()
	r := newRig(t, 2)
	must(t, r.Remote.AddAddress(lab.RemoteLink, "203.0.113.3/24"))
	ctx := withTimeout(t)
	ping := func(i int, id uint16, to string) {
		t.Helper()
		if _, err := (lab.EchoRequest{To: netip.MustParseAddr(to), ID: id, Size: 56}).Send(ctx, r.Endpoints[i]); err != nil {
			t.Fatalf("%v; drops %v", err, r.drops(t))
		}
	}
	ping(0, 77, "203.0.113.2")
	ping(0, 77, "203.0.113.3")
	ping(0, 78, "203.0.113.2")
	ping(1, 77, "203.0.113.2")
	external := map[netip.AddrPort]netip.AddrPort{}
	for _, b := range r.bindings(t) {
		external[b.External] = b.Internal
	}
	if len(r.bindings(t)) != 3 || len(external) != 3 || len(r.sessions(t)) != 4 {
		t.Errorf("bindings %v, %d sessions; want 3 different ones and 4 sessions", external, len(r.sessions(t)))
	}
	// An identifier that nobody asked with gets no answer through.
	id := r.external(t, model.ICMP, inside(0, 77))
	r.fromRemote(t,
		segment{protocol: model.ICMP, reply: true, from: netip.AddrPortFrom(netip.MustParseAddr("203.0.113.9"), 0), to: id},
		segment{protocol: model.ICMP, reply: true, from: netip.AddrPortFrom(remoteAddress, 0), to: id, payload: []byte("marker")})
	r.atEndpoint[0].await(t, "third reply", 3, is(model.ICMP, netip.AddrPort{}, inside(0, 77)))
	if got := r.atEndpoint[0].came(func(p packet) bool { return p.from.Addr() == netip.MustParseAddr("203.0.113.9") }); len(got) != 0 {
		t.Errorf("echo reply of another remote came in: %v", got)
	}
}

// RFC 4787 REQ-3: no two inside ports share an external one.
func TestSameSourcePortOfTwoEndpointsGetsTwoExternalPorts(t *testing.T) {
	t.Parallel()
	r := newRig(t, 2)
	server := listen(t, r.Remote, lab.RemoteAddress+":7000")
	seen := map[netip.AddrPort]bool{}
	for i := range 2 {
		client := listen(t, r.Endpoints[i], text(endpointAddress(i), "4000"))
		client.send(t, netip.AddrPortFrom(remoteAddress, 7000), "ask")
		from := server.expect(t, "ask")
		seen[from] = true
		server.send(t, from, "answer")
		client.expect(t, "answer")
	}
	if len(seen) != 2 {
		t.Errorf("the remote saw %v, want two ports", seen)
	}
}

// TCP and UDP have port spaces of their own.
func TestProtocolsDoNotShareBindings(t *testing.T) {
	t.Parallel()
	r := newRig(t, 1)
	r.mute(t, 0)
	r.fromEndpoint(t, 0, segment{protocol: model.UDP, from: inside(0, 4000), to: stranger(7, 80)})
	external := r.external(t, model.UDP, inside(0, 4000))
	r.fromRemote(t,
		segment{protocol: model.TCP, flags: syn, from: stranger(7, 80), to: external},
		segment{protocol: model.UDP, from: stranger(7, 80), to: external, payload: []byte("marker")})
	r.atEndpoint[0].await(t, "marker", 1, says("marker"))
	if got := r.atEndpoint[0].came(is(model.TCP, netip.AddrPort{}, netip.AddrPort{})); len(got) != 0 {
		t.Errorf("a TCP segment came in by a UDP binding: %v", got)
	}
}
