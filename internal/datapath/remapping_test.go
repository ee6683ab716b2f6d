package datapath

import (
	"errors"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hostnat/hostnat/dev/lab"
	"github.com/hostnat/hostnat/internal/model"
)

// Design, rule 7: a change of the mappings takes effect at once, for clients
// that keep their socket too.

// remapRig publishes a UDP service of endpoint 0 and has a client that talks to it.
type remapRig struct {
	*rig
	client  peer
	servers []peer
}

var published = netip.MustParseAddrPort("203.0.113.1:8080")

func newRemapRig(t *testing.T) *remapRig {
	t.Helper()
	r := &remapRig{rig: newRig(t, 2)}
	r.config.Mappings[1] = mapping(model.UDP, "0.0.0.0:8080", inside(0, 80))
	r.apply(t)
	for i := range r.Endpoints {
		r.servers = append(r.servers, listen(t, r.Endpoints[i], text(endpointAddress(i), "80")))
	}
	r.client = listen(t, r.Remote, lab.RemoteAddress+":5000")
	option(t, r.client, unix.SOL_IP, unix.IP_RECVERR, 1) // that the host refuses a port ends a read
	r.client.send(t, published, "first")
	r.servers[0].send(t, r.servers[0].expect(t, "first"), "welcome")
	if from := r.client.expect(t, "welcome"); from != published {
		t.Fatalf("the answer came from %v, want %v", from, published)
	}
	return r
}

func TestDeletedMappingEndsItsSessionsAtOnce(t *testing.T) {
	t.Parallel()
	r := newRemapRig(t)
	delete(r.config.Mappings, 1)
	r.apply(t)
	if !r.empty(t) {
		t.Errorf("left: sessions %+v, bindings %+v", r.sessions(t), r.bindings(t))
	}
	r.client.send(t, published, "second")
	if r.client.pending(patience) {
		t.Error("an answer came")
	}
	if r.servers[0].pending(0) {
		t.Error("a packet came in by a mapping that is deleted")
	}
	// The server's own packets to the client are a new flow from a dynamic port.
	r.servers[0].send(t, netip.MustParseAddrPort("203.0.113.2:5000"), "on my own")
	if from := r.client.expect(t, "on my own"); from.Port() == published.Port() {
		t.Errorf("it came from %v, the mapping's port", from)
	}
	r.consistent(t)
}

func TestMovedMappingReachesNewTargetAtOnce(t *testing.T) {
	t.Parallel()
	r := newRemapRig(t)
	r.config.Mappings[1] = mapping(model.UDP, "0.0.0.0:8080", inside(1, 80))
	r.apply(t)
	r.client.send(t, published, "second")
	r.servers[1].send(t, r.servers[1].expect(t, "second"), "moved")
	if from := r.client.expect(t, "moved"); from != published {
		t.Errorf("the answer came from %v, want %v", from, published)
	}
	if r.servers[0].pending(0) {
		t.Error("the old target got a packet")
	}
	r.servers[0].send(t, netip.MustParseAddrPort("203.0.113.2:5000"), "old")
	if from := r.client.expect(t, "old"); from.Port() == published.Port() {
		t.Errorf("the old target speaks from %v", from)
	}
	r.consistent(t)
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
			if _, err := r.client.WriteToUDPAddrPort([]byte("fire"), published); err != nil && !errors.Is(err, unix.ECONNREFUSED) {
				done <- err
				return
			}
		}
	}()
	for round := range 20 {
		target := round % 2
		r.config.Mappings[1] = mapping(model.UDP, "0.0.0.0:8080", inside(target, 80))
		r.apply(t)
		other := listen(t, r.Remote, fmt.Sprintf("%s:%d", lab.RemoteAddress, 6000+round))
		other.send(t, published, "marker")
		r.atEndpoint[target].await(t, "marker", 1, func(p packet) bool { return p.payload == "marker" && int(p.from.Port()) == 6000+round })
		for _, s := range r.sessions(t) {
			if s.Internal.Addr() != endpointAddress(target) {
				t.Fatalf("round %d: session %+v leads to the old target", round, s)
			}
		}
	}
	close(stop)
	must(t, <-done)
	r.consistent(t)
}

// Two external ports lead to one internal port: a remote that used both from one
// port of its own could not be told apart.
func TestSessionsThatWouldClashAreRefused(t *testing.T) {
	t.Parallel()
	r := newRig(t, 1)
	r.mute(t, 0)
	r.config.Mappings[1] = mapping(model.UDP, "0.0.0.0:8080", inside(0, 80))
	r.config.Mappings[2] = mapping(model.UDP, "0.0.0.0:8081", inside(0, 80))
	r.apply(t)
	second := netip.AddrPortFrom(hostAddress, 8081)
	r.fromRemote(t,
		segment{protocol: model.UDP, from: stranger(7, 80), to: published},
		segment{protocol: model.UDP, from: stranger(7, 80), to: second},
		segment{protocol: model.UDP, from: stranger(7, 81), to: second})
	r.dropped(t, "session-clash", 1)
	for from, external := range map[netip.AddrPort]netip.AddrPort{stranger(7, 80): published, stranger(7, 81): second} {
		r.atEndpoint[0].await(t, "packet in", 1, is(model.UDP, from, inside(0, 80)))
		r.fromEndpoint(t, 0, segment{protocol: model.UDP, from: inside(0, 80), to: from})
		r.atRemote.await(t, "answer", 1, is(model.UDP, external, from))
	}
	// Outward the oldest mapping counts, and the next one after it.
	r.fromEndpoint(t, 0, segment{protocol: model.UDP, from: inside(0, 80), to: stranger(8, 80)})
	r.atRemote.await(t, "packet out", 1, is(model.UDP, published, stranger(8, 80)))
	delete(r.config.Mappings, 1)
	r.apply(t)
	r.fromEndpoint(t, 0, segment{protocol: model.UDP, from: inside(0, 80), to: stranger(8, 80)})
	r.atRemote.await(t, "packet out", 1, is(model.UDP, second, stranger(8, 80)))
	r.consistent(t)
}

func TestUnchangedMappingKeepsItsSessions(t *testing.T) {
	t.Parallel()
	r := newRemapRig(t)
	before := r.sessions(t)
	r.config.Mappings[2] = mapping(model.UDP, "0.0.0.0:9999", inside(1, 80))
	r.apply(t)
	r.apply(t)
	delete(r.config.Mappings, 2)
	r.apply(t)
	after := r.sessions(t)
	if len(before) != 1 || len(after) != 1 || before[0].PacketsOut != after[0].PacketsOut ||
		after[0].Created.Sub(before[0].Created).Abs() > 100*time.Millisecond {
		t.Errorf("before %+v, after %+v", before, after)
	}
	r.consistent(t)
}

func TestMappingTakesPortInDynamicUse(t *testing.T) {
	t.Parallel()
	r := newRig(t, 2)
	r.config.Pools[0].Addresses[0].Ports = []model.PortRange{{Low: 8080, High: 8081}}
	r.apply(t)
	client := listen(t, r.Endpoints[0], text(endpointAddress(0), "4000"))
	server := listen(t, r.Endpoints[1], text(endpointAddress(1), "80"))
	remote := listen(t, r.Remote, lab.RemoteAddress+":7000")
	client.send(t, netip.AddrPortFrom(remoteAddress, 7000), "ask")
	taken := remote.expect(t, "ask")

	external := netip.AddrPortFrom(netip.IPv4Unspecified(), taken.Port())
	r.config.Mappings[1] = mapping(model.UDP, external.String(), inside(1, 80))
	r.apply(t)
	remote.send(t, taken, "for the mapping")
	server.expect(t, "for the mapping")
	if client.pending(0) {
		t.Error("the dynamic binding still gets packets of the mapped port")
	}
	client.send(t, netip.AddrPortFrom(remoteAddress, 7000), "again")
	if from := remote.expect(t, "again"); from == taken {
		t.Error("the flow still uses the mapped port")
	}
	r.consistent(t)
}

func TestDeletedMappingCutsOpenTCPConnection(t *testing.T) {
	t.Parallel()
	r := newRig(t, 1)
	r.config.Mappings[1] = mapping(model.TCP, "203.0.113.1:8080", inside(0, 80))
	r.apply(t)
	server, err := lab.EchoServer(r.Endpoints[0], "tcp", text(endpointAddress(0), "80"))
	must(t, err)
	defer server.Close()
	ctx := withTimeout(t)
	conn, err := r.Remote.Dial(ctx, "tcp", published.String())
	must(t, err)
	defer conn.Close()
	_, err = lab.AskConn(ctx, conn)
	must(t, err)
	delete(r.config.Mappings, 1)
	r.apply(t)
	if !r.empty(t) {
		t.Errorf("left: sessions %+v, bindings %+v", r.sessions(t), r.bindings(t))
	}
	must(t, conn.SetDeadline(time.Now().Add(patience)))
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
	r.servers[1].send(t, netip.MustParseAddrPort("203.0.113.2:5000"), "stays")
	r.client.expect(t, "stays")
	r.config.Endpoints = r.config.Endpoints[1:]
	delete(r.config.Insides, ifindex(t, r.Host, hostSide(0)))
	delete(r.config.Mappings, 1)
	r.apply(t)
	if s := r.sessions(t); len(s) != 1 || s[0].Internal != inside(1, 80) {
		t.Errorf("sessions %+v, want that of endpoint 1 alone", s)
	}
	r.consistent(t)
}

// An endpoint that answers while its mapping is away opens a session of its own
// with the client; the mapping that comes back is not dead for that client.
func TestMappingTakesOverWhatItsEndpointOpened(t *testing.T) {
	t.Parallel()
	r := newRig(t, 1)
	r.mute(t, 0)
	r.fromEndpoint(t, 0,
		segment{protocol: model.UDP, from: inside(0, 80), to: stranger(7, 1)},
		segment{protocol: model.TCP, flags: syn, from: inside(0, 80), to: stranger(7, 1)})
	r.external(t, model.UDP, inside(0, 80))
	own := r.external(t, model.TCP, inside(0, 80))
	published := netip.AddrPortFrom(hostAddress, 8080)
	r.config.Mappings[1] = mapping(model.UDP, "0.0.0.0:8080", inside(0, 80))
	r.config.Mappings[2] = mapping(model.TCP, "0.0.0.0:8080", inside(0, 80))
	r.apply(t)
	r.fromRemote(t,
		segment{protocol: model.UDP, from: stranger(7, 1), to: published},
		segment{protocol: model.TCP, flags: syn, from: stranger(7, 1), to: published})
	r.atEndpoint[0].await(t, "packet to the mapping", 1, is(model.UDP, stranger(7, 1), inside(0, 80)))
	r.fromEndpoint(t, 0, segment{protocol: model.UDP, from: inside(0, 80), to: stranger(7, 1)})
	r.atRemote.await(t, "answer of the mapping", 1, is(model.UDP, published, stranger(7, 1)))
	// With TCP a forged SYN would cut the connection: that one stays.
	r.dropped(t, "session-clash", 1)
	if s, has := r.session(t, model.TCP, inside(0, 80), stranger(7, 1)); !has || s.External != own {
		t.Errorf("the endpoint's own connection: %+v (%v), want it by %v", s, has, own)
	}
	r.consistent(t)
}
