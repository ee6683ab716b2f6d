package dptest

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/hostnat/hostnat/dev/lab"
	"github.com/hostnat/hostnat/internal/datapath"
	"github.com/hostnat/hostnat/internal/datapath/dptest/wire"
	"github.com/hostnat/hostnat/internal/model"
)

// Counted waits until a session has counted so many packets each way, and
// returns it.
func (r *Rig) Counted(t *testing.T, p model.Protocol, internal, remote netip.AddrPort, sent, received uint64) datapath.Session {
	t.Helper()
	var s datapath.Session
	wire.Eventually(t, fmt.Sprintf("%d packets out and %d in", sent, received), func() bool {
		s, _ = r.Session(t, p, internal, remote)
		return s.PacketsOut >= sent && s.PacketsIn >= received
	})
	if s.PacketsOut != sent || s.PacketsIn != received {
		t.Errorf("%d packets out and %d in, want %d and %d", s.PacketsOut, s.PacketsIn, sent, received)
	}
	return s
}

// ShortLived makes every session of the rig end after so many seconds.
func (r *Rig) ShortLived(t *testing.T, seconds model.Seconds) {
	t.Helper()
	n := r.Config.NATs[wire.RigNAT]
	n.Timeouts = model.Timeouts{UDP: seconds, ICMP: seconds, TCPEstablished: seconds, TCPTransitory: seconds}
	r.Config.NATs[wire.RigNAT] = n
	r.Apply(t)
}

// Fill opens a session of each protocol to two remotes, and one in each TCP state
// but the incoming SYN, which lasts 6 seconds.
func (r *Rig) Fill(t *testing.T) {
	t.Helper()
	r.Mute(t, 0)
	for _, remote := range []netip.AddrPort{wire.Unanswered(7, 80), wire.Unanswered(8, 80)} {
		r.FromEndpoint(t, 0,
			wire.Segment{Protocol: model.UDP, From: wire.Inside(0, 4000), To: remote},
			wire.Segment{Protocol: model.ICMP, From: wire.Inside(0, 77), To: remote})
		for state, path := range wire.TCPPaths {
			if state != model.StateExternalSYN {
				r.FromEndpoint(t, 0, wire.Segment{Protocol: model.TCP, Flags: wire.Syn, From: wire.Inside(0, 5000+uint16(state)), To: remote})
				r.Follow(t, wire.Inside(0, 5000+uint16(state)), remote, path[1:])
			}
		}
	}
}

// Follow sends the rest of a TCP path of a session.
func (r *Rig) Follow(t *testing.T, internal, remote netip.AddrPort, path []wire.Step) {
	t.Helper()
	external := r.External(t, model.TCP, internal)
	for _, s := range path {
		if s.Out {
			r.FromEndpoint(t, 0, wire.Segment{Protocol: model.TCP, Flags: s.Flags, From: internal, To: remote})
		} else {
			r.FromRemote(t, wire.Segment{Protocol: model.TCP, Flags: s.Flags, From: remote, To: external})
		}
	}
}

func (r *Rig) StartStream(t *testing.T) *wire.Stream {
	t.Helper()
	server, err := lab.EchoServer(r.Remote, "udp", lab.RemoteAddress+":7000")
	wire.Must(t, err)
	t.Cleanup(func() { server.Close() })
	s := &wire.Stream{Client: wire.Listen(t, r.Endpoints[0], wire.Text(wire.EndpointAddress(0), "4000")), Stop: make(chan struct{}), Done: make(chan error, 1)}
	s.Client.Send(t, server.Addr(), "first")
	answer, _ := s.Client.Receive(t)
	s.External = netip.MustParseAddrPort(answer)
	go func() { s.Done <- s.Run(server.Addr()) }()
	return s
}
