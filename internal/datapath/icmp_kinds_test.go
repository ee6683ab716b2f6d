package datapath

import (
	"net/netip"
	"testing"

	"github.com/hostnat/hostnat/internal/model"
)

// RFC 5508 REQ-4 and REQ-5 for bindings that are not one port each: a range, a
// mapping with several targets, a port that flows to different remotes share.

// errorsBothWays sends errors about a session's packets, from the remote and
// from the endpoint.
func (r *rig) errorsBothWays(t *testing.T, i int, p model.Protocol, internal, external, remote netip.AddrPort) {
	t.Helper()
	out := segment{protocol: p, flags: ack, from: internal, to: remote, ttl: 63, payload: []byte("some data")}
	sent, in, came := out, out, out
	sent.from = external
	in.from, in.to, in.flags = remote, external, ack
	came.from, came.to, came.flags = remote, internal, ack
	for _, shape := range errorShapes {
		rest, quote := shape.shape(sent.ip())
		e := icmpError{from: remote.Addr(), to: external.Addr(), kind: shape.kind, code: shape.code, rest: rest, quote: quote}
		r.send(t, r.Remote, "eth0", ethernet(r.macOf(t, r.Remote, "eth0"), r.macOf(t, r.Host, "out0"), etherIPv4, e.ip()))
		e.to = internal.Addr()
		_, e.quote = shape.shape(out.ip())
		checkError(t, r.atEndpoint[i], e)

		rest, quote = shape.shape(came.ip())
		e = icmpError{from: internal.Addr(), to: remote.Addr(), kind: shape.kind, code: shape.code, rest: rest, quote: quote}
		r.send(t, r.Endpoints[i], "eth0", ethernet(endpointMAC(i), gatewayMAC, etherIPv4, e.ip()))
		e.from = external.Addr()
		_, e.quote = shape.shape(in.ip())
		checkError(t, r.atRemote, e)
	}
}

func TestICMPErrorsAboutRange(t *testing.T) {
	t.Parallel()
	r := newRig(t, 1)
	r.mute(t, 0)
	r.config.Mappings[1] = ranged(t, model.UDP, "0.0.0.0:8000-8099", "172.16.1.2:80-179")
	r.apply(t)
	for port := uint16(0); port < 100; port += 33 {
		internal, external := inside(0, 80+port), netip.AddrPortFrom(hostAddress, 8000+port)
		r.fromRemote(t, segment{protocol: model.UDP, from: stranger(7, 80), to: external})
		r.atEndpoint[0].await(t, "datagram", 1, is(model.UDP, stranger(7, 80), internal))
		r.errorsBothWays(t, 0, model.UDP, internal, external, stranger(7, 80))
	}
}

func TestICMPErrorsAboutSpreadMapping(t *testing.T) {
	t.Parallel()
	r := newRig(t, 2)
	r.mute(t, 0)
	r.mute(t, 1)
	r.config.Mappings[1] = ranged(t, model.UDP, spreadAt.String(), "172.16.1.2:80", "172.16.1.3:80")
	r.apply(t)
	seen := map[int]bool{}
	for remote, i := range r.knock(t, 8, 80) {
		if !seen[i] {
			r.errorsBothWays(t, i, model.UDP, inside(i, 80), spreadAt, stranger(byte(remote), 80))
		}
		seen[i] = true
	}
	if len(seen) != 2 {
		t.Errorf("eight remotes got to %v, want both endpoints", seen)
	}
}

func TestICMPErrorsAboutOverflow(t *testing.T) {
	t.Parallel()
	for _, p := range []model.Protocol{model.UDP, model.TCP} {
		t.Run(p.String(), func(t *testing.T) {
			t.Parallel()
			r := newTinyRig(t, 2)
			r.mute(t, 0)
			r.setNAT(t, func(n *model.NAT) { n.Overflow = true })
			const flows = 5
			for i := range flows {
				r.fromEndpoint(t, 0, segment{protocol: p, flags: syn, from: inside(0, uint16(4000+i)), to: stranger(byte(i), 80)})
			}
			eventually(t, "sessions", func() bool { return len(r.sessions(t)) == flows })
			for _, s := range r.sessions(t) {
				r.errorsBothWays(t, 0, p, s.Internal, s.External, s.Remote)
			}
		})
	}
}
