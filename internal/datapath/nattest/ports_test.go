package nattest

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/hostnat/hostnat/internal/datapath"
	"github.com/hostnat/hostnat/internal/datapath/dptest"
	"github.com/hostnat/hostnat/internal/datapath/dptest/wire"
	"github.com/hostnat/hostnat/internal/event"
	"github.com/hostnat/hostnat/internal/model"
)

// RFC 6056, RFC 6888 REQ-15: ports are hard to guess.
func TestPortsAreRandomWithinThePool(t *testing.T) {
	t.Parallel()
	r := dptest.NewRig(t, 1)
	r.Mute(t, 0)
	const flows = 1000
	segments := make([]wire.Segment, flows)
	for i := range segments {
		segments[i] = wire.Segment{Protocol: model.UDP, From: wire.Inside(0, uint16(4000+i)), To: wire.Unanswered(7, 80)}
	}
	r.FromEndpoint(t, 0, segments...)
	wire.Eventually(t, "bindings", func() bool { return len(r.Bindings(t)) == flows })
	ports := make([]int, flows) // in the order of the flows
	for _, b := range r.Bindings(t) {
		port := b.External.Port()
		if port < 1024 || port >= 32768 && port <= 60999 || b.External.Addr() != wire.HostAddress {
			t.Errorf("%v is outside the pool", b.External)
		}
		ports[b.Internal.Port()-4000] = int(port)
	}
	rises, near, kept := 0, 0, 0
	differences := map[int]int{}
	for i := 1; i < flows; i++ {
		step := ports[i] - ports[i-1]
		differences[step]++
		if step > 0 {
			rises++
		}
		if step*step <= 25 {
			near++
		}
		if ports[i] == 4000+i {
			kept++
		}
	}
	// Of random ones half rise, give or take 9 (one standard deviation).
	if rises < 440 || rises > 560 || near > 10 || kept > 5 || len(differences) < flows*9/10 {
		t.Errorf("%d of %d rise, %d are near the one before, %d kept, %d different steps: %v...",
			rises, flows, near, kept, len(differences), ports[:20])
	}
}

// newTinyRig has a pool of so many ports from 5000 on.
func newTinyRig(t *testing.T, ports uint16) *dptest.Rig {
	t.Helper()
	r := dptest.NewRig(t, 1)
	r.Config.Pools[0].Addresses[0].Ports = []model.PortRange{{Low: 5000, High: 5000 + ports - 1}}
	r.Apply(t)
	return r
}

// flow sends the first packet of a flow of its own and returns its external
// port, 0 if it was refused.
func flow(t *testing.T, r *dptest.Rig, p model.Protocol, port uint16) uint16 {
	t.Helper()
	before := r.Drops(t)["out-of-ports"]
	r.FromEndpoint(t, 0, wire.Segment{Protocol: p, Flags: wire.Syn, From: wire.Inside(0, port), To: wire.Unanswered(7, 80)})
	var external uint16
	wire.Eventually(t, "binding or refusal", func() bool {
		for _, b := range r.Bindings(t) {
			if b.Protocol == p && b.Internal == wire.Inside(0, port) {
				external = b.External.Port()
			}
		}
		return external != 0 || r.Drops(t)["out-of-ports"] > before
	})
	return external
}

// usable opens flows until one is refused, and returns the ports they got.
func usable(t *testing.T, r *dptest.Rig, p model.Protocol) map[uint16]bool {
	t.Helper()
	got := map[uint16]bool{}
	for port := uint16(4000); port < 4100; port++ {
		external := flow(t, r, p, port)
		if external == 0 {
			return got
		}
		if got[external] {
			t.Errorf("port %d was given twice", external)
		}
		got[external] = true
	}
	t.Error("no flow was refused")
	return got
}

func wantPorts(t *testing.T, got map[uint16]bool, want ...uint16) {
	t.Helper()
	for _, p := range want {
		if !got[p] {
			t.Errorf("port %d was not given out", p)
		}
	}
	if len(got) != len(want) {
		t.Errorf("ports %v, want %v", got, want)
	}
}

// Design, rule 2; RFC 6888 REQ-11D and REQ-13.
func TestPoolIsUsedToTheLastPortAndRefusesThen(t *testing.T) {
	t.Parallel()
	for _, p := range []model.Protocol{model.UDP, model.TCP, model.ICMP} {
		t.Run(p.String(), func(t *testing.T) {
			t.Parallel()
			r := newTinyRig(t, 4)
			r.Mute(t, 0)
			w := watchEvents(t, r)
			wantPorts(t, usable(t, r, p), 5000, 5001, 5002, 5003)
			refusals := w.until(t, event.OutOfPorts, 1)
			e := refusals[len(refusals)-1]
			if e.ID != event.OutOfPorts || e.Protocol != p || e.NAT != wire.RigNAT || e.Internal != wire.Inside(0, 4004) {
				t.Errorf("last event %+v, want out of ports for the fifth flow", e)
			}
			oldFlowsLive(t, r, p)
			// A freed port is used again.
			freed := r.External(t, p, wire.Inside(0, 4002))
			wire.Must(t, r.Datapath.EndSessions(func(s datapath.Session) bool { return s.Internal == wire.Inside(0, 4002) }))
			if got := flow(t, r, p, 4010); got != freed.Port() {
				t.Errorf("got port %d, want %d, the only free one", got, freed.Port())
			}
			r.Consistent(t)
		})
	}
}

// oldFlowsLive sends over the flows from 4000 to 4003, both ways.
func oldFlowsLive(t *testing.T, r *dptest.Rig, p model.Protocol) {
	t.Helper()
	for port := uint16(4000); port < 4004; port++ {
		external := r.External(t, p, wire.Inside(0, port))
		r.FromEndpoint(t, 0, wire.Segment{Protocol: p, Flags: wire.Ack, From: wire.Inside(0, port), To: wire.Unanswered(7, 80)})
		r.FromRemote(t, wire.Segment{Protocol: p, Flags: wire.SynAck, Reply: true, From: wire.Unanswered(7, 80), To: external})
		r.AtRemote.Await(t, "packet out", 2, wire.Is(p, external, netip.AddrPort{}))
		r.AtEndpoint[0].Await(t, "packet in", 1, wire.Is(p, netip.AddrPort{}, wire.Inside(0, port)))
	}
}

// Two ranges that do not touch are one pool.
func TestAllRangesOfPoolAreUsed(t *testing.T) {
	t.Parallel()
	r := dptest.NewRig(t, 1)
	r.Config.Pools[0].Addresses[0].Ports = []model.PortRange{{Low: 5000, High: 5001}, {Low: 7000, High: 7000}, {Low: 65534, High: 65535}}
	r.Apply(t)
	wantPorts(t, usable(t, r, model.UDP), 5000, 5001, 7000, 65534, 65535)
}

// RFC 4787 REQ-2: an endpoint keeps to one of several addresses.
func TestPoolingIsPaired(t *testing.T) {
	t.Parallel()
	r := dptest.NewRig(t, 8)
	var addresses []datapath.PoolAddress
	for i := range 4 {
		addresses = append(addresses, datapath.PoolAddress{Address: netip.AddrFrom4([4]byte{203, 0, 113, byte(101 + i)}), Ports: wire.RigPorts})
	}
	r.Config.Pools[0].Addresses = addresses
	r.Apply(t)
	used := map[netip.Addr]bool{}
	for i := range r.Endpoints {
		var segments []wire.Segment
		for port := range uint16(5) {
			for _, p := range []model.Protocol{model.UDP, model.TCP, model.ICMP} {
				segments = append(segments, wire.Segment{Protocol: p, Flags: wire.Syn, From: wire.Inside(i, 4000+port), To: wire.Unanswered(byte(port), 80)})
			}
		}
		r.FromEndpoint(t, i, segments...)
		own := r.External(t, model.ICMP, wire.Inside(i, 4004)).Addr()
		for _, b := range r.Bindings(t) {
			if b.Internal.Addr() == wire.EndpointAddress(i) && b.External.Addr() != own {
				t.Errorf("endpoint %d uses %v and %v", i, own, b.External.Addr())
			}
		}
		used[own] = true
	}
	if len(used) < 2 {
		t.Errorf("all endpoints use %v", used)
	}
}

// A mapping's port is not dynamic, whichever address it is on.
func TestMappedPortsAreNotGivenOut(t *testing.T) {
	t.Parallel()
	r := newTinyRig(t, 4)
	r.Config.Mappings[1] = dptest.Mapping(model.UDP, "0.0.0.0:5001", wire.Inside(0, 80))
	r.Config.Mappings[2] = dptest.Mapping(model.UDP, "203.0.113.1:5002", wire.Inside(0, 81))
	r.Config.Mappings[3] = dptest.Mapping(model.TCP, "0.0.0.0:5003", wire.Inside(0, 82))
	r.Apply(t)
	wantPorts(t, usable(t, r, model.UDP), 5000, 5003)
	wantPorts(t, usable(t, r, model.TCP), 5000, 5001, 5002)
}

// Ten thousand flows of several senders at once.
func TestManyFlowsAreCountedRight(t *testing.T) {
	t.Parallel()
	r := dptest.NewRig(t, 2)
	const senders, ports, remotes = 4, 50, 50
	errs := make(chan error, senders)
	for s := range senders {
		go func() { errs <- sendFlows(r, s, ports, remotes) }()
	}
	for range senders {
		wire.Must(t, <-errs)
	}
	const flows = senders * ports * remotes
	wire.Eventually(t, fmt.Sprint(flows, " sessions"), func() bool { return len(r.Sessions(t)) == flows })
	if n := len(r.Bindings(t)); n != senders*ports {
		t.Errorf("%d bindings, want %d", n, senders*ports)
	}
	r.Consistent(t)
	wire.Must(t, r.Datapath.EndSessions(func(datapath.Session) bool { return true }))
	if !r.Empty(t) {
		t.Errorf("left: %d sessions, %d bindings", len(r.Sessions(t)), len(r.Bindings(t)))
	}
	if drops := r.Drops(t); len(drops) != 0 {
		t.Errorf("drops %v", drops)
	}
}

// sendFlows opens so many sockets in an endpoint and sends from each to so many
// remotes, in an order that no other sender has.
func sendFlows(r *dptest.Rig, sender, ports, remotes int) error {
	endpoint := sender % len(r.Endpoints)
	for p := range ports {
		conn, err := r.Endpoints[endpoint].ListenPacket("udp4", wire.Text(wire.EndpointAddress(endpoint), fmt.Sprint(4000+sender*1000+p)))
		if err != nil {
			return err
		}
		for i := range remotes {
			to := wire.Unanswered(byte((i*7+sender)%remotes), 80)
			if _, err := conn.(interface {
				WriteToUDPAddrPort([]byte, netip.AddrPort) (int, error)
			}).WriteToUDPAddrPort([]byte("x"), to); err != nil {
				return err
			}
		}
		if err := conn.Close(); err != nil {
			return err
		}
	}
	return nil
}
