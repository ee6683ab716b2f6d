package nattest

import (
	"testing"

	"github.com/hostnat/hostnat/dev/lab"
	"github.com/hostnat/hostnat/internal/datapath"
	"github.com/hostnat/hostnat/internal/datapath/dptest"
	"github.com/hostnat/hostnat/internal/datapath/dptest/wire"
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
			r := dptest.NewRig(t, 1)
			r.Mute(t, 0)
			for _, protocol := range []model.Protocol{model.UDP, model.TCP} {
				f := r.Filter(t, protocol, tt.filtering)
				f.Check(t, wire.Unanswered(7, 80), true)
				f.Check(t, wire.Unanswered(7, 81), tt.otherPort)
				f.Check(t, wire.Unanswered(8, 80), tt.otherHost)
				f.Consistent(t)
			}
		})
	}
}

// A permission to send ends with the last session to that remote.
func TestFilteringForgetsRemotesWithTheirSessions(t *testing.T) {
	t.Parallel()
	f := dptest.NewRig(t, 1).Filter(t, model.UDP, model.AddressDependent)
	f.Mute(t, 0)
	f.FromEndpoint(t, 0, wire.Segment{Protocol: model.UDP, From: wire.Inside(0, 4000), To: wire.Unanswered(8, 80)})
	f.Check(t, wire.Unanswered(8, 81), true)
	// What a remote has opened counts once the endpoint answers (RFC 4787 REQ-6).
	f.FromEndpoint(t, 0, wire.Segment{Protocol: model.UDP, From: wire.Inside(0, 4000), To: wire.Unanswered(8, 81)})
	wire.Must(t, f.Datapath.EndSessions(func(s datapath.Session) bool { return s.Remote == wire.Unanswered(8, 80) }))
	f.Check(t, wire.Unanswered(8, 82), true) // by the session from :81
	wire.Must(t, f.Datapath.EndSessions(func(s datapath.Session) bool { return s.Remote.Addr() == wire.Unanswered(8, 0).Addr() }))
	f.Check(t, wire.Unanswered(8, 83), false)
	f.Check(t, wire.Unanswered(7, 81), true)
	if entries := dptest.Size(t, f.Datapath.Objects().FilterEntries); entries != 0 { // the first remote is the binding's own contact
		t.Errorf("%d filter entries, want none", entries)
	}
}

// RFC 5382 REQ-4 and rule 6: what is not a SYN opens nothing.
func TestOnlySYNOpensTCPSession(t *testing.T) {
	t.Parallel()
	f := dptest.NewRig(t, 1).Filter(t, model.TCP, model.EndpointIndependent)
	f.Mute(t, 0)
	var segments []wire.Segment
	for _, flags := range []byte{wire.Ack, wire.SynAck, wire.FinAck, wire.Rst, wire.Fin, wire.Syn | wire.Rst, 0} {
		segments = append(segments, wire.Segment{Protocol: model.TCP, Flags: flags, From: wire.Unanswered(9, 80), To: f.External})
	}
	f.FromRemote(t, segments...)
	f.Dropped(t, "no-session", 7)
	segments = nil
	for _, flags := range []byte{wire.Ack, wire.SynAck, wire.FinAck, wire.Rst, wire.Fin, wire.Syn | wire.Rst, 0} {
		segments = append(segments, wire.Segment{Protocol: model.TCP, Flags: flags, From: wire.Inside(0, 4001), To: wire.Unanswered(9, 80)})
	}
	f.FromEndpoint(t, 0, segments...)
	f.Dropped(t, "no-session", 14)
	if sessions := f.Sessions(t); len(sessions) != 1 {
		t.Errorf("sessions %+v, want the first alone", sessions)
	}
}

// A real listener that has talked to a remote takes its connections on the
// port that the remote saw.
func TestRemoteMayConnectBackToTCPBinding(t *testing.T) {
	t.Parallel()
	r := dptest.NewRig(t, 1)
	ctx := wire.WithTimeout(t)
	remote, err := lab.EchoServer(r.Remote, "tcp", lab.RemoteAddress+":7000")
	wire.Must(t, err)
	defer remote.Close()
	conn, err := wire.Reuse(ctx, r.Endpoints[0], wire.Text(wire.EndpointAddress(0), "4000"), lab.RemoteAddress+":7000")
	wire.Must(t, err)
	seen, err := lab.AskConn(ctx, conn)
	wire.Must(t, err)
	conn.Close() // its session lives on; the port is free for a listener
	wire.Eventually(t, "listener on the client's port", func() bool {
		server, err := lab.EchoServer(r.Endpoints[0], "tcp", wire.Text(wire.EndpointAddress(0), "4000"))
		if err == nil {
			t.Cleanup(func() { server.Close() })
		}
		return err == nil
	})
	back, err := lab.Ask(ctx, r.Remote, "tcp", seen.String())
	wire.Must(t, err)
	if back.Addr() != wire.RemoteAddress {
		t.Errorf("the listener saw %v, want the remote's own address", back)
	}
}
