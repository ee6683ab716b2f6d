package datapath

import (
	"net/netip"
	"testing"

	"github.com/hostnat/hostnat/dev/lab"
	"github.com/hostnat/hostnat/internal/model"
)

// RFC 4787 REQ-8, RFC 5382 REQ-3: who may send to a dynamic binding.
func TestFiltering(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		filtering            model.Filtering
		otherPort, otherHost bool // pass
	}{
		{model.AddressDependent, true, false},
		{model.EndpointIndependent, true, true},
		{model.AddressAndPortDependent, false, false},
	} {
		t.Run(string(tt.filtering), func(t *testing.T) {
			t.Parallel()
			r := newRig(t, 1)
			r.mute(t, 0)
			for _, protocol := range []model.Protocol{model.UDP, model.TCP} {
				f := r.filter(t, protocol, tt.filtering)
				f.check(t, stranger(7, 80), true)
				f.check(t, stranger(7, 81), tt.otherPort)
				f.check(t, stranger(8, 80), tt.otherHost)
				f.consistent(t)
			}
		})
	}
}

// filterRig has one dynamic binding, made by a packet to stranger(7, 80).
type filterRig struct {
	*rig
	protocol model.Protocol
	external netip.AddrPort
	filtered uint64
}

func (r *rig) filter(t *testing.T, protocol model.Protocol, filtering model.Filtering) *filterRig {
	t.Helper()
	f := &filterRig{rig: r, protocol: protocol, filtered: r.drops(t)["filtered-remote"]}
	n := defaultNAT(model.ProfileRFC)
	// The other protocol's setting must not count.
	n.TCPFiltering, n.UDPFiltering = model.AddressAndPortDependent, model.EndpointIndependent
	if filtering == model.EndpointIndependent {
		n.UDPFiltering = model.AddressAndPortDependent
	}
	if protocol == model.TCP {
		n.TCPFiltering = filtering
	} else {
		n.UDPFiltering = filtering
	}
	f.config.NATs[rigNAT] = n
	f.apply(t)
	f.fromEndpoint(t, 0, segment{protocol: protocol, flags: syn, from: inside(0, 4000), to: stranger(7, 80)})
	f.external = f.rig.external(t, protocol, inside(0, 4000))
	return f
}

// check sends a UDP packet or a SYN from a remote.
func (f *filterRig) check(t *testing.T, remote netip.AddrPort, pass bool) {
	t.Helper()
	f.fromRemote(t, segment{protocol: f.protocol, flags: syn, from: remote, to: f.external})
	arrived := is(f.protocol, remote, inside(0, 4000))
	if pass {
		f.atEndpoint[0].await(t, remote.String(), 1, arrived)
	} else {
		f.filtered++
	}
	f.dropped(t, "filtered-remote", f.filtered)
	if got := len(f.atEndpoint[0].came(arrived)) > 0; got != pass {
		t.Errorf("packet from %v passed: %v, want %v", remote, got, pass)
	}
	if _, has := f.session(t, f.protocol, inside(0, 4000), remote); has != pass {
		t.Errorf("session with %v: %v, want %v", remote, has, pass)
	}
}

// A permission to send ends with the last session to that remote.
func TestFilteringForgetsRemotesWithTheirSessions(t *testing.T) {
	t.Parallel()
	f := newRig(t, 1).filter(t, model.UDP, model.AddressDependent)
	f.mute(t, 0)
	f.fromEndpoint(t, 0, segment{protocol: model.UDP, from: inside(0, 4000), to: stranger(8, 80)})
	f.check(t, stranger(8, 81), true)
	must(t, f.dp.EndSessions(func(s Session) bool { return s.Remote == stranger(8, 80) }))
	f.check(t, stranger(8, 82), true) // by the session from :81
	must(t, f.dp.EndSessions(func(s Session) bool { return s.Remote.Addr() == stranger(8, 0).Addr() }))
	f.check(t, stranger(8, 83), false)
	f.check(t, stranger(7, 81), true)
	if contacts := size(t, f.dp.objects.FilterEntries); contacts != 1 {
		t.Errorf("%d contacts, want 1", contacts)
	}
}

// RFC 5382 REQ-4 and rule 6: what is not a SYN opens nothing.
func TestOnlySYNOpensTCPSession(t *testing.T) {
	t.Parallel()
	f := newRig(t, 1).filter(t, model.TCP, model.EndpointIndependent)
	f.mute(t, 0)
	var segments []segment
	for _, flags := range []byte{ack, synAck, finAck, rst, fin, syn | rst, 0} {
		segments = append(segments, segment{protocol: model.TCP, flags: flags, from: stranger(9, 80), to: f.external})
	}
	f.fromRemote(t, segments...)
	f.dropped(t, "no-session", 7)
	segments = nil
	for _, flags := range []byte{ack, synAck, finAck, rst, fin, syn | rst, 0} {
		segments = append(segments, segment{protocol: model.TCP, flags: flags, from: inside(0, 4001), to: stranger(9, 80)})
	}
	f.fromEndpoint(t, 0, segments...)
	f.dropped(t, "no-session", 14)
	if sessions := f.sessions(t); len(sessions) != 1 {
		t.Errorf("sessions %+v, want the first alone", sessions)
	}
}

// A real listener that has talked to a remote takes its connections on the
// port that the remote saw.
func TestRemoteMayConnectBackToTCPBinding(t *testing.T) {
	t.Parallel()
	r := newRig(t, 1)
	ctx := withTimeout(t)
	remote, err := lab.EchoServer(r.Remote, "tcp", lab.RemoteAddress+":7000")
	must(t, err)
	defer remote.Close()
	conn, err := reuse(ctx, r.Endpoints[0], text(endpointAddress(0), "4000"), lab.RemoteAddress+":7000")
	must(t, err)
	seen, err := lab.AskConn(ctx, conn)
	must(t, err)
	conn.Close() // its session lives on; the port is free for a listener
	eventually(t, "listener on the client's port", func() bool {
		server, err := lab.EchoServer(r.Endpoints[0], "tcp", text(endpointAddress(0), "4000"))
		if err == nil {
			t.Cleanup(func() { server.Close() })
		}
		return err == nil
	})
	back, err := lab.Ask(ctx, r.Remote, "tcp", seen.String())
	must(t, err)
	if back.Addr() != remoteAddress {
		t.Errorf("the listener saw %v, want the remote's own address", back)
	}
}
