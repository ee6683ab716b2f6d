package datapath

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/hostnat/hostnat/dev/lab"
	"github.com/hostnat/hostnat/internal/model"
)

// counted waits until a session has counted so many packets each way, and
// returns it.
func (r *rig) counted(t *testing.T, p model.Protocol, internal, remote netip.AddrPort, sent, received uint64) Session {
	t.Helper()
	var s Session
	eventually(t, fmt.Sprintf("%d packets out and %d in", sent, received), func() bool {
		s, _ = r.session(t, p, internal, remote)
		return s.PacketsOut >= sent && s.PacketsIn >= received
	})
	if s.PacketsOut != sent || s.PacketsIn != received {
		t.Errorf("%d packets out and %d in, want %d and %d", s.PacketsOut, s.PacketsIn, sent, received)
	}
	return s
}

func TestCountersAreExact(t *testing.T) {
	t.Parallel()
	r := newRig(t, 1)
	r.mute(t, 0)
	const outward, inward = 23, 17
	for _, p := range []model.Protocol{model.UDP, model.TCP, model.ICMP} {
		header := uint64(28)
		if p == model.TCP {
			header = 40
		}
		remote := stranger(7, 80)
		if p == model.ICMP {
			remote = stranger(7, 0)
		}
		var wantOut, wantIn uint64
		var outs, ins []segment
		for i := range outward {
			flags := byte(ack)
			if i == 0 {
				flags = syn
			}
			outs = append(outs, segment{protocol: p, flags: flags, from: inside(0, 4000), to: remote, payload: make([]byte, i*50)})
			wantOut += header + uint64(i*50)
		}
		r.fromEndpoint(t, 0, outs...)
		external := r.external(t, p, inside(0, 4000))
		for i := range inward {
			ins = append(ins, segment{protocol: p, flags: ack, reply: true, from: remote, to: external, payload: make([]byte, 1+i*80)})
			wantIn += header + uint64(1+i*80)
		}
		r.fromRemote(t, ins...)
		s := r.counted(t, p, inside(0, 4000), remote, outward, inward)
		if s.BytesOut != wantOut || s.BytesIn != wantIn {
			t.Errorf("%v: %d bytes out and %d in, want %d and %d", p, s.BytesOut, s.BytesIn, wantOut, wantIn)
		}
	}
}

// Ethernet frames have 60 bytes at least; what fills them up is no traffic of
// the session.
func TestCountersLeaveOutPadding(t *testing.T) {
	t.Parallel()
	r := newRig(t, 1)
	r.mute(t, 0)
	padded := func(from, to model.MAC, s segment) []byte {
		return append(ethernet(from, to, etherIPv4, s.ip()), make([]byte, 18)...)
	}
	r.send(t, r.Endpoints[0], "eth0", padded(endpointMAC(0), gatewayMAC,
		segment{protocol: model.UDP, from: inside(0, 4000), to: stranger(7, 80)}))
	external := r.external(t, model.UDP, inside(0, 4000))
	r.send(t, r.Remote, lab.RemoteLink, padded("02:00:00:00:00:99", r.macOf(t, r.Host, lab.HostLink),
		segment{protocol: model.UDP, from: stranger(7, 80), to: external}))
	s := r.counted(t, model.UDP, inside(0, 4000), stranger(7, 80), 1, 1)
	if s.BytesOut != 28 || s.BytesIn != 28 {
		t.Errorf("%d bytes out and %d in, want 28 each: the IP packets alone", s.BytesOut, s.BytesIn)
	}
}

// What is dropped is not counted as traffic.
func TestDroppedPacketsAreNotCountedInSession(t *testing.T) {
	t.Parallel()
	r := newRig(t, 1)
	r.mute(t, 0)
	r.fromEndpoint(t, 0, segment{protocol: model.UDP, from: inside(0, 4000), to: stranger(7, 80)})
	external := r.external(t, model.UDP, inside(0, 4000))
	r.fromRemote(t,
		segment{protocol: model.UDP, from: stranger(8, 80), to: external}, // filtered
		segment{protocol: model.UDP, ttl: 1, from: stranger(7, 80), to: external})
	r.fromEndpoint(t, 0, segment{protocol: model.UDP, ttl: 1, from: inside(0, 4000), to: stranger(7, 80)})
	r.dropped(t, "filtered-remote", 1)
	r.fromEndpoint(t, 0, segment{protocol: model.UDP, from: inside(0, 4000), to: stranger(7, 80)})
	r.counted(t, model.UDP, inside(0, 4000), stranger(7, 80), 2, 0)
}
