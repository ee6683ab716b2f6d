package datapath

import (
	"net/netip"
	"testing"
	"time"

	"github.com/hostnat/hostnat/dev/lab"
	"github.com/hostnat/hostnat/internal/model"
)

// RFC 1812 section 4.3.2.8, RFC 5508 REQ-10: errors of our own are limited, 100
// a second and CPU; the drops are counted all the same.
func TestErrorsAreLimited(t *testing.T) {
	t.Parallel()
	r := newRig(t, 1)
	r.mute(t, 0)
	const packets = 1500
	expiring := make([]segment, packets)
	for i := range expiring {
		expiring[i] = segment{protocol: model.UDP, ttl: 1, from: inside(0, 4000), to: stranger(7, 80)}
	}
	began := time.Now()
	r.fromEndpoint(t, 0, expiring...)
	r.dropped(t, "hop-limit", packets)
	seconds := int(time.Since(began)/time.Second) + 2 // each second that it may have touched
	most := min(packets-1, 100*lab.AvailableCPU()*seconds)
	timeExceeded := func(p packet) bool { return p.protocol == model.ICMP && p.data[34] == 11 }
	r.atEndpoint[0].await(t, "time exceeded", 100, timeExceeded)
	if got := len(r.atEndpoint[0].came(timeExceeded)); got > most {
		t.Errorf("%d errors in less than %d s, want at most %d", got, seconds, most)
	}
}

// RFC 1812 section 4.3.2.7, RFC 1122 section 3.2.2: no error about an error, a
// later fragment, or a packet for a group.
func TestNoErrorsAboutWhatMayNotHaveOne(t *testing.T) {
	t.Parallel()
	r := newRig(t, 1)
	r.mute(t, 0)
	e := icmpError{from: endpointAddress(0), to: stranger(7, 0).Addr(), kind: 11, quote: segment{protocol: model.UDP, from: stranger(7, 80), to: inside(0, 9)}.ip()}.ip()
	e[8] = 1
	lengthOf(e, len(e))
	r.send(t, r.Endpoints[0], "eth0", ethernet(endpointMAC(0), gatewayMAC, etherIPv4, e))
	r.fromEndpoint(t, 0,
		segment{protocol: model.UDP, ttl: 1, from: inside(0, 4000), to: stranger(7, 80), fragment: 100, payload: make([]byte, 16)},
		segment{protocol: model.UDP, ttl: 1, from: inside(0, 4000), to: netip.MustParseAddrPort("224.0.0.9:520")},
		segment{protocol: model.UDP, ttl: 1, from: inside(0, 4000), to: netip.MustParseAddrPort("255.255.255.255:520")},
		segment{protocol: model.UDP, ttl: 1, from: inside(0, 4000), to: stranger(8, 80)}) // this one has an answer
	r.atEndpoint[0].await(t, "time exceeded", 1, func(p packet) bool { return p.protocol == model.ICMP })
	got := r.atEndpoint[0].came(func(p packet) bool { return p.protocol == model.ICMP })
	if len(got) != 1 || string(got[0].data[14+20+8+16:14+20+8+20]) != string(stranger(8, 0).Addr().AsSlice()) {
		t.Errorf("%d errors: %v", len(got), got)
	}
}

// RFC 5508 REQ-8, RFC 6888 REQ-11, decision D3: what a flow is told that no port
// is left for is a setting.
func TestExhaustionIsAnsweredAsSet(t *testing.T) {
	t.Parallel()
	r := newTinyRig(t, 1)
	r.mute(t, 0)
	r.flow(t, model.UDP, 4000)
	unreachable := func(code byte) func(packet) bool {
		return func(p packet) bool { return p.protocol == model.ICMP && p.data[34] == 3 && p.data[35] == code }
	}
	for i, tt := range []struct {
		exhaustion           model.Exhaustion
		prohibited, hostless int // so far: 3/13, 3/1
	}{
		{model.Prohibited, 1, 0}, {model.Unreachable, 1, 1}, {model.Silent, 1, 1}, {model.Prohibited, 2, 1},
	} {
		n := r.config.NATs[rigNAT]
		n.Exhaustion = tt.exhaustion
		r.config.NATs[rigNAT] = n
		r.apply(t)
		if port := r.flow(t, model.UDP, uint16(4001+i)); port != 0 {
			t.Errorf("got port %d", port)
		}
		r.atEndpoint[0].await(t, "3/13", tt.prohibited, unreachable(13))
		r.atEndpoint[0].await(t, "3/1", tt.hostless, unreachable(1))
		if got := len(r.atEndpoint[0].came(func(p packet) bool { return p.protocol == model.ICMP })); got != tt.prohibited+tt.hostless {
			t.Errorf("%v: %d errors, want %d", tt.exhaustion, got, tt.prohibited+tt.hostless)
		}
	}
}
