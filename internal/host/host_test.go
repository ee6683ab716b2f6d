package host

import (
	"context"
	"net/netip"
	"testing"
	"time"

	"github.com/hostnat/hostnat/dev/lab"
	"github.com/hostnat/hostnat/internal/host/hosttest"
)

// linkNamed returns the link as Links shows it.
func linkNamed(t *testing.T, n *lab.Namespace, name string) Link {
	t.Helper()
	var found Link
	hosttest.On(t, n, func() error {
		links, err := Links(t.Context())
		for _, l := range links {
			if l.Name == name {
				found = l
			}
		}
		return err
	})
	if found.Name == "" {
		t.Fatalf("no link %s in %s", name, n.Name)
	}
	return found
}

// wantQuiet checks that fn changes nothing that Watch would tell of.
func wantQuiet(t *testing.T, n *lab.Namespace, fn func() error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ticks := startWatch(t, ctx, n)
	settle(ticks)
	hosttest.On(t, n, fn)
	select {
	case <-ticks:
		t.Error("a repetition that should change nothing was announced as a change")
	case <-time.After(50 * time.Millisecond): // announcements are sent before the change returns
	}
}

// settle waits until what tests did before is no longer announced: bridges and
// veths report their carrier late.
func settle(ticks <-chan struct{}) {
	for {
		select {
		case <-ticks:
		case <-time.After(300 * time.Millisecond):
			return
		}
	}
}

func testBridge() Bridge {
	return Bridge{Name: "hn-web", MAC: "02:68:00:00:00:01", MTU: 1400, Gateway: netip.MustParsePrefix("172.16.1.1/24")}
}
