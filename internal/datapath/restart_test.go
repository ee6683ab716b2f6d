package datapath

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hostnat/hostnat/dev/lab"
)

// stream is an established UDP echo stream: numbered packets, one in flight.
type stream struct {
	client   peer
	external netip.AddrPort
	answered atomic.Int64
	stop     chan struct{}
	done     chan error
}

func (r *rig) startStream(t *testing.T) *stream {
	t.Helper()
	server, err := lab.EchoServer(r.Remote, "udp", lab.RemoteAddress+":7000")
	must(t, err)
	t.Cleanup(func() { server.Close() })
	s := &stream{client: listen(t, r.Endpoints[0], text(endpointAddress(0), "4000")), stop: make(chan struct{}), done: make(chan error, 1)}
	s.client.send(t, server.Addr(), "first")
	answer, _ := s.client.receive(t)
	s.external = netip.MustParseAddrPort(answer)
	go func() { s.done <- s.run(server.Addr()) }()
	return s
}

// run sends, and takes it for a loss when no answer comes.
func (s *stream) run(to netip.AddrPort) error {
	buf := make([]byte, 64)
	for {
		select {
		case <-s.stop:
			return nil
		default:
		}
		if _, err := s.client.WriteToUDPAddrPort([]byte("next"), to); err != nil {
			return err
		}
		if err := s.client.SetReadDeadline(time.Now().Add(time.Second)); err != nil {
			return err
		}
		n, _, err := s.client.ReadFromUDPAddrPort(buf)
		if err != nil {
			return fmt.Errorf("packet %d: %w", s.answered.Load(), err)
		}
		if got := string(buf[:n]); got != s.external.String() {
			return fmt.Errorf("packet %d was seen as %s, not %v", s.answered.Load(), got, s.external)
		}
		s.answered.Add(1)
	}
}

// runs waits until some more packets have been answered.
func (s *stream) runs(t *testing.T) {
	t.Helper()
	target := s.answered.Load() + 50
	eventually(t, "traffic", func() bool { return s.answered.Load() >= target || len(s.done) > 0 })
}

// Design, rule 5.
func TestTrafficGoesOnOverRestart(t *testing.T) {
	t.Parallel()
	r := newRig(t, 1)
	s := r.startStream(t)
	s.runs(t)
	before := r.sessions(t)
	if len(before) != 1 {
		t.Fatalf("sessions %+v, want one", before)
	}
	for range 3 {
		old := r.dp
		r.open(t) // a new daemon beside the old one
		s.runs(t)
		must(t, old.Close())
		s.runs(t)
		must(t, r.dp.Close()) // none at all: new flows are set up too
		ctx := withTimeout(t)
		if seen, err := lab.Ask(ctx, r.Endpoints[0], "udp", lab.RemoteAddress+":7000"); err != nil || seen.Addr() != hostAddress {
			t.Errorf("a new flow with all closed: %v, %v", seen, err)
		}
		s.runs(t)
		r.open(t)
		r.apply(t)
	}
	close(s.stop)
	if err := <-s.done; err != nil {
		t.Errorf("the stream lost something: %v", err)
	}
	after, has := r.session(t, before[0].Protocol, before[0].Internal, before[0].Remote)
	packets := uint64(s.answered.Load()) + 1
	if !has || after.External != before[0].External || after.PacketsOut != packets || after.PacketsIn != packets ||
		after.Created.Sub(before[0].Created).Abs() > 100*time.Millisecond {
		t.Errorf("before %+v, after %+v; %d packets were answered", before[0], after, packets)
	}
	r.consistent(t)
}

// A pin whose interface is gone or whose program somebody took off is no hold-up.
func TestReopeningForgetsLinksWithoutInterface(t *testing.T) {
	t.Parallel()
	r := newRig(t, 1)
	must(t, r.Host.DeleteLink(hostSide(0)))
	must(t, r.dp.Close())
	r.open(t)
	list, err := r.dp.Attachments()
	must(t, err)
	if len(list) != 3 { // the bridge and both directions of the outside
		t.Errorf("attachments %v, want three", list)
	}
	for _, a := range list {
		r.attach(t, a.Interface, a.Hook) // again: nothing happens
	}
	entries, err := os.ReadDir(filepath.Join(r.dir, "links"))
	must(t, err)
	if len(entries) != 3 {
		t.Errorf("%d pinned links, want 3", len(entries))
	}
}
