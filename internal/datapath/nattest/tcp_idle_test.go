package nattest

import (
	"testing"
	"time"

	"github.com/hostnat/hostnat/internal/datapath/dptest"
	"github.com/hostnat/hostnat/internal/datapath/dptest/wire"
	"github.com/hostnat/hostnat/internal/model"
)

// scaled makes a second of the test stand for 2,480 of the connection's: 2 h 4
// min are 3 seconds. TestTCPStatesAndLifetimes has the true figures.
func scaled(t *testing.T, r *dptest.Rig) {
	t.Helper()
	n := r.Config.NATs[wire.RigNAT]
	n.Timeouts = model.Timeouts{UDP: 3, ICMP: 3, TCPEstablished: 3, TCPTransitory: 1}
	r.Config.NATs[wire.RigNAT] = n
	r.Apply(t)
}

// idle lets so much time pass since the session's last packet.
func (f *tcpFlow) idle(t *testing.T, wait time.Duration) {
	t.Helper()
	began := time.Now()
	wire.Within(t, wait+wire.Patience, "idle time", func() bool { return time.Since(began) >= wait })
}

// RFC 5382 REQ-5: an established connection that says nothing for almost 2 h 4
// min goes on from either side (microsoft/Windows-Containers#353, #552: lost
// after 4 and 10); one that has been closed is not kept so long.
func TestIdleConnectionIsKept(t *testing.T) {
	t.Parallel()
	r := dptest.NewRig(t, 1)
	scaled(t, r)
	r.Mute(t, 0)
	f := openTCP(t, r, 4000, wire.Unanswered(7, 80))
	f.play(t, wire.In(wire.SynAck), wire.Out(wire.Ack))
	closed := openTCP(t, r, 4001, wire.Unanswered(7, 80))
	closed.play(t, wire.In(wire.SynAck), wire.Out(wire.FinAck), wire.In(wire.FinAck))
	f.idle(t, 2500*time.Millisecond)
	f.play(t, wire.In(wire.Ack))
	if _, has := r.Session(t, model.TCP, closed.internal, closed.remote); has {
		t.Error("the closed connection is still there")
	}
	f.idle(t, 2500*time.Millisecond)
	f.play(t, wire.Out(wire.Ack), wire.In(wire.Ack))
	wire.Eventually(t, "end of an idle connection", func() bool { return r.Empty(t) })
}

// cilium#25110: a long download is kept by the packets of one direction, and so
// is a long upload.
func TestOneWayTrafficKeepsConnection(t *testing.T) {
	t.Parallel()
	r := dptest.NewRig(t, 1)
	r.ShortLived(t, 1)
	r.Mute(t, 0)
	download, upload := openTCP(t, r, 4000, wire.Unanswered(7, 80)), openTCP(t, r, 4001, wire.Unanswered(7, 80))
	download.play(t, wire.In(wire.SynAck), wire.Out(wire.Ack))
	upload.play(t, wire.In(wire.SynAck), wire.Out(wire.Ack))
	began := time.Now()
	wire.Eventually(t, "2.5 seconds", func() bool {
		r.FromRemote(t, wire.Segment{Protocol: model.TCP, Flags: wire.Ack, From: download.remote, To: download.external})
		r.FromEndpoint(t, 0, wire.Segment{Protocol: model.TCP, Flags: wire.Ack, From: upload.internal, To: upload.remote})
		return time.Since(began) > 2500*time.Millisecond
	})
	for name, f := range map[string]*tcpFlow{"download": download, "upload": upload} {
		if s, has := r.Session(t, model.TCP, f.internal, f.remote); !has || s.State != model.StateEstablished {
			t.Errorf("%s: %+v (%v)", name, s, has)
		}
	}
}
