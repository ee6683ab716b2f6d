package nattest

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

// Bugs that users of other systems met, and that no other file here has.

// moby#8795, #7540, CNI#123, #553: a client whose datagrams began before the
// mapping did stays with the old decision for ever.
func TestMappingAddedUnderTrafficWorksAtOnce(t *testing.T) {
	t.Parallel()
	r := dptest.NewRig(t, 1)
	client, server := wire.Listen(t, r.Remote, lab.RemoteAddress+":5000"), wire.Listen(t, r.Endpoints[0], wire.Text(wire.EndpointAddress(0), "80"))
	host := wire.Listen(t, r.Host, lab.HostAddress+":8080") // it gets the datagrams until then
	for range 3 {
		client.Send(t, wire.Published, "early")
		host.Expect(t, "early")
	}
	wire.Must(t, host.Close())
	client.Send(t, wire.Published, "refused")
	r.AtRemote.Await(t, "the host's port unreachable", 1, func(p wire.Packet) bool { return p.Protocol == model.ICMP })
	r.Config.Mappings[1] = dptest.Mapping(model.UDP, "0.0.0.0:8080", wire.Inside(0, 80))
	r.Apply(t)
	client.Send(t, wire.Published, "late")
	server.Send(t, server.Expect(t, "late"), "answer")
	if from := client.Expect(t, "answer"); from != wire.Published {
		t.Errorf("answer from %v", from)
	}
	r.Consistent(t)
}

// lima-vm/lima#2411: a UDP forward is dead once the service has been started
// again. The errors of the time between must not cut the flow.
func TestMappingOutlivesRestartOfService(t *testing.T) {
	t.Parallel()
	r := dptest.NewRig(t, 1)
	withoutOffloads(t, r)
	r.Config.Mappings[1] = dptest.Mapping(model.UDP, "0.0.0.0:8080", wire.Inside(0, 80))
	r.Apply(t)
	client := wire.Listen(t, r.Remote, lab.RemoteAddress+":5000")
	for round := range 3 {
		server := wire.Listen(t, r.Endpoints[0], wire.Text(wire.EndpointAddress(0), "80"))
		ask := fmt.Sprintf("round %d", round)
		client.Send(t, wire.Published, ask)
		server.Send(t, server.Expect(t, ask), "answer")
		client.Expect(t, "answer")
		wire.Must(t, server.Close())
		client.Send(t, wire.Published, "anybody?")
		r.AtRemote.Await(t, "port unreachable", round+1, func(p wire.Packet) bool { return p.Protocol == model.ICMP })
	}
	if sessions := r.Sessions(t); len(sessions) != 1 || sessions[0].PacketsIn != 6 {
		t.Errorf("sessions %+v, want one with all six datagrams", sessions)
	}
}

// RFC 6888 REQ-8 lets a NAT that tracks TCP have the port of a closed connection
// back at once: with no other left, a new one gets it.
func TestClosedConnectionGivesItsPortBack(t *testing.T) {
	t.Parallel()
	r := newTinyRig(t, 1)
	r.Mute(t, 0)
	for _, path := range [][]wire.Step{
		{wire.Out(wire.Syn), wire.In(wire.SynAck), wire.In(wire.FinAck), wire.Out(wire.FinAck)}, {wire.Out(wire.Syn), wire.In(wire.SynAck), wire.In(wire.Rst)},
	} {
		f := openTCP(t, r, 4000, wire.Unanswered(7, 80))
		f.play(t, path[1:]...)
		if port := flow(t, r, model.TCP, 4001); port == 0 {
			t.Errorf("after %v there is no port for another connection", path)
		}
		wire.Must(t, r.Datapath.EndSessions(func(datapath.Session) bool { return true }))
		wire.Eventually(t, "captures without the old segments", func() bool { return forget(r) })
	}
}

// microsoft/SDN#250: the port of a connection that is not over yet is not given
// to another one, though the pool has no other.
func TestPortOfClosingConnectionIsNotGivenAway(t *testing.T) {
	t.Parallel()
	r := newTinyRig(t, 1)
	r.Mute(t, 0)
	for _, path := range [][]wire.Step{
		{wire.Out(wire.Syn), wire.In(wire.SynAck), wire.In(wire.FinAck)}, {wire.Out(wire.Syn), wire.In(wire.Rst)}, {wire.Out(wire.Syn)},
	} {
		f := openTCP(t, r, 4000, wire.Unanswered(7, 80))
		f.play(t, path[1:]...)
		if port := flow(t, r, model.TCP, 4001); port != 0 {
			t.Errorf("after %v port %d was given to another connection", path, port)
		}
		// The connection itself goes on, or begins again, on its port.
		f.play(t, wire.Out(wire.Syn), wire.In(wire.SynAck), wire.Out(wire.Ack))
		wire.Must(t, r.Datapath.EndSessions(func(datapath.Session) bool { return true }))
		wire.Eventually(t, "captures without the old segments", func() bool { return forget(r) })
	}
}

// forget empties the captures.
func forget(r *dptest.Rig) bool {
	for _, w := range append([]*wire.Capture{r.AtRemote}, r.AtEndpoint...) {
		w.Mu.Lock()
		w.Packets = nil
		w.Mu.Unlock()
	}
	return true
}

// moby#41872: a mapping's way in is the address that it has. A neighbour on the
// LAN that sends to the inside address, or to loopback, by the host's MAC gets
// nothing through, though the mapping is there.
func TestInsideIsNotReachedPastTheMapping(t *testing.T) {
	t.Parallel()
	r := dptest.NewRig(t, 1)
	r.Mute(t, 0)
	wire.Must(t, r.Host.Sysctl("net/ipv4/ip_forward", "1"))
	wire.Must(t, r.Host.Sysctl("net/ipv4/conf/all/route_localnet", "1"))
	r.Config.Mappings[1] = dptest.Mapping(model.UDP, "0.0.0.0:8080", wire.Inside(0, 80))
	r.Apply(t)
	for _, to := range []string{"172.16.1.2:80", "172.16.1.2:8080", "127.0.0.1:8080", "127.0.0.1:80"} {
		r.FromRemote(t, wire.Segment{Protocol: model.UDP, From: wire.Unanswered(7, 80), To: netip.MustParseAddrPort(to), Payload: []byte("past")})
	}
	r.FromRemote(t, wire.Segment{Protocol: model.UDP, From: wire.Unanswered(7, 80), To: wire.Published, Payload: []byte("marker")})
	r.AtEndpoint[0].Await(t, "marker", 1, wire.Says("marker"))
	if got := r.AtEndpoint[0].Came(wire.Says("past")); len(got) != 0 {
		t.Errorf("came in: %v", got)
	}
}
