package host

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/hostnat/hostnat/dev/lab"
	"github.com/hostnat/hostnat/internal/model"
)

// newHost returns a namespace that stands for a host.
func newHost(t *testing.T) *lab.Namespace {
	t.Helper()
	lab.RequireRoot(t)
	n, err := lab.NewNamespace("hosttest")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	})
	return n
}

// on runs fn in the namespace and ends the test if it fails.
func on(t *testing.T, n *lab.Namespace, fn func() error) {
	t.Helper()
	if err := n.Do(fn); err != nil {
		t.Fatal(err)
	}
}

// must ends the test at an error.
func must(t *testing.T, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

// wantRefusal checks the kind of an error and that it names the thing.
func wantRefusal(t *testing.T, err error, code model.Code, naming string) {
	t.Helper()
	if err == nil || model.CodeOf(err) != code || !strings.Contains(err.Error(), naming) {
		t.Errorf("got %v (%s), want %s naming %q", err, model.CodeOf(err), code, naming)
	}
}

// linkNamed returns the link as Links shows it.
func linkNamed(t *testing.T, n *lab.Namespace, name string) Link {
	t.Helper()
	var found Link
	on(t, n, func() error {
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
	on(t, n, fn)
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
