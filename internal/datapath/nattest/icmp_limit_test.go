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

// RFC 1812 section 4.3.2.8, RFC 5508 REQ-10: errors of our own are limited, 100
// a second and CPU; the drops are counted all the same.
func TestErrorsAreLimited(t *testing.T) {
	t.Parallel()
	r := dptest.NewRig(t, 1)
	r.Mute(t, 0)
	const packets = 1500
	expiring := make([]wire.Segment, packets)
	for i := range expiring {
		expiring[i] = wire.Segment{Protocol: model.UDP, TTL: 1, From: wire.Inside(0, 4000), To: wire.Unanswered(7, 80)}
	}
	began := time.Now()
	r.FromEndpoint(t, 0, expiring...)
	r.Dropped(t, "hop-limit", packets)
	seconds := int(time.Since(began)/time.Second) + 2 // each second that it may have touched
	most := min(packets-1, 100*lab.AvailableCPU()*seconds)
	timeExceeded := func(p wire.Packet) bool { return p.Protocol == model.ICMP && p.Data[34] == 11 }
	r.AtEndpoint[0].Await(t, "time exceeded", 100, timeExceeded)
	if got := len(r.AtEndpoint[0].Came(timeExceeded)); got > most {
		t.Errorf("%d errors in less than %d s, want at most %d", got, seconds, most)
	}
}

// RFC 1812 section 4.3.2.7, RFC 1122 section 3.2.2: no error about an error, a
// later fragment, or a packet for a group.
func TestNoErrorsAboutWhatMayNotHaveOne(t *testing.T) {
	t.Parallel()
	r := dptest.NewRig(t, 1)
	r.Mute(t, 0)
	e := wire.ICMPError{From: wire.EndpointAddress(0), To: wire.Unanswered(7, 0).Addr(), Kind: 11, Quote: wire.Segment{Protocol: model.UDP, From: wire.Unanswered(7, 80), To: wire.Inside(0, 9)}.IP()}.IP()
	e[8] = 1
	wire.LengthOf(e, len(e))
	r.Send(t, r.Endpoints[0], "eth0", wire.Ethernet(dptest.EndpointMAC(0), wire.GatewayMAC, wire.EtherIPv4, e))
	r.FromEndpoint(t, 0,
		wire.Segment{Protocol: model.UDP, TTL: 1, From: wire.Inside(0, 4000), To: wire.Unanswered(7, 80), Fragment: 100, Payload: make([]byte, 16)},
		wire.Segment{Protocol: model.UDP, TTL: 1, From: wire.Inside(0, 4000), To: netip.MustParseAddrPort("224.0.0.9:520")},
		wire.Segment{Protocol: model.UDP, TTL: 1, From: wire.Inside(0, 4000), To: netip.MustParseAddrPort("255.255.255.255:520")},
		wire.Segment{Protocol: model.UDP, TTL: 1, From: wire.Inside(0, 4000), To: wire.Unanswered(8, 80)}) // this one has an answer
	r.AtEndpoint[0].Await(t, "time exceeded", 1, func(p wire.Packet) bool { return p.Protocol == model.ICMP })
	got := r.AtEndpoint[0].Came(func(p wire.Packet) bool { return p.Protocol == model.ICMP })
	if len(got) != 1 || string(got[0].Data[14+20+8+16:14+20+8+20]) != string(wire.Unanswered(8, 0).Addr().AsSlice()) {
		t.Errorf("%d errors: %v", len(got), got)
	}
}

// RFC 5508 REQ-8, RFC 6888 REQ-11, decision D3: what a flow is told that no port
// is left for is a setting.
func TestExhaustionIsAnsweredAsSet(t *testing.T) {
	t.Parallel()
	r := newTinyRig(t, 1)
	r.Mute(t, 0)
	flow(t, r, model.UDP, 4000)
	unreachable := func(code byte) func(wire.Packet) bool {
		return func(p wire.Packet) bool { return p.Protocol == model.ICMP && p.Data[34] == 3 && p.Data[35] == code }
	}
	for i, tt := range []struct {
		exhaustion           model.Exhaustion
		prohibited, hostless int // so far: 3/13, 3/1
	}{
		{model.Prohibited, 1, 0}, {model.Unreachable, 1, 1}, {model.Silent, 1, 1}, {model.Prohibited, 2, 1},
	} {
		n := r.Config.NATs[wire.RigNAT]
		n.Exhaustion = tt.exhaustion
		r.Config.NATs[wire.RigNAT] = n
		r.Apply(t)
		if port := flow(t, r, model.UDP, uint16(4001+i)); port != 0 {
			t.Errorf("got port %d", port)
		}
		r.AtEndpoint[0].Await(t, "3/13", tt.prohibited, unreachable(13))
		r.AtEndpoint[0].Await(t, "3/1", tt.hostless, unreachable(1))
		if got := len(r.AtEndpoint[0].Came(func(p wire.Packet) bool { return p.Protocol == model.ICMP })); got != tt.prohibited+tt.hostless {
			t.Errorf("%v: %d errors, want %d", tt.exhaustion, got, tt.prohibited+tt.hostless)
		}
	}
}
