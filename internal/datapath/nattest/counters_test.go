package nattest

import (
	"testing"

	"github.com/hostnat/hostnat/dev/lab"
	"github.com/hostnat/hostnat/internal/datapath/dptest"
	"github.com/hostnat/hostnat/internal/datapath/dptest/wire"
	"github.com/hostnat/hostnat/internal/model"
)

func TestCountersAreExact(t *testing.T) {
	t.Parallel()
	r := dptest.NewRig(t, 1)
	r.Mute(t, 0)
	const outward, inward = 23, 17
	for _, p := range []model.Protocol{model.UDP, model.TCP, model.ICMP} {
		header := uint64(28)
		if p == model.TCP {
			header = 40
		}
		remote := wire.Unanswered(7, 80)
		if p == model.ICMP {
			remote = wire.Unanswered(7, 0)
		}
		var wantOut, wantIn uint64
		var outs, ins []wire.Segment
		for i := range outward {
			flags := byte(wire.Ack)
			if i == 0 {
				flags = wire.Syn
			}
			outs = append(outs, wire.Segment{Protocol: p, Flags: flags, From: wire.Inside(0, 4000), To: remote, Payload: make([]byte, i*50)})
			wantOut += header + uint64(i*50)
		}
		r.FromEndpoint(t, 0, outs...)
		external := r.External(t, p, wire.Inside(0, 4000))
		for i := range inward {
			ins = append(ins, wire.Segment{Protocol: p, Flags: wire.Ack, Reply: true, From: remote, To: external, Payload: make([]byte, 1+i*80)})
			wantIn += header + uint64(1+i*80)
		}
		r.FromRemote(t, ins...)
		s := r.Counted(t, p, wire.Inside(0, 4000), remote, outward, inward)
		if s.BytesOut != wantOut || s.BytesIn != wantIn {
			t.Errorf("%v: %d bytes out and %d in, want %d and %d", p, s.BytesOut, s.BytesIn, wantOut, wantIn)
		}
	}
}

// Ethernet frames have 60 bytes at least; what fills them up is no traffic of
// the session.
func TestCountersLeaveOutPadding(t *testing.T) {
	t.Parallel()
	r := dptest.NewRig(t, 1)
	r.Mute(t, 0)
	padded := func(from, to model.MAC, s wire.Segment) []byte {
		return append(wire.Ethernet(from, to, wire.EtherIPv4, s.IP()), make([]byte, 18)...)
	}
	r.Send(t, r.Endpoints[0], "eth0", padded(dptest.EndpointMAC(0), wire.GatewayMAC,
		wire.Segment{Protocol: model.UDP, From: wire.Inside(0, 4000), To: wire.Unanswered(7, 80)}))
	external := r.External(t, model.UDP, wire.Inside(0, 4000))
	r.Send(t, r.Remote, lab.RemoteLink, padded("02:00:00:00:00:99", r.MACOf(t, r.Host, lab.HostLink),
		wire.Segment{Protocol: model.UDP, From: wire.Unanswered(7, 80), To: external}))
	s := r.Counted(t, model.UDP, wire.Inside(0, 4000), wire.Unanswered(7, 80), 1, 1)
	if s.BytesOut != 28 || s.BytesIn != 28 {
		t.Errorf("%d bytes out and %d in, want 28 each: the IP packets alone", s.BytesOut, s.BytesIn)
	}
}

// What is dropped is not counted as traffic.
func TestDroppedPacketsAreNotCountedInSession(t *testing.T) {
	t.Parallel()
	r := dptest.NewRig(t, 1)
	r.Mute(t, 0)
	r.FromEndpoint(t, 0, wire.Segment{Protocol: model.UDP, From: wire.Inside(0, 4000), To: wire.Unanswered(7, 80)})
	external := r.External(t, model.UDP, wire.Inside(0, 4000))
	r.FromRemote(t,
		wire.Segment{Protocol: model.UDP, From: wire.Unanswered(8, 80), To: external}, // filtered
		wire.Segment{Protocol: model.UDP, TTL: 1, From: wire.Unanswered(7, 80), To: external})
	r.FromEndpoint(t, 0, wire.Segment{Protocol: model.UDP, TTL: 1, From: wire.Inside(0, 4000), To: wire.Unanswered(7, 80)})
	r.Dropped(t, "filtered-remote", 1)
	r.FromEndpoint(t, 0, wire.Segment{Protocol: model.UDP, From: wire.Inside(0, 4000), To: wire.Unanswered(7, 80)})
	r.Counted(t, model.UDP, wire.Inside(0, 4000), wire.Unanswered(7, 80), 2, 0)
}
