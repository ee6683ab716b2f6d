package host

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/hostnat/hostnat/dev/lab"
	"github.com/hostnat/hostnat/internal/host/hosttest"
)

func TestWatch(t *testing.T) {
	t.Parallel()
	n := hosttest.New(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ticks := startWatch(t, ctx, n)
	steps := []struct {
		name string
		do   func() error
	}{
		{"link", func() error { return lab.Veth(n, "a", n, "b") }},
		{"address", func() error { return n.AddAddress("a", "10.0.0.1/24") }},
		{"route", func() error { return n.AddRoute("10.1.0.0/16", "10.0.0.2") }},
		{"forwarding", func() error { return n.Sysctl("net/ipv4/conf/a/forwarding", "1") }},
	}
	for _, s := range steps {
		settle(ticks)
		hosttest.Must(t, s.do())
		select {
		case <-ticks:
		case <-time.After(5 * time.Second):
			t.Errorf("no tick for %s", s.name)
		}
	}
}

// startWatch returns the ticks of a watcher in a namespace.
func startWatch(t *testing.T, ctx context.Context, n *lab.Namespace) <-chan struct{} {
	t.Helper()
	var w *Watcher
	hosttest.On(t, n, func() (err error) { w, err = NewWatcher(); return err })
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = w.Run(ctx)
	}()
	t.Cleanup(func() {
		w.Close()
		<-done
	})
	return w.Ticks()
}

func TestWatchCoalesces(t *testing.T) {
	t.Parallel()
	n := hosttest.New(t)
	hosttest.Must(t, lab.Veth(n, "a", n, "b"))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ticks := startWatch(t, ctx, n)
	start := time.Now()
	for i := range 200 {
		hosttest.Must(t, n.AddAddress("a", fmt.Sprintf("10.0.%d.1/24", i)))
	}
	count := 0
	for {
		select {
		case <-ticks:
			count++
			continue
		case <-time.After(300 * time.Millisecond):
		}
		break
	}
	if most := int(time.Since(start)/watchInterval) + 1; count == 0 || count > most {
		t.Errorf("%d ticks for 200 changes, want 1 to %d", count, most)
	}
}

func TestChangesSayWhere(t *testing.T) {
	t.Parallel()
	n := hosttest.New(t)
	hosttest.Must(t, lab.Veth(n, "a", n, "b"), lab.Veth(n, "c", n, "d"))
	var w *Watcher
	var a, c int
	hosttest.On(t, n, func() (err error) {
		a, c = linkIndex(t, "a"), linkIndex(t, "c")
		w, err = NewWatcher()
		return err
	})
	t.Cleanup(func() { w.Close() })
	// What those before have caused may be told later: link-local addresses, carriers.
	has := func(what string, do func() error, is func(Changes) bool) {
		t.Helper()
		hosttest.Must(t, do())
		if got, err := w.Take(); err != nil || !is(got) {
			t.Errorf("%s: %+v, %v", what, got, err)
		}
	}
	has("address", func() error { return n.AddAddress("a", "10.0.0.1/24") }, func(g Changes) bool { return g.Links[a] && !g.Links[c] && !g.All })
	has("route", func() error { return n.AddRoute("10.1.0.0/16", "10.0.0.2") }, func(g Changes) bool { return g.Routes[a] && !g.All })
	has("forwarding", func() error { return n.Sysctl("net/ipv4/conf/c/forwarding", "1") }, func(g Changes) bool { return g.Settings[c] && !g.All })
	has("forwarding of all", func() error { return n.Sysctl("net/ipv4/ip_forward", "1") }, func(g Changes) bool { return g.All })
}
