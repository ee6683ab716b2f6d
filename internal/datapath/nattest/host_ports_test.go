package nattest

import (
	"context"
	"net/netip"
	"testing"

	"github.com/hostnat/hostnat/dev/lab"
	"github.com/hostnat/hostnat/internal/datapath"
	"github.com/hostnat/hostnat/internal/datapath/dptest"
	"github.com/hostnat/hostnat/internal/datapath/dptest/wire"
	"github.com/hostnat/hostnat/internal/model"
)

// Design, rule 4: the host's ports are the host's.

func TestPortsOfHostListenersAreNotGivenOut(t *testing.T) {
	t.Parallel()
	r := newTinyRig(t, 4)
	for _, address := range []string{":5000", lab.HostAddress + ":5002"} {
		listener, err := r.Host.Listen("tcp4", address)
		wire.Must(t, err)
		defer listener.Close()
	}
	wire.Listen(t, r.Host, ":5001")
	wire.Listen(t, r.Host, lab.HostAddress+":5003")
	wantPorts(t, usable(t, r, model.TCP), 5001, 5003)
	wantPorts(t, usable(t, r, model.UDP), 5000, 5002)
}

// A dual-stack listener holds the port of IPv4 too.
func TestPortOfDualStackListenerIsNotGivenOut(t *testing.T) {
	t.Parallel()
	r := newTinyRig(t, 2)
	wire.Must(t, r.Host.Sysctl("net/ipv6/conf/all/disable_ipv6", "0"))
	listener, err := r.Host.Listen("tcp", "[::]:5000")
	wire.Must(t, err)
	defer listener.Close()
	udp, err := r.Host.ListenPacket("udp", "[::]:5001")
	wire.Must(t, err)
	defer udp.Close()
	wantPorts(t, usable(t, r, model.TCP), 5001)
	wantPorts(t, usable(t, r, model.UDP), 5000)
}

// A connected socket is found by its own remote only; its port is the host's all
// the same, and stays so for a while after the socket is closed.
func TestPortsTheHostTalksFromAreNotGivenOut(t *testing.T) {
	t.Parallel()
	r := newTinyRig(t, 4)
	ctx := wire.WithTimeout(t)
	server, err := lab.EchoServer(r.Remote, "tcp", lab.RemoteAddress+":7000")
	wire.Must(t, err)
	defer server.Close()
	udp, err := r.Host.DialFrom(ctx, "udp4", lab.HostAddress+":5001", lab.RemoteAddress+":7001")
	wire.Must(t, err)
	defer udp.Close()
	_, err = udp.Write([]byte("mine"))
	wire.Must(t, err)
	closed := wire.Listen(t, r.Host, lab.HostAddress+":5002")
	closed.Send(t, netip.AddrPortFrom(wire.RemoteAddress, 7001), "mine too")
	closed.Close()
	tcp, err := r.Host.DialFrom(ctx, "tcp4", lab.HostAddress+":5003", lab.RemoteAddress+":7000")
	wire.Must(t, err)
	defer tcp.Close()
	r.AtRemote.Await(t, "the host's packets", 2, func(p wire.Packet) bool { return p.Protocol == model.UDP })
	wantPorts(t, usable(t, r, model.UDP), 5000, 5003)
	wantPorts(t, usable(t, r, model.TCP), 5000, 5001, 5002)
}

// The host's ping identifiers are the host's.
func TestEchoIdentifiersOfTheHostAreNotGivenOut(t *testing.T) {
	t.Parallel()
	r := newTinyRig(t, 3)
	if _, err := (lab.EchoRequest{To: wire.RemoteAddress, ID: 5001}).Send(wire.WithTimeout(t), r.Host); err != nil {
		t.Fatal(err)
	}
	wantPorts(t, usable(t, r, model.ICMP), 5000, 5002)
}

// A port that a NAT's flows use does not become the host's by that.
func TestOwnFlowsDoNotBlockTheirPorts(t *testing.T) {
	t.Parallel()
	r := newTinyRig(t, 1)
	r.Mute(t, 0)
	for range 3 {
		if flow(t, r, model.UDP, 4000) != 5000 {
			t.Fatal("the only port was not given out")
		}
		wire.Must(t, r.Datapath.EndSessions(func(datapath.Session) bool { return true }))
	}
}

// A program that binds a port in dynamic use gets what no session expects, and
// the flow lives on.
func TestHostProgramSharesPortInDynamicUse(t *testing.T) {
	t.Parallel()
	r := newTinyRig(t, 1)
	wire.Must(t, r.Remote.AddAddress(lab.RemoteLink, "203.0.113.3/24"))
	client := wire.Listen(t, r.Endpoints[0], wire.Text(wire.EndpointAddress(0), "4000"))
	remote := wire.Listen(t, r.Remote, "203.0.113.2:7000")
	client.Send(t, netip.MustParseAddrPort("203.0.113.2:7000"), "ask")
	external := remote.Expect(t, "ask")

	program := wire.Listen(t, r.Host, external.String())
	other := wire.Listen(t, r.Remote, "203.0.113.3:7000")
	other.Send(t, external, "for the program")
	other.Expect(t, program.Echo(t, "for the program"))
	samePeer := wire.Listen(t, r.Remote, "203.0.113.2:7001")
	samePeer.Send(t, external, "for the program too")
	samePeer.Expect(t, program.Echo(t, "for the program too"))

	remote.Send(t, external, "for the endpoint")
	client.Expect(t, "for the endpoint")
	client.Send(t, netip.MustParseAddrPort("203.0.113.2:7000"), "still me")
	if from := remote.Expect(t, "still me"); from != external {
		t.Errorf("the flow moved to %v", from)
	}
	if program.Pending(0) || client.Pending(0) {
		t.Error("a packet went to both or to the wrong one")
	}
	program.Send(t, netip.MustParseAddrPort("203.0.113.3:7000"), "on its own")
	if from := other.Expect(t, "on its own"); from != external {
		t.Errorf("the program speaks from %v", from)
	}
}

// Port shadowing: an endpoint that sends from the port of a host's service, even
// to the very client that the service has, captures nothing.
func TestEndpointCannotShadowHostService(t *testing.T) {
	t.Parallel()
	r := dptest.NewRig(t, 1)
	service := wire.Listen(t, r.Host, wire.HostAddress.String()+":4000")
	remote := wire.Listen(t, r.Remote, lab.RemoteAddress+":7000")
	client := wire.Listen(t, r.Endpoints[0], wire.Text(wire.EndpointAddress(0), "4000"))
	client.Send(t, netip.AddrPortFrom(wire.RemoteAddress, 7000), "from inside")
	if from := remote.Expect(t, "from inside"); from.Port() == 4000 {
		t.Errorf("the endpoint is seen as %v, which is the service", from)
	}
	remote.Send(t, netip.AddrPortFrom(wire.HostAddress, 4000), "for the service")
	remote.Expect(t, service.Echo(t, "for the service"))
	if client.Pending(0) {
		t.Error("the endpoint got the service's packet")
	}
}

func TestHostListenerOnTCPPortInDynamicUse(t *testing.T) {
	t.Parallel()
	r := newTinyRig(t, 1)
	ctx := wire.WithTimeout(t)
	server, err := lab.EchoServer(r.Remote, "tcp", lab.RemoteAddress+":7000")
	wire.Must(t, err)
	defer server.Close()
	conn, err := r.Endpoints[0].Dial(ctx, "tcp", lab.RemoteAddress+":7000")
	wire.Must(t, err)
	defer conn.Close()
	external, err := lab.AskConn(ctx, conn)
	wire.Must(t, err)
	program, err := lab.EchoServer(r.Host, "tcp", external.String())
	wire.Must(t, err)
	defer program.Close()
	seen, err := lab.Ask(ctx, r.Remote, "tcp", external.String())
	if err != nil || seen.Addr() != wire.RemoteAddress {
		t.Errorf("the host's program: %v, %v; drops %v", seen, err, r.Drops(t))
	}
	_, err = conn.Write([]byte("alive"))
	wire.Must(t, err)
	if n, err := conn.Read(make([]byte, 5)); n != 5 {
		t.Errorf("the endpoint's connection: %v", err)
	}
	r.Consistent(t)
}

// A host program on a mapped port loses: the mapping was asked for.
func TestMappingComesBeforeHostProgram(t *testing.T) {
	t.Parallel()
	r := dptest.NewRig(t, 1)
	program := wire.Listen(t, r.Host, ":8080")
	r.Config.Mappings[1] = dptest.Mapping(model.UDP, "203.0.113.1:8080", wire.Inside(0, 80))
	r.Apply(t)
	server := wire.Listen(t, r.Endpoints[0], wire.Text(wire.EndpointAddress(0), "80"))
	client := wire.Listen(t, r.Remote, lab.RemoteAddress+":7000")
	client.Send(t, wire.Published, "for the mapping")
	server.Expect(t, "for the mapping")
	if program.Pending(0) {
		t.Error("the host's program got it too")
	}
}

// A mapping does not take the replies to the host's own connection that has,
// by chance, the mapped port as its source.
func TestHostTalksFromMappedPort(t *testing.T) {
	t.Parallel()
	r := dptest.NewRig(t, 1)
	ctx, cancel := context.WithTimeout(t.Context(), wire.Patience)
	defer cancel()
	for id, protocol := range map[uint32]model.Protocol{1: model.TCP, 2: model.UDP} {
		r.Config.Mappings[id] = dptest.Mapping(protocol, "0.0.0.0:40000", wire.Inside(0, 80))
	}
	r.Apply(t)
	for _, network := range []string{"tcp", "udp"} {
		server, err := lab.EchoServer(r.Remote, network, lab.RemoteAddress+":7000")
		wire.Must(t, err)
		defer server.Close()
		conn, err := r.Host.DialFrom(ctx, network, lab.HostAddress+":40000", lab.RemoteAddress+":7000")
		if err != nil {
			t.Fatalf("%s from a mapped port: %v; drops %v", network, err, r.Drops(t))
		}
		defer conn.Close()
		seen, err := lab.AskConn(ctx, conn)
		wire.Must(t, err)
		if want := netip.MustParseAddrPort(lab.HostAddress + ":40000"); seen != want {
			t.Errorf("%s: the remote saw %v, want %v", network, seen, want)
		}
	}
}
