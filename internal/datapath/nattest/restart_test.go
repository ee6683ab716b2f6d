package nattest

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/hostnat/hostnat/dev/lab"
	"github.com/hostnat/hostnat/internal/datapath/dptest"
	"github.com/hostnat/hostnat/internal/datapath/dptest/wire"
)

// Design, rule 5.
func TestTrafficGoesOnOverRestart(t *testing.T) {
	t.Parallel()
	r := dptest.NewRig(t, 1)
	s := r.StartStream(t)
	s.Runs(t)
	before := r.Sessions(t)
	if len(before) != 1 {
		t.Fatalf("sessions %+v, want one", before)
	}
	for range 3 {
		old := r.Datapath
		r.Open(t) // a new daemon beside the old one
		s.Runs(t)
		wire.Must(t, old.Close())
		s.Runs(t)
		wire.Must(t, r.Datapath.Close()) // none at all: new flows are set up too
		ctx := wire.WithTimeout(t)
		if seen, err := lab.Ask(ctx, r.Endpoints[0], "udp", lab.RemoteAddress+":7000"); err != nil || seen.Addr() != wire.HostAddress {
			t.Errorf("a new flow with all closed: %v, %v", seen, err)
		}
		s.Runs(t)
		r.Open(t)
		r.Apply(t)
	}
	close(s.Stop)
	if err := <-s.Done; err != nil {
		t.Errorf("the stream lost something: %v", err)
	}
	after, has := r.Session(t, before[0].Protocol, before[0].Internal, before[0].Remote)
	packets := uint64(s.Answered.Load()) + 1
	if !has || after.External != before[0].External || after.PacketsOut != packets || after.PacketsIn != packets ||
		after.Created.Sub(before[0].Created).Abs() > 100*time.Millisecond {
		t.Errorf("before %+v, after %+v; %d packets were answered", before[0], after, packets)
	}
	r.Consistent(t)
}

// A pin whose interface is gone or whose program somebody took off is no hold-up.
func TestReopeningForgetsLinksWithoutInterface(t *testing.T) {
	t.Parallel()
	r := dptest.NewRig(t, 1)
	wire.Must(t, r.Host.DeleteLink(dptest.HostSide(0)))
	wire.Must(t, r.Datapath.Close())
	r.Open(t)
	list, err := r.Datapath.Attachments()
	wire.Must(t, err)
	if len(list) != 3 { // the bridge and both directions of the outside
		t.Errorf("attachments %v, want three", list)
	}
	for _, a := range list {
		r.Attach(t, a.Interface, a.Hook) // again: nothing happens
	}
	entries, err := os.ReadDir(filepath.Join(r.Dir, "links"))
	wire.Must(t, err)
	if len(entries) != 3 {
		t.Errorf("%d pinned links, want 3", len(entries))
	}
}
