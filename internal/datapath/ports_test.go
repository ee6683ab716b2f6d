package datapath

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/hostnat/hostnat/internal/event"
	"github.com/hostnat/hostnat/internal/model"
)

// RFC 6056, RFC 6888 REQ-15: ports are hard to guess.
func TestPortsAreRandomWithinThePool(t *testing.T) {
	t.Parallel()
	r := newRig(t, 1)
	r.mute(t, 0)
	const flows = 1000
	segments := make([]segment, flows)
	for i := range segments {
		segments[i] = segment{protocol: model.UDP, from: inside(0, uint16(4000+i)), to: stranger(7, 80)}
	}
	r.fromEndpoint(t, 0, segments...)
	eventually(t, "bindings", func() bool { return len(r.bindings(t)) == flows })
	ports := make([]int, flows) // in the order of the flows
	for _, b := range r.bindings(t) {
		port := b.External.Port()
		if port < 1024 || port >= 32768 && port <= 60999 || b.External.Addr() != hostAddress {
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
func newTinyRig(t *testing.T, ports uint16) *rig {
	t.Helper()
	r := newRig(t, 1)
	r.config.Pools[0].Addresses[0].Ports = []model.PortRange{{Low: 5000, High: 5000 + ports - 1}}
	r.apply(t)
	return r
}

// flow sends the first packet of a flow of its own and returns its external
// port, 0 if it was refused.
func (r *rig) flow(t *testing.T, p model.Protocol, port uint16) uint16 {
	t.Helper()
	before := r.drops(t)["out-of-ports"]
	r.fromEndpoint(t, 0, segment{protocol: p, flags: syn, from: inside(0, port), to: stranger(7, 80)})
	var external uint16
	eventually(t, "binding or refusal", func() bool {
		for _, b := range r.bindings(t) {
			if b.Protocol == p && b.Internal == inside(0, port) {
				external = b.External.Port()
			}
		}
		return external != 0 || r.drops(t)["out-of-ports"] > before
	})
	return external
}

// usable opens flows until one is refused, and returns the ports they got.
func (r *rig) usable(t *testing.T, p model.Protocol) map[uint16]bool {
	t.Helper()
	got := map[uint16]bool{}
	for port := uint16(4000); port < 4100; port++ {
		external := r.flow(t, p, port)
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
			r.mute(t, 0)
			w := r.watchEvents(t)
			wantPorts(t, r.usable(t, p), 5000, 5001, 5002, 5003)
			refusals := w.until(t, event.OutOfPorts, 1)
			e := refusals[len(refusals)-1]
			if e.ID != event.OutOfPorts || e.Protocol != p || e.NAT != rigNAT || e.Internal != inside(0, 4004) {
				t.Errorf("last event %+v, want out of ports for the fifth flow", e)
			}
			r.oldFlowsLive(t, p)
			// A freed port is used again.
			freed := r.external(t, p, inside(0, 4002))
			must(t, r.dp.EndSessions(func(s Session) bool { return s.Internal == inside(0, 4002) }))
			if got := r.flow(t, p, 4010); got != freed.Port() {
				t.Errorf("got port %d, want %d, the only free one", got, freed.Port())
			}
			r.consistent(t)
		})
	}
}

// oldFlowsLive sends over the flows from 4000 to 4003, both ways.
func (r *rig) oldFlowsLive(t *testing.T, p model.Protocol) {
	t.Helper()
	for port := uint16(4000); port < 4004; port++ {
		external := r.external(t, p, inside(0, port))
		r.fromEndpoint(t, 0, segment{protocol: p, flags: ack, from: inside(0, port), to: stranger(7, 80)})
		r.fromRemote(t, segment{protocol: p, flags: synAck, reply: true, from: stranger(7, 80), to: external})
		r.atRemote.await(t, "packet out", 2, is(p, external, netip.AddrPort{}))
		r.atEndpoint[0].await(t, "packet in", 1, is(p, netip.AddrPort{}, inside(0, port)))
	}
}

// Two ranges that do not touch are one pool.
func TestAllRangesOfPoolAreUsed(t *testing.T) {
	t.Parallel()
	r := newRig(t, 1)
	r.config.Pools[0].Addresses[0].Ports = []model.PortRange{{Low: 5000, High: 5001}, {Low: 7000, High: 7000}, {Low: 65534, High: 65535}}
	r.apply(t)
	wantPorts(t, r.usable(t, model.UDP), 5000, 5001, 7000, 65534, 65535)
}

// RFC 4787 REQ-2: an endpoint keeps to one of several addresses.
func TestPoolingIsPaired(t *testing.T) {
	t.Parallel()
	r := newRig(t, 8)
	var addresses []PoolAddress
	for i := range 4 {
		addresses = append(addresses, PoolAddress{Address: netip.AddrFrom4([4]byte{203, 0, 113, byte(101 + i)}), Ports: rigPorts})
	}
	r.config.Pools[0].Addresses = addresses
	r.apply(t)
	used := map[netip.Addr]bool{}
	for i := range r.Endpoints {
		var segments []segment
		for port := range uint16(5) {
			for _, p := range []model.Protocol{model.UDP, model.TCP, model.ICMP} {
				segments = append(segments, segment{protocol: p, flags: syn, from: inside(i, 4000+port), to: stranger(byte(port), 80)})
			}
		}
		r.fromEndpoint(t, i, segments...)
		own := r.external(t, model.ICMP, inside(i, 4004)).Addr()
		for _, b := range r.bindings(t) {
			if b.Internal.Addr() == endpointAddress(i) && b.External.Addr() != own {
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
	r.config.Mappings[1] = mapping(model.UDP, "0.0.0.0:5001", inside(0, 80))
	r.config.Mappings[2] = mapping(model.UDP, "203.0.113.1:5002", inside(0, 81))
	r.config.Mappings[3] = mapping(model.TCP, "0.0.0.0:5003", inside(0, 82))
	r.apply(t)
	wantPorts(t, r.usable(t, model.UDP), 5000, 5003)
	wantPorts(t, r.usable(t, model.TCP), 5000, 5001, 5002)
}

// Ten thousand flows of several senders at once.
func TestManyFlowsAreCountedRight(t *testing.T) {
	t.Parallel()
	r := newRig(t, 2)
	const senders, ports, remotes = 4, 50, 50
	errs := make(chan error, senders)
	for s := range senders {
		go func() { errs <- r.sendFlows(s, ports, remotes) }()
	}
	for range senders {
		must(t, <-errs)
	}
	const flows = senders * ports * remotes
	eventually(t, fmt.Sprint(flows, " sessions"), func() bool { return len(r.sessions(t)) == flows })
	if n := len(r.bindings(t)); n != senders*ports {
		t.Errorf("%d bindings, want %d", n, senders*ports)
	}
	r.consistent(t)
	must(t, r.dp.EndSessions(func(Session) bool { return true }))
	if !r.empty(t) {
		t.Errorf("left: %d sessions, %d bindings", len(r.sessions(t)), len(r.bindings(t)))
	}
	if drops := r.drops(t); len(drops) != 0 {
		t.Errorf("drops %v", drops)
	}
}

// sendFlows opens so many sockets in an endpoint and sends from each to so many
// remotes, in an order that no other sender has.
func (r *rig) sendFlows(sender, ports, remotes int) error {
	endpoint := sender % len(r.Endpoints)
	for p := range ports {
		conn, err := r.Endpoints[endpoint].ListenPacket("udp4", text(endpointAddress(endpoint), fmt.Sprint(4000+sender*1000+p)))
		if err != nil {
			return err
		}
		for i := range remotes {
			to := stranger(byte((i*7+sender)%remotes), 80)
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
