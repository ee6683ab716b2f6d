package datapath

import (
	"net/netip"
	"testing"
	"time"

	"github.com/hostnat/hostnat/dev/lab"
	"github.com/hostnat/hostnat/internal/model"
)

func TestPublishedPortKeepsClientAddress(t *testing.T) {
	t.Parallel()
	r := newRig(t, 1)
	ctx := withTimeout(t)
	r.config.Mappings[1] = mapping(model.TCP, "0.0.0.0:8080", inside(0, 80))
	r.config.Mappings[2] = mapping(model.UDP, "0.0.0.0:8080", inside(0, 80))
	r.apply(t)
	for _, network := range []string{"tcp", "udp"} {
		server, err := lab.EchoServer(r.Endpoints[0], network, "172.16.1.2:80")
		must(t, err)
		defer server.Close()
		seen, err := lab.Ask(ctx, r.Remote, network, lab.HostAddress+":8080")
		if err != nil {
			t.Fatalf("%s: %v; drops %v", network, err, r.drops(t))
		}
		if seen.Addr() != remoteAddress {
			t.Errorf("%s: the server saw %v, want the remote's own address", network, seen)
		}
	}
	for _, b := range r.bindings(t) {
		if !b.Configured || b.Sessions != 1 || b.External.Port() != 8080 {
			t.Errorf("binding %+v", b)
		}
	}
	r.consistent(t)
}

// secondAddress gives the host 203.0.113.10 too.
func (r *rig) secondAddress(t *testing.T) {
	t.Helper()
	must(t, r.Host.AddAddress(lab.HostLink, "203.0.113.10/24"))
	r.config.HostAddresses[netip.MustParseAddr("203.0.113.10")] = r.outside
	r.apply(t)
}

// answers asks a UDP echo server by an address of the host.
func (r *rig) answers(t *testing.T, external string) bool {
	t.Helper()
	conn, err := r.Remote.Dial(t.Context(), "udp", external)
	must(t, err)
	defer conn.Close()
	// Either the answer or the host's ICMP refusal comes; the deadline is for neither.
	must(t, conn.SetDeadline(time.Now().Add(patience)))
	if _, err := conn.Write([]byte("ask")); err != nil {
		t.Fatal(err)
	}
	_, err = conn.Read(make([]byte, 64))
	return err == nil
}

func TestMappingOnAnyAddressAnswersOnEach(t *testing.T) {
	t.Parallel()
	r := newRig(t, 1)
	r.secondAddress(t)
	r.config.Mappings[1] = mapping(model.UDP, "0.0.0.0:8080", inside(0, 80))
	r.apply(t)
	server, err := lab.EchoServer(r.Endpoints[0], "udp", "172.16.1.2:80")
	must(t, err)
	defer server.Close()
	for _, external := range []string{"203.0.113.1:8080", "203.0.113.10:8080"} {
		if !r.answers(t, external) {
			t.Errorf("%s does not answer; drops %v", external, r.drops(t))
		}
	}
	r.consistent(t)
}

func TestMappingOnOneAddressAnswersThereAlone(t *testing.T) {
	t.Parallel()
	r := newRig(t, 2)
	r.secondAddress(t)
	r.config.Mappings[1] = mapping(model.UDP, "203.0.113.10:8080", inside(0, 80))
	r.apply(t)
	server, err := lab.EchoServer(r.Endpoints[0], "udp", "172.16.1.2:80")
	must(t, err)
	defer server.Close()
	if !r.answers(t, "203.0.113.10:8080") {
		t.Errorf("the mapped address does not answer; drops %v", r.drops(t))
	}
	if r.answers(t, "203.0.113.1:8080") {
		t.Error("another address of the host answers")
	}
	// The same port of two addresses may lead to two endpoints.
	r.config.Mappings[2] = mapping(model.UDP, "203.0.113.1:8080", inside(1, 80))
	r.apply(t)
	client := listen(t, r.Remote, lab.RemoteAddress+":5000")
	second := listen(t, r.Endpoints[1], "172.16.1.3:80")
	client.send(t, netip.MustParseAddrPort("203.0.113.1:8080"), "hello")
	second.expect(t, "hello")
	if _, has := r.session(t, model.UDP, inside(1, 80), netip.MustParseAddrPort("203.0.113.2:5000")); !has {
		t.Errorf("no session of the second mapping: %+v", r.sessions(t))
	}
	r.consistent(t)
}

func TestMappingIsOpenToAllowedRemotesAlone(t *testing.T) {
	t.Parallel()
	r := newRig(t, 1)
	r.mute(t, 0)
	r.config.Mappings[1] = mapping(model.UDP, "0.0.0.0:8080", inside(0, 80), "198.51.100.8/31", "192.0.2.1/32")
	r.config.Mappings[2] = mapping(model.TCP, "0.0.0.0:8080", inside(0, 80), "198.51.100.7/32")
	r.apply(t)
	external := netip.MustParseAddrPort("203.0.113.1:8080")
	r.fromRemote(t,
		segment{protocol: model.UDP, from: stranger(7, 1), to: external},
		segment{protocol: model.UDP, from: stranger(10, 1), to: external},
		segment{protocol: model.TCP, flags: syn, from: stranger(8, 1), to: external},
		segment{protocol: model.UDP, from: stranger(8, 1), to: external},
		segment{protocol: model.UDP, from: stranger(9, 1), to: external},
		segment{protocol: model.TCP, flags: syn, from: stranger(7, 1), to: external})
	r.dropped(t, "remote-not-allowed", 3)
	r.atEndpoint[0].await(t, "three allowed packets", 3, func(p packet) bool { return p.to == inside(0, 80) })
	for _, p := range r.atEndpoint[0].came(func(p packet) bool { return p.to == inside(0, 80) }) {
		allowed := p.from == stranger(7, 1) && p.protocol == model.TCP ||
			(p.from == stranger(8, 1) || p.from == stranger(9, 1)) && p.protocol == model.UDP
		if !allowed {
			t.Errorf("packet of %v %v came in", p.protocol, p.from)
		}
	}
	// The list is the mapping's, not the endpoint's: it may talk to anybody.
	r.fromEndpoint(t, 0, segment{protocol: model.UDP, from: inside(0, 80), to: stranger(7, 1)})
	r.atRemote.await(t, "packet out", 1, is(model.UDP, external, stranger(7, 1)))
	// Opened for all, it lets the refused in at once.
	r.config.Mappings[1] = mapping(model.UDP, "0.0.0.0:8080", inside(0, 80))
	r.apply(t)
	r.fromRemote(t, segment{protocol: model.UDP, from: stranger(10, 1), to: external})
	r.atEndpoint[0].await(t, "packet after opening", 1, is(model.UDP, stranger(10, 1), inside(0, 80)))
}

func TestOutboundFromMappedPortUsesItsExternalPort(t *testing.T) {
	t.Parallel()
	r := newRig(t, 1)
	r.config.Mappings[1] = mapping(model.UDP, "0.0.0.0:8080", inside(0, 80))
	r.config.Mappings[2] = mapping(model.UDP, "203.0.113.1:9090", inside(0, 90))
	r.apply(t)
	server := listen(t, r.Remote, lab.RemoteAddress+":7000")
	for port, want := range map[string]string{"80": "203.0.113.1:8080", "90": "203.0.113.1:9090"} {
		client := listen(t, r.Endpoints[0], text(endpointAddress(0), port))
		client.send(t, netip.AddrPortFrom(remoteAddress, 7000), "ask")
		from := server.expect(t, "ask")
		if from.String() != want {
			t.Errorf("the remote saw %v, want the mapping's %s", from, want)
		}
		server.send(t, from, "answer")
		client.expect(t, "answer")
	}
	r.consistent(t)
}

// A mapping of a port below 1024, or of one that the host would use for its own
// clients, is as good as any.
func TestMappingMayUseAnyExternalPort(t *testing.T) {
	t.Parallel()
	r := newRig(t, 1)
	r.mute(t, 0)
	ports := []uint16{1, 53, 1023, 40000, 65535}
	for i, port := range ports {
		external := netip.AddrPortFrom(netip.IPv4Unspecified(), port)
		r.config.Mappings[uint32(i+1)] = mapping(model.UDP, external.String(), inside(0, 80+uint16(i)))
	}
	r.apply(t)
	for i, port := range ports {
		r.fromRemote(t, segment{protocol: model.UDP, from: stranger(7, 99), to: netip.AddrPortFrom(hostAddress, port)})
		r.atEndpoint[0].await(t, "packet to the mapping", 1, is(model.UDP, stranger(7, 99), inside(0, 80+uint16(i))))
	}
}
