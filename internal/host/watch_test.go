package host

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/hostnat/hostnat/internal/lab"
)

func TestWatch(t *testing.T) {
	t.Parallel()
	n := newHost(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var ticks <-chan struct{}
	on(t, n, func() (err error) { ticks, err = Watch(ctx); return err })
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
		must(t, s.do())
		select {
		case <-ticks:
		case <-time.After(5 * time.Second):
			t.Errorf("no tick for %s", s.name)
		}
	}
	cancel()
	for range ticks { // ends when the channel is closed
	}
}

func TestWatchCoalesces(t *testing.T) {
	t.Parallel()
	n := newHost(t)
	must(t, lab.Veth(n, "a", n, "b"))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var ticks <-chan struct{}
	on(t, n, func() (err error) { ticks, err = Watch(ctx); return err })
	start := time.Now()
	for i := range 200 {
		must(t, n.AddAddress("a", fmt.Sprintf("10.0.%d.1/24", i)))
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
