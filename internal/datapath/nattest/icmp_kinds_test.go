package nattest

import (
	"net/netip"
	"testing"

	"github.com/hostnat/hostnat/internal/datapath/dptest"
	"github.com/hostnat/hostnat/internal/datapath/dptest/wire"
	"github.com/hostnat/hostnat/internal/model"
)

// RFC 5508 REQ-4 and REQ-5 for bindings that are not one port each: a range, a
// mapping with several targets, a port that flows to different remotes share.

// errorsBothWays sends errors about a session's packets, from the remote and
// from the endpoint.
func errorsBothWays(t *testing.T, r *dptest.Rig, i int, p model.Protocol, internal, external, remote netip.AddrPort) {
	t.Helper()
	out := wire.Segment{Protocol: p, Flags: wire.Ack, From: internal, To: remote, TTL: 63, Payload: []byte("some data")}
	sent, in, came := out, out, out
	sent.From = external
	in.From, in.To, in.Flags = remote, external, wire.Ack
	came.From, came.To, came.Flags = remote, internal, wire.Ack
	for _, shape := range errorShapes {
		rest, quote := shape.shape(sent.IP())
		e := wire.ICMPError{From: remote.Addr(), To: external.Addr(), Kind: shape.kind, Code: shape.code, Rest: rest, Quote: quote}
		r.Send(t, r.Remote, "eth0", wire.Ethernet(r.MACOf(t, r.Remote, "eth0"), r.MACOf(t, r.Host, "out0"), wire.EtherIPv4, e.IP()))
		e.To = internal.Addr()
		_, e.Quote = shape.shape(out.IP())
		checkError(t, r.AtEndpoint[i], e)

		rest, quote = shape.shape(came.IP())
		e = wire.ICMPError{From: internal.Addr(), To: remote.Addr(), Kind: shape.kind, Code: shape.code, Rest: rest, Quote: quote}
		r.Send(t, r.Endpoints[i], "eth0", wire.Ethernet(dptest.EndpointMAC(i), wire.GatewayMAC, wire.EtherIPv4, e.IP()))
		e.From = external.Addr()
		_, e.Quote = shape.shape(in.IP())
		checkError(t, r.AtRemote, e)
	}
}

func TestICMPErrorsAboutRange(t *testing.T) {
	t.Parallel()
	r := dptest.NewRig(t, 1)
	r.Mute(t, 0)
	r.Config.Mappings[1] = ranged(t, model.UDP, "0.0.0.0:8000-8099", "172.16.1.2:80-179")
	r.Apply(t)
	for port := uint16(0); port < 100; port += 33 {
		internal, external := wire.Inside(0, 80+port), netip.AddrPortFrom(wire.HostAddress, 8000+port)
		r.FromRemote(t, wire.Segment{Protocol: model.UDP, From: wire.Unanswered(7, 80), To: external})
		r.AtEndpoint[0].Await(t, "datagram", 1, wire.Is(model.UDP, wire.Unanswered(7, 80), internal))
		errorsBothWays(t, r, 0, model.UDP, internal, external, wire.Unanswered(7, 80))
	}
}

func TestICMPErrorsAboutSpreadMapping(t *testing.T) {
	t.Parallel()
	r := dptest.NewRig(t, 2)
	r.Mute(t, 0)
	r.Mute(t, 1)
	r.Config.Mappings[1] = ranged(t, model.UDP, spreadAt.String(), "172.16.1.2:80", "172.16.1.3:80")
	r.Apply(t)
	seen := map[int]bool{}
	for remote, i := range knock(t, r, 8, 80) {
		if !seen[i] {
			errorsBothWays(t, r, i, model.UDP, wire.Inside(i, 80), spreadAt, wire.Unanswered(byte(remote), 80))
		}
		seen[i] = true
	}
	if len(seen) != 2 {
		t.Errorf("eight remotes got to %v, want both endpoints", seen)
	}
}

func TestICMPErrorsAboutEndpointDependent(t *testing.T) {
	t.Parallel()
	for _, p := range []model.Protocol{model.UDP, model.TCP} {
		t.Run(p.String(), func(t *testing.T) {
			t.Parallel()
			r := newTinyRig(t, 2)
			r.Mute(t, 0)
			setNAT(t, r, func(n *model.NAT) { n.EndpointDependent = true })
			const flows = 5
			for i := range flows {
				r.FromEndpoint(t, 0, wire.Segment{Protocol: p, Flags: wire.Syn, From: wire.Inside(0, uint16(4000+i)), To: wire.Unanswered(byte(i), 80)})
			}
			wire.Eventually(t, "sessions", func() bool { return len(r.Sessions(t)) == flows })
			for _, s := range r.Sessions(t) {
				errorsBothWays(t, r, 0, p, s.Internal, s.External, s.Remote)
			}
		})
	}
}
