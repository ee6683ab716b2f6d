package datapath

import (
	"testing"
	"time"

	"github.com/hostnat/hostnat/internal/model"
)

// scaled makes a second of the test stand for 2,480 of the connection's: 2 h 4
// min are 3 seconds. TestTCPStatesAndLifetimes has the true figures.
func (r *rig) scaled(t *testing.T) {
	t.Helper()
	n := r.config.NATs[rigNAT]
	n.Timeouts = model.Timeouts{UDP: 3, ICMP: 3, TCPEstablished: 3, TCPTransitory: 1}
	r.config.NATs[rigNAT] = n
	r.apply(t)
}

// idle lets so much time pass since the session's last packet.
func (f *tcpFlow) idle(t *testing.T, wait time.Duration) {
	t.Helper()
	began := time.Now()
	within(t, wait+patience, "idle time", func() bool { return time.Since(began) >= wait })
}

// RFC 5382 REQ-5: an established connection that says nothing for almost 2 h 4
// min goes on from either side (microsoft/Windows-Containers#353, #552: lost
// after 4 and 10); one that has been closed is not kept so long.
func TestIdleConnectionIsKept(t *testing.T) {
	t.Parallel()
	r := newRig(t, 1)
	r.scaled(t)
	r.mute(t, 0)
	f := r.openTCP(t, 4000, stranger(7, 80))
	f.play(t, in(synAck), out(ack))
	closed := r.openTCP(t, 4001, stranger(7, 80))
	closed.play(t, in(synAck), out(finAck), in(finAck))
	f.idle(t, 2500*time.Millisecond)
	f.play(t, in(ack))
	if _, has := r.session(t, model.TCP, closed.internal, closed.remote); has {
		t.Error("the closed connection is still there")
	}
	f.idle(t, 2500*time.Millisecond)
	f.play(t, out(ack), in(ack))
	eventually(t, "end of an idle connection", func() bool { return r.empty(t) })
}

// cilium#25110: a long download is kept by the packets of one direction, and so
// is a long upload.
func TestOneWayTrafficKeepsConnection(t *testing.T) {
	t.Parallel()
	r := newRig(t, 1)
	r.shortLived(t, 1)
	r.mute(t, 0)
	download, upload := r.openTCP(t, 4000, stranger(7, 80)), r.openTCP(t, 4001, stranger(7, 80))
	download.play(t, in(synAck), out(ack))
	upload.play(t, in(synAck), out(ack))
	began := time.Now()
	eventually(t, "2.5 seconds", func() bool {
		r.fromRemote(t, segment{protocol: model.TCP, flags: ack, from: download.remote, to: download.external})
		r.fromEndpoint(t, 0, segment{protocol: model.TCP, flags: ack, from: upload.internal, to: upload.remote})
		return time.Since(began) > 2500*time.Millisecond
	})
	for name, f := range map[string]*tcpFlow{"download": download, "upload": upload} {
		if s, has := r.session(t, model.TCP, f.internal, f.remote); !has || s.State != model.StateEstablished {
			t.Errorf("%s: %+v (%v)", name, s, has)
		}
	}
}
