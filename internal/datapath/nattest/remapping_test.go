package nattest

import (
	"errors"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hostnat/hostnat/dev/lab"
	"github.com/hostnat/hostnat/internal/datapath/dptest"
	"github.com/hostnat/hostnat/internal/datapath/dptest/wire"
	"github.com/hostnat/hostnat/internal/model"
)

// Design, rule 7: a change of the mappings takes effect at once, for clients
// that keep their socket too.

// remapRig publishes a UDP service of endpoint 0 and has a client that talks to it.
type remapRig struct {
	*dptest.Rig
	client  wire.Peer
	servers []wire.Peer
}

func newRemapRig(t *testing.T) *remapRig {
	t.Helper()
	r := &remapRig{Rig: dptest.NewRig(t, 2)}
	r.Config.Mappings[1] = dptest.Mapping(model.UDP, "0.0.0.0:8080", wire.Inside(0, 80))
	r.Apply(t)
	for i := range r.Endpoints {
		r.servers = append(r.servers, wire.Listen(t, r.Endpoints[i], wire.Text(wire.EndpointAddress(i), "80")))
	}
	r.client = wire.Listen(t, r.Remote, lab.RemoteAddress+":5000")
	wire.Option(t, r.client, unix.SOL_IP, unix.IP_RECVERR, 1) // that the host refuses a port ends a read
	r.client.Send(t, wire.Published, "first")
	r.servers[0].Send(t, r.servers[0].Expect(t, "first"), "welcome")
	if from := r.client.Expect(t, "welcome"); from != wire.Published {
		t.Fatalf("the answer came from %v, want %v", from, wire.Published)
	}
	return r
}

func TestDeletedMappingEndsItsSessionsAtOnce(t *testing.T) {
	t.Parallel()
	r := newRemapRig(t)
	delete(r.Config.Mappings, 1)
	r.Apply(t)
	if !r.Empty(t) {
		t.Errorf("left: sessions %+v, bindings %+v", r.Sessions(t), r.Bindings(t))
	}
	r.client.Send(t, wire.Published, "second")
	if r.client.Pending(wire.Patience) {
		t.Error("an answer came")
	}
	if r.servers[0].Pending(0) {
		t.Error("a packet came in by a mapping that is deleted")
	}
	// The server's own packets to the client are a new flow from a dynamic port.
	r.servers[0].Send(t, netip.MustParseAddrPort("203.0.113.2:5000"), "on my own")
	if from := r.client.Expect(t, "on my own"); from.Port() == wire.Published.Port() {
		t.Errorf("it came from %v, the mapping's port", from)
	}
	r.Consistent(t)
}

func TestMovedMappingReachesNewTargetAtOnce(t *testing.T) {
	t.Parallel()
	r := newRemapRig(t)
	r.Config.Mappings[1] = dptest.Mapping(model.UDP, "0.0.0.0:8080", wire.Inside(1, 80))
	r.Apply(t)
	r.client.Send(t, wire.Published, "second")
	r.servers[1].Send(t, r.servers[1].Expect(t, "second"), "moved")
	if from := r.client.Expect(t, "moved"); from != wire.Published {
		t.Errorf("the answer came from %v, want %v", from, wire.Published)
	}
	if r.servers[0].Pending(0) {
		t.Error("the old target got a packet")
	}
	r.servers[0].Send(t, netip.MustParseAddrPort("203.0.113.2:5000"), "old")
	if from := r.client.Expect(t, "old"); from.Port() == wire.Published.Port() {
		t.Errorf("the old target speaks from %v", from)
	}
	r.Consistent(t)
}

// A client that never stops sending is on the new target once Apply is back.
func TestMappingMovesUnderFire(t *testing.T) {
	t.Parallel()
	r := newRemapRig(t)
	stop, done := make(chan struct{}), make(chan error, 1)
	go func() {
		for {
			select {
			case <-stop:
				done <- nil
				return
			default:
			}
			if _, err := r.client.WriteToUDPAddrPort([]byte("fire"), wire.Published); err != nil && !errors.Is(err, unix.ECONNREFUSED) {
				done <- err
				return
			}
		}
	}()
	for round := range 20 {
		target := round % 2
		r.Config.Mappings[1] = dptest.Mapping(model.UDP, "0.0.0.0:8080", wire.Inside(target, 80))
		r.Apply(t)
		other := wire.Listen(t, r.Remote, fmt.Sprintf("%s:%d", lab.RemoteAddress, 6000+round))
		other.Send(t, wire.Published, "marker")
		r.AtEndpoint[target].Await(t, "marker", 1, func(p wire.Packet) bool { return p.Payload == "marker" && int(p.From.Port()) == 6000+round })
		for _, s := range r.Sessions(t) {
			if s.Internal.Addr() != wire.EndpointAddress(target) {
				t.Fatalf("round %d: session %+v leads to the old target", round, s)
			}
		}
	}
	close(stop)
	wire.Must(t, <-done)
	r.Consistent(t)
}

// Two external ports lead to one internal port: a remote that used both from one
// port of its own could not be told apart.
func TestSessionsThatWouldClashAreRefused(t *testing.T) {
	t.Parallel()
	r := dptest.NewRig(t, 1)
	r.Mute(t, 0)
	r.Config.Mappings[1] = dptest.Mapping(model.UDP, "0.0.0.0:8080", wire.Inside(0, 80))
	r.Config.Mappings[2] = dptest.Mapping(model.UDP, "0.0.0.0:8081", wire.Inside(0, 80))
	r.Apply(t)
	second := netip.AddrPortFrom(wire.HostAddress, 8081)
	r.FromRemote(t,
		wire.Segment{Protocol: model.UDP, From: wire.Unanswered(7, 80), To: wire.Published},
		wire.Segment{Protocol: model.UDP, From: wire.Unanswered(7, 80), To: second},
		wire.Segment{Protocol: model.UDP, From: wire.Unanswered(7, 81), To: second})
	r.Dropped(t, "session-clash", 1)
	for from, external := range map[netip.AddrPort]netip.AddrPort{wire.Unanswered(7, 80): wire.Published, wire.Unanswered(7, 81): second} {
		r.AtEndpoint[0].Await(t, "packet in", 1, wire.Is(model.UDP, from, wire.Inside(0, 80)))
		r.FromEndpoint(t, 0, wire.Segment{Protocol: model.UDP, From: wire.Inside(0, 80), To: from})
		r.AtRemote.Await(t, "answer", 1, wire.Is(model.UDP, external, from))
	}
	// Outward the oldest mapping counts, and the next one after it.
	r.FromEndpoint(t, 0, wire.Segment{Protocol: model.UDP, From: wire.Inside(0, 80), To: wire.Unanswered(8, 80)})
	r.AtRemote.Await(t, "packet out", 1, wire.Is(model.UDP, wire.Published, wire.Unanswered(8, 80)))
	delete(r.Config.Mappings, 1)
	r.Apply(t)
	r.FromEndpoint(t, 0, wire.Segment{Protocol: model.UDP, From: wire.Inside(0, 80), To: wire.Unanswered(8, 80)})
	r.AtRemote.Await(t, "packet out", 1, wire.Is(model.UDP, second, wire.Unanswered(8, 80)))
	r.Consistent(t)
}

func TestUnchangedMappingKeepsItsSessions(t *testing.T) {
	t.Parallel()
	r := newRemapRig(t)
	before := r.Sessions(t)
	r.Config.Mappings[2] = dptest.Mapping(model.UDP, "0.0.0.0:9999", wire.Inside(1, 80))
	r.Apply(t)
	r.Apply(t)
	delete(r.Config.Mappings, 2)
	r.Apply(t)
	after := r.Sessions(t)
	if len(before) != 1 || len(after) != 1 || before[0].PacketsOut != after[0].PacketsOut ||
		after[0].Created.Sub(before[0].Created).Abs() > 100*time.Millisecond {
		t.Errorf("before %+v, after %+v", before, after)
	}
	r.Consistent(t)
}

func TestMappingTakesPortInDynamicUse(t *testing.T) {
	t.Parallel()
	r := dptest.NewRig(t, 2)
	r.Config.Pools[0].Addresses[0].Ports = []model.PortRange{{Low: 8080, High: 8081}}
	r.Apply(t)
	client := wire.Listen(t, r.Endpoints[0], wire.Text(wire.EndpointAddress(0), "4000"))
	server := wire.Listen(t, r.Endpoints[1], wire.Text(wire.EndpointAddress(1), "80"))
	remote := wire.Listen(t, r.Remote, lab.RemoteAddress+":7000")
	client.Send(t, netip.AddrPortFrom(wire.RemoteAddress, 7000), "ask")
	taken := remote.Expect(t, "ask")

	external := netip.AddrPortFrom(netip.IPv4Unspecified(), taken.Port())
	r.Config.Mappings[1] = dptest.Mapping(model.UDP, external.String(), wire.Inside(1, 80))
	r.Apply(t)
	remote.Send(t, taken, "for the mapping")
	server.Expect(t, "for the mapping")
	if client.Pending(0) {
		t.Error("the dynamic binding still gets packets of the mapped port")
	}
	client.Send(t, netip.AddrPortFrom(wire.RemoteAddress, 7000), "again")
	if from := remote.Expect(t, "again"); from == taken {
		t.Error("the flow still uses the mapped port")
	}
	r.Consistent(t)
}

func TestDeletedMappingCutsOpenTCPConnection(t *testing.T) {
	t.Parallel()
	r := dptest.NewRig(t, 1)
	r.Config.Mappings[1] = dptest.Mapping(model.TCP, "203.0.113.1:8080", wire.Inside(0, 80))
	r.Apply(t)
	server, err := lab.EchoServer(r.Endpoints[0], "tcp", wire.Text(wire.EndpointAddress(0), "80"))
	wire.Must(t, err)
	defer server.Close()
	ctx := wire.WithTimeout(t)
	conn, err := r.Remote.Dial(ctx, "tcp", wire.Published.String())
	wire.Must(t, err)
	defer conn.Close()
	_, err = lab.AskConn(ctx, conn)
	wire.Must(t, err)
	delete(r.Config.Mappings, 1)
	r.Apply(t)
	if !r.Empty(t) {
		t.Errorf("left: sessions %+v, bindings %+v", r.Sessions(t), r.Bindings(t))
	}
	wire.Must(t, conn.SetDeadline(time.Now().Add(wire.Patience)))
	_, _ = conn.Write([]byte("x")) // the host answers with a reset
	if n, err := conn.Read(make([]byte, 8)); err == nil {
		t.Errorf("read %d bytes on a connection of a deleted mapping", n)
	}
}

// An endpoint, network or NAT that goes takes its sessions along: the next one
// with its address is somebody else.
func TestRemovedEndpointTakesItsSessionsAlong(t *testing.T) {
	t.Parallel()
	r := newRemapRig(t)
	r.servers[1].Send(t, netip.MustParseAddrPort("203.0.113.2:5000"), "stays")
	r.client.Expect(t, "stays")
	r.Config.Endpoints = r.Config.Endpoints[1:]
	delete(r.Config.Insides, wire.Ifindex(t, r.Host, dptest.HostSide(0)))
	delete(r.Config.Mappings, 1)
	r.Apply(t)
	if s := r.Sessions(t); len(s) != 1 || s[0].Internal != wire.Inside(1, 80) {
		t.Errorf("sessions %+v, want that of endpoint 1 alone", s)
	}
	r.Consistent(t)
}

// An endpoint that answers while its mapping is away opens a session of its own
// with the client; the mapping that comes back is not dead for that client.
func TestMappingTakesOverWhatItsEndpointOpened(t *testing.T) {
	t.Parallel()
	r := dptest.NewRig(t, 1)
	r.Mute(t, 0)
	r.FromEndpoint(t, 0,
		wire.Segment{Protocol: model.UDP, From: wire.Inside(0, 80), To: wire.Unanswered(7, 1)},
		wire.Segment{Protocol: model.TCP, Flags: wire.Syn, From: wire.Inside(0, 80), To: wire.Unanswered(7, 1)})
	r.External(t, model.UDP, wire.Inside(0, 80))
	own := r.External(t, model.TCP, wire.Inside(0, 80))
	published := netip.AddrPortFrom(wire.HostAddress, 8080)
	r.Config.Mappings[1] = dptest.Mapping(model.UDP, "0.0.0.0:8080", wire.Inside(0, 80))
	r.Config.Mappings[2] = dptest.Mapping(model.TCP, "0.0.0.0:8080", wire.Inside(0, 80))
	r.Apply(t)
	r.FromRemote(t,
		wire.Segment{Protocol: model.UDP, From: wire.Unanswered(7, 1), To: published},
		wire.Segment{Protocol: model.TCP, Flags: wire.Syn, From: wire.Unanswered(7, 1), To: published})
	r.AtEndpoint[0].Await(t, "packet to the mapping", 1, wire.Is(model.UDP, wire.Unanswered(7, 1), wire.Inside(0, 80)))
	r.FromEndpoint(t, 0, wire.Segment{Protocol: model.UDP, From: wire.Inside(0, 80), To: wire.Unanswered(7, 1)})
	r.AtRemote.Await(t, "answer of the mapping", 1, wire.Is(model.UDP, published, wire.Unanswered(7, 1)))
	// With TCP a forged SYN would cut the connection: that one stays.
	r.Dropped(t, "session-clash", 1)
	if s, has := r.Session(t, model.TCP, wire.Inside(0, 80), wire.Unanswered(7, 1)); !has || s.External != own {
		t.Errorf("the endpoint's own connection: %+v (%v), want it by %v", s, has, own)
	}
	r.Consistent(t)
}
