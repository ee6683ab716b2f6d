package nattest

import (
	"net/netip"
	"testing"
	"time"

	"github.com/hostnat/hostnat/dev/lab"
	"github.com/hostnat/hostnat/internal/datapath/dptest"
	"github.com/hostnat/hostnat/internal/datapath/dptest/wire"
	"github.com/hostnat/hostnat/internal/model"
)

func TestPublishedPortKeepsClientAddress(t *testing.T) {
	t.Parallel()
	r := dptest.NewRig(t, 1)
	ctx := wire.WithTimeout(t)
	r.Config.Mappings[1] = dptest.Mapping(model.TCP, "0.0.0.0:8080", wire.Inside(0, 80))
	r.Config.Mappings[2] = dptest.Mapping(model.UDP, "0.0.0.0:8080", wire.Inside(0, 80))
	r.Apply(t)
	for _, network := range []string{"tcp", "udp"} {
		server, err := lab.EchoServer(r.Endpoints[0], network, "172.16.1.2:80")
		wire.Must(t, err)
		defer server.Close()
		seen, err := lab.Ask(ctx, r.Remote, network, lab.HostAddress+":8080")
		if err != nil {
			t.Fatalf("%s: %v; drops %v", network, err, r.Drops(t))
		}
		if seen.Addr() != wire.RemoteAddress {
			t.Errorf("%s: the server saw %v, want the remote's own address", network, seen)
		}
	}
	for _, b := range r.Bindings(t) {
		if !b.Configured || b.Sessions != 1 || b.External.Port() != 8080 {
			t.Errorf("binding %+v", b)
		}
	}
	r.Consistent(t)
}

// answers asks a UDP echo server by an address of the host.
func answers(t *testing.T, r *dptest.Rig, external string) bool {
	t.Helper()
	conn, err := r.Remote.Dial(t.Context(), "udp", external)
	wire.Must(t, err)
	defer conn.Close()
	// Either the answer or the host's ICMP refusal comes; the deadline is for neither.
	wire.Must(t, conn.SetDeadline(time.Now().Add(wire.Patience)))
	if _, err := conn.Write([]byte("ask")); err != nil {
		t.Fatal(err)
	}
	_, err = conn.Read(make([]byte, 64))
	return err == nil
}

func TestMappingOnAnyAddressAnswersOnEach(t *testing.T) {
	t.Parallel()
	r := dptest.NewRig(t, 1)
	r.SecondAddress(t)
	r.Config.Mappings[1] = dptest.Mapping(model.UDP, "0.0.0.0:8080", wire.Inside(0, 80))
	r.Apply(t)
	server, err := lab.EchoServer(r.Endpoints[0], "udp", "172.16.1.2:80")
	wire.Must(t, err)
	defer server.Close()
	for _, external := range []string{"203.0.113.1:8080", "203.0.113.10:8080"} {
		if !answers(t, r, external) {
			t.Errorf("%s does not answer; drops %v", external, r.Drops(t))
		}
	}
	r.Consistent(t)
}

func TestMappingOnOneAddressAnswersThereAlone(t *testing.T) {
	t.Parallel()
	r := dptest.NewRig(t, 2)
	r.SecondAddress(t)
	r.Config.Mappings[1] = dptest.Mapping(model.UDP, "203.0.113.10:8080", wire.Inside(0, 80))
	r.Apply(t)
	server, err := lab.EchoServer(r.Endpoints[0], "udp", "172.16.1.2:80")
	wire.Must(t, err)
	defer server.Close()
	if !answers(t, r, "203.0.113.10:8080") {
		t.Errorf("the mapped address does not answer; drops %v", r.Drops(t))
	}
	if answers(t, r, "203.0.113.1:8080") {
		t.Error("another address of the host answers")
	}
	// The same port of two addresses may lead to two endpoints.
	r.Config.Mappings[2] = dptest.Mapping(model.UDP, "203.0.113.1:8080", wire.Inside(1, 80))
	r.Apply(t)
	client := wire.Listen(t, r.Remote, lab.RemoteAddress+":5000")
	second := wire.Listen(t, r.Endpoints[1], "172.16.1.3:80")
	client.Send(t, netip.MustParseAddrPort("203.0.113.1:8080"), "hello")
	second.Expect(t, "hello")
	if _, has := r.Session(t, model.UDP, wire.Inside(1, 80), netip.MustParseAddrPort("203.0.113.2:5000")); !has {
		t.Errorf("no session of the second mapping: %+v", r.Sessions(t))
	}
	r.Consistent(t)
}

func TestMappingIsOpenToAllowedRemotesAlone(t *testing.T) {
	t.Parallel()
	r := dptest.NewRig(t, 1)
	r.Mute(t, 0)
	r.Config.Mappings[1] = dptest.Mapping(model.UDP, "0.0.0.0:8080", wire.Inside(0, 80), "198.51.100.8/31", "192.0.2.1/32")
	r.Config.Mappings[2] = dptest.Mapping(model.TCP, "0.0.0.0:8080", wire.Inside(0, 80), "198.51.100.7/32")
	r.Apply(t)
	external := netip.MustParseAddrPort("203.0.113.1:8080")
	r.FromRemote(t,
		wire.Segment{Protocol: model.UDP, From: wire.Unanswered(7, 1), To: external},
		wire.Segment{Protocol: model.UDP, From: wire.Unanswered(10, 1), To: external},
		wire.Segment{Protocol: model.TCP, Flags: wire.Syn, From: wire.Unanswered(8, 1), To: external},
		wire.Segment{Protocol: model.UDP, From: wire.Unanswered(8, 1), To: external},
		wire.Segment{Protocol: model.UDP, From: wire.Unanswered(9, 1), To: external},
		wire.Segment{Protocol: model.TCP, Flags: wire.Syn, From: wire.Unanswered(7, 1), To: external})
	r.Dropped(t, "remote-not-allowed", 3)
	r.AtEndpoint[0].Await(t, "three allowed packets", 3, func(p wire.Packet) bool { return p.To == wire.Inside(0, 80) })
	for _, p := range r.AtEndpoint[0].Came(func(p wire.Packet) bool { return p.To == wire.Inside(0, 80) }) {
		allowed := p.From == wire.Unanswered(7, 1) && p.Protocol == model.TCP ||
			(p.From == wire.Unanswered(8, 1) || p.From == wire.Unanswered(9, 1)) && p.Protocol == model.UDP
		if !allowed {
			t.Errorf("packet of %v %v came in", p.Protocol, p.From)
		}
	}
	// The list is the mapping's, not the endpoint's: it may talk to anybody.
	r.FromEndpoint(t, 0, wire.Segment{Protocol: model.UDP, From: wire.Inside(0, 80), To: wire.Unanswered(7, 1)})
	r.AtRemote.Await(t, "packet out", 1, wire.Is(model.UDP, external, wire.Unanswered(7, 1)))
	// Opened for all, it lets the refused in at once.
	r.Config.Mappings[1] = dptest.Mapping(model.UDP, "0.0.0.0:8080", wire.Inside(0, 80))
	r.Apply(t)
	r.FromRemote(t, wire.Segment{Protocol: model.UDP, From: wire.Unanswered(10, 1), To: external})
	r.AtEndpoint[0].Await(t, "packet after opening", 1, wire.Is(model.UDP, wire.Unanswered(10, 1), wire.Inside(0, 80)))
}

func TestOutboundFromMappedPortUsesItsExternalPort(t *testing.T) {
	t.Parallel()
	r := dptest.NewRig(t, 1)
	r.Config.Mappings[1] = dptest.Mapping(model.UDP, "0.0.0.0:8080", wire.Inside(0, 80))
	r.Config.Mappings[2] = dptest.Mapping(model.UDP, "203.0.113.1:9090", wire.Inside(0, 90))
	r.Apply(t)
	server := wire.Listen(t, r.Remote, lab.RemoteAddress+":7000")
	for port, want := range map[string]string{"80": "203.0.113.1:8080", "90": "203.0.113.1:9090"} {
		client := wire.Listen(t, r.Endpoints[0], wire.Text(wire.EndpointAddress(0), port))
		client.Send(t, netip.AddrPortFrom(wire.RemoteAddress, 7000), "ask")
		from := server.Expect(t, "ask")
		if from.String() != want {
			t.Errorf("the remote saw %v, want the mapping's %s", from, want)
		}
		server.Send(t, from, "answer")
		client.Expect(t, "answer")
	}
	r.Consistent(t)
}

// A mapping of a port below 1024, or of one that the host would use for its own
// clients, is as good as any.
func TestMappingMayUseAnyExternalPort(t *testing.T) {
	t.Parallel()
	r := dptest.NewRig(t, 1)
	r.Mute(t, 0)
	ports := []uint16{1, 53, 1023, 40000, 65535}
	for i, port := range ports {
		external := netip.AddrPortFrom(netip.IPv4Unspecified(), port)
		r.Config.Mappings[uint32(i+1)] = dptest.Mapping(model.UDP, external.String(), wire.Inside(0, 80+uint16(i)))
	}
	r.Apply(t)
	for i, port := range ports {
		r.FromRemote(t, wire.Segment{Protocol: model.UDP, From: wire.Unanswered(7, 99), To: netip.AddrPortFrom(wire.HostAddress, port)})
		r.AtEndpoint[0].Await(t, "packet to the mapping", 1, wire.Is(model.UDP, wire.Unanswered(7, 99), wire.Inside(0, 80+uint16(i))))
	}
}
