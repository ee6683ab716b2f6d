package datapath

import (
	"context"
	"net/netip"
	"testing"

	"github.com/hostnat/hostnat/dev/lab"
	"github.com/hostnat/hostnat/internal/model"
)

// Design, rule 4: the host's ports are the host's.

func TestPortsOfHostListenersAreNotGivenOut(t *testing.T) {
	t.Parallel()
	r := newTinyRig(t, 4)
	for _, address := range []string{":5000", lab.HostAddress + ":5002"} {
		listener, err := r.Host.Listen("tcp4", address)
		must(t, err)
		defer listener.Close()
	}
	listen(t, r.Host, ":5001")
	listen(t, r.Host, lab.HostAddress+":5003")
	wantPorts(t, r.usable(t, model.TCP), 5001, 5003)
	wantPorts(t, r.usable(t, model.UDP), 5000, 5002)
}

// A dual-stack listener holds the port of IPv4 too.
func TestPortOfDualStackListenerIsNotGivenOut(t *testing.T) {
	t.Parallel()
	r := newTinyRig(t, 2)
	must(t, r.Host.Sysctl("net/ipv6/conf/all/disable_ipv6", "0"))
	listener, err := r.Host.Listen("tcp", "[::]:5000")
	must(t, err)
	defer listener.Close()
	udp, err := r.Host.ListenPacket("udp", "[::]:5001")
	must(t, err)
	defer udp.Close()
	wantPorts(t, r.usable(t, model.TCP), 5001)
	wantPorts(t, r.usable(t, model.UDP), 5000)
}

// A connected socket is found by its own remote only; its port is the host's all
// the same, and stays so for a while after the socket is closed.
func TestPortsTheHostTalksFromAreNotGivenOut(t *testing.T) {
	t.Parallel()
	r := newTinyRig(t, 4)
	ctx := withTimeout(t)
	server, err := lab.EchoServer(r.Remote, "tcp", lab.RemoteAddress+":7000")
	must(t, err)
	defer server.Close()
	udp, err := r.Host.DialFrom(ctx, "udp4", lab.HostAddress+":5001", lab.RemoteAddress+":7001")
	must(t, err)
	defer udp.Close()
	_, err = udp.Write([]byte("mine"))
	must(t, err)
	closed := listen(t, r.Host, lab.HostAddress+":5002")
	closed.send(t, netip.AddrPortFrom(remoteAddress, 7001), "mine too")
	closed.Close()
	tcp, err := r.Host.DialFrom(ctx, "tcp4", lab.HostAddress+":5003", lab.RemoteAddress+":7000")
	must(t, err)
	defer tcp.Close()
	r.atRemote.await(t, "the host's packets", 2, func(p packet) bool { return p.protocol == model.UDP })
	wantPorts(t, r.usable(t, model.UDP), 5000, 5003)
	wantPorts(t, r.usable(t, model.TCP), 5000, 5001, 5002)
}

// The host's ping identifiers are the host's.
func TestEchoIdentifiersOfTheHostAreNotGivenOut(t *testing.T) {
	t.Parallel()
	r := newTinyRig(t, 3)
	if _, err := (lab.EchoRequest{To: remoteAddress, ID: 5001}).Send(withTimeout(t), r.Host); err != nil {
		t.Fatal(err)
	}
	wantPorts(t, r.usable(t, model.ICMP), 5000, 5002)
}

// A port that a NAT's flows use does not become the host's by that.
func TestOwnFlowsDoNotBlockTheirPorts(t *testing.T) {
	t.Parallel()
	r := newTinyRig(t, 1)
	r.mute(t, 0)
	for range 3 {
		if r.flow(t, model.UDP, 4000) != 5000 {
			t.Fatal("the only port was not given out")
		}
		must(t, r.dp.EndSessions(func(Session) bool { return true }))
	}
}

// A program that binds a port in dynamic use gets what no session expects, and
// the flow lives on.
func TestHostProgramSharesPortInDynamicUse(t *testing.T) {
	t.Parallel()
	r := newTinyRig(t, 1)
	must(t, r.Remote.AddAddress(lab.RemoteLink, "203.0.113.3/24"))
	client := listen(t, r.Endpoints[0], text(endpointAddress(0), "4000"))
	remote := listen(t, r.Remote, "203.0.113.2:7000")
	client.send(t, netip.MustParseAddrPort("203.0.113.2:7000"), "ask")
	external := remote.expect(t, "ask")

	program := listen(t, r.Host, external.String())
	other := listen(t, r.Remote, "203.0.113.3:7000")
	other.send(t, external, "for the program")
	other.expect(t, program.echo(t, "for the program"))
	samePeer := listen(t, r.Remote, "203.0.113.2:7001")
	samePeer.send(t, external, "for the program too")
	samePeer.expect(t, program.echo(t, "for the program too"))

	remote.send(t, external, "for the endpoint")
	client.expect(t, "for the endpoint")
	client.send(t, netip.MustParseAddrPort("203.0.113.2:7000"), "still me")
	if from := remote.expect(t, "still me"); from != external {
		t.Errorf("the flow moved to %v", from)
	}
	if program.pending(0) || client.pending(0) {
		t.Error("a packet went to both or to the wrong one")
	}
	program.send(t, netip.MustParseAddrPort("203.0.113.3:7000"), "on its own")
	if from := other.expect(t, "on its own"); from != external {
		t.Errorf("the program speaks from %v", from)
	}
}

// Port shadowing: an endpoint that sends from the port of a host's service, even
// to the very client that the service has, captures nothing.
func TestEndpointCannotShadowHostService(t *testing.T) {
	t.Parallel()
	r := newRig(t, 1)
	service := listen(t, r.Host, hostAddress.String()+":4000")
	remote := listen(t, r.Remote, lab.RemoteAddress+":7000")
	client := listen(t, r.Endpoints[0], text(endpointAddress(0), "4000"))
	client.send(t, netip.AddrPortFrom(remoteAddress, 7000), "from inside")
	if from := remote.expect(t, "from inside"); from.Port() == 4000 {
		t.Errorf("the endpoint is seen as %v, which is the service", from)
	}
	remote.send(t, netip.AddrPortFrom(hostAddress, 4000), "for the service")
	remote.expect(t, service.echo(t, "for the service"))
	if client.pending(0) {
		t.Error("the endpoint got the service's packet")
	}
}

// echo sends what was received back to its sender and returns it.
func (p peer) echo(t *testing.T, text string) string {
	t.Helper()
	p.send(t, p.expect(t, text), text)
	return text
}

func TestHostListenerOnTCPPortInDynamicUse(t *testing.T) {
	t.Parallel()
	r := newTinyRig(t, 1)
	ctx := withTimeout(t)
	server, err := lab.EchoServer(r.Remote, "tcp", lab.RemoteAddress+":7000")
	must(t, err)
	defer server.Close()
	conn, err := r.Endpoints[0].Dial(ctx, "tcp", lab.RemoteAddress+":7000")
	must(t, err)
	defer conn.Close()
	external, err := lab.AskConn(ctx, conn)
	must(t, err)
	program, err := lab.EchoServer(r.Host, "tcp", external.String())
	must(t, err)
	defer program.Close()
	seen, err := lab.Ask(ctx, r.Remote, "tcp", external.String())
	if err != nil || seen.Addr() != remoteAddress {
		t.Errorf("the host's program: %v, %v; drops %v", seen, err, r.drops(t))
	}
	_, err = conn.Write([]byte("alive"))
	must(t, err)
	if n, err := conn.Read(make([]byte, 5)); n != 5 {
		t.Errorf("the endpoint's connection: %v", err)
	}
	r.consistent(t)
}

// A host program on a mapped port loses: the mapping was asked for.
func TestMappingComesBeforeHostProgram(t *testing.T) {
	t.Parallel()
	r := newRig(t, 1)
	program := listen(t, r.Host, ":8080")
	r.config.Mappings[1] = mapping(model.UDP, "203.0.113.1:8080", inside(0, 80))
	r.apply(t)
	server := listen(t, r.Endpoints[0], text(endpointAddress(0), "80"))
	client := listen(t, r.Remote, lab.RemoteAddress+":7000")
	client.send(t, published, "for the mapping")
	server.expect(t, "for the mapping")
	if program.pending(0) {
		t.Error("the host's program got it too")
	}
}

// A mapping does not take the replies to the host's own connection that has,
// by chance, the mapped port as its source.
func TestHostTalksFromMappedPort(t *testing.T) {
	t.Parallel()
	r := newRig(t, 1)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for id, protocol := range map[uint32]model.Protocol{1: model.TCP, 2: model.UDP} {
		r.config.Mappings[id] = mapping(protocol, "0.0.0.0:40000", inside(0, 80))
	}
	r.apply(t)
	for _, network := range []string{"tcp", "udp"} {
		server, err := lab.EchoServer(r.Remote, network, lab.RemoteAddress+":7000")
		must(t, err)
		defer server.Close()
		conn, err := r.Host.DialFrom(ctx, network, lab.HostAddress+":40000", lab.RemoteAddress+":7000")
		if err != nil {
			t.Fatalf("%s from a mapped port: %v; drops %v", network, err, r.drops(t))
		}
		defer conn.Close()
		seen, err := lab.AskConn(ctx, conn)
		must(t, err)
		if want := netip.MustParseAddrPort(lab.HostAddress + ":40000"); seen != want {
			t.Errorf("%s: the remote saw %v, want %v", network, seen, want)
		}
	}
}
