package datapath

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/hostnat/hostnat/dev/lab"
	"github.com/hostnat/hostnat/internal/model"
)

// Bugs that users of other systems met, and that no other file here has.

// moby#8795, #7540, CNI#123, #553: a client whose datagrams began before the
// mapping did stays with the old decision for ever.
func TestMappingAddedUnderTrafficWorksAtOnce(t *testing.T) {
	t.Parallel()
	r := newRig(t, 1)
	client, server := listen(t, r.Remote, lab.RemoteAddress+":5000"), listen(t, r.Endpoints[0], text(endpointAddress(0), "80"))
	host := listen(t, r.Host, lab.HostAddress+":8080") // it gets the datagrams until then
	for range 3 {
		client.send(t, published, "early")
		host.expect(t, "early")
	}
	must(t, host.Close())
	client.send(t, published, "refused")
	r.atRemote.await(t, "the host's port unreachable", 1, func(p packet) bool { return p.protocol == model.ICMP })
	r.config.Mappings[1] = mapping(model.UDP, "0.0.0.0:8080", inside(0, 80))
	r.apply(t)
	client.send(t, published, "late")
	server.send(t, server.expect(t, "late"), "answer")
	if from := client.expect(t, "answer"); from != published {
		t.Errorf("answer from %v", from)
	}
	r.consistent(t)
}

// lima-vm/lima#2411: a UDP forward is dead once the service has been started
// again. The errors of the time between must not cut the flow.
func TestMappingOutlivesRestartOfService(t *testing.T) {
	t.Parallel()
	r := newRig(t, 1)
	r.withoutOffloads(t)
	r.config.Mappings[1] = mapping(model.UDP, "0.0.0.0:8080", inside(0, 80))
	r.apply(t)
	client := listen(t, r.Remote, lab.RemoteAddress+":5000")
	for round := range 3 {
		server := listen(t, r.Endpoints[0], text(endpointAddress(0), "80"))
		ask := fmt.Sprintf("round %d", round)
		client.send(t, published, ask)
		server.send(t, server.expect(t, ask), "answer")
		client.expect(t, "answer")
		must(t, server.Close())
		client.send(t, published, "anybody?")
		r.atRemote.await(t, "port unreachable", round+1, func(p packet) bool { return p.protocol == model.ICMP })
	}
	if sessions := r.sessions(t); len(sessions) != 1 || sessions[0].PacketsIn != 6 {
		t.Errorf("sessions %+v, want one with all six datagrams", sessions)
	}
}

// microsoft/SDN#250: the port of a connection that is not over yet is not given
// to another one, though the pool has no other.
func TestPortOfClosingConnectionIsNotGivenAway(t *testing.T) {
	t.Parallel()
	r := newTinyRig(t, 1)
	r.mute(t, 0)
	for _, path := range [][]step{
		{out(syn), in(synAck), in(finAck), out(finAck)}, {out(syn), in(synAck), in(rst)}, {out(syn), in(rst)}, {out(syn)},
	} {
		f := r.openTCP(t, 4000, stranger(7, 80))
		f.play(t, path[1:]...)
		if port := r.flow(t, model.TCP, 4001); port != 0 {
			t.Errorf("after %v port %d was given to another connection", path, port)
		}
		// The connection itself goes on, or begins again, on its port.
		f.play(t, out(syn), in(synAck), out(ack))
		must(t, r.dp.EndSessions(func(Session) bool { return true }))
		eventually(t, "captures without the old segments", func() bool { return r.forget() })
	}
}

// forget empties the captures.
func (r *rig) forget() bool {
	for _, w := range append([]*wire{r.atRemote}, r.atEndpoint...) {
		w.mu.Lock()
		w.packets = nil
		w.mu.Unlock()
	}
	return true
}

// moby#41872: a mapping's way in is the address that it has. A neighbour on the
// LAN that sends to the inside address, or to loopback, by the host's MAC gets
// nothing through, though the mapping is there.
func TestInsideIsNotReachedPastTheMapping(t *testing.T) {
	t.Parallel()
	r := newRig(t, 1)
	r.mute(t, 0)
	must(t, r.Host.Sysctl("net/ipv4/ip_forward", "1"))
	must(t, r.Host.Sysctl("net/ipv4/conf/all/route_localnet", "1"))
	r.config.Mappings[1] = mapping(model.UDP, "0.0.0.0:8080", inside(0, 80))
	r.apply(t)
	for _, to := range []string{"172.16.1.2:80", "172.16.1.2:8080", "127.0.0.1:8080", "127.0.0.1:80"} {
		r.fromRemote(t, segment{protocol: model.UDP, from: stranger(7, 80), to: netip.MustParseAddrPort(to), payload: []byte("past")})
	}
	r.fromRemote(t, segment{protocol: model.UDP, from: stranger(7, 80), to: published, payload: []byte("marker")})
	r.atEndpoint[0].await(t, "marker", 1, says("marker"))
	if got := r.atEndpoint[0].came(says("past")); len(got) != 0 {
		t.Errorf("came in: %v", got)
	}
}
