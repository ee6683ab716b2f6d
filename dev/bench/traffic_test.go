package bench

import (
	"context"
	"net/netip"
	"testing"
	"time"

	"github.com/hostnat/hostnat/dev/bench/traffic"
	"github.com/hostnat/hostnat/dev/lab"
)

// startRouting starts the contender that needs no other program.
func startRouting(t *testing.T) *contender {
	t.Helper()
	lab.RequireRoot(t)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	t.Cleanup(cancel)
	c, err := routing.start(ctx, "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

// expect sends messages along p once and looks for what the sink of p should
// make of them.
func expect(t *testing.T, what string, p path, messages [][]byte, want traffic.Arrivals) {
	t.Helper()
	s, err := traffic.NewSink(p.server, p.serverLink, p.source, p.listen.Addr(), p.listen.Port(), p.listen.Port())
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	g, err := traffic.NewGenerator(p.client, p.clientLink, messages)
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	if n, err := g.Batch(len(messages)); err != nil || n != len(messages) {
		t.Fatalf("%d of %d messages sent: %v", n, len(messages), err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	var got traffic.Arrivals
	_ = lab.WaitFor(ctx, func() bool {
		got, err = s.Read()
		return err != nil || got == want
	})
	if err != nil {
		t.Fatal(err)
	}
	if got != want {
		t.Errorf("%s: the sink counted %+v, want %+v", what, got, want)
	}
}

func TestSink(t *testing.T) {
	t.Parallel()
	p := startRouting(t).outbound
	e, err := p.envelope(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	frame := [][]byte{e.udp(flowPort, p.target.Port())}
	expect(t, "not translated", p, frame, traffic.Arrivals{Right: 1})
	translated := p
	translated.source = netip.MustParseAddr(lab.HostAddress)
	expect(t, "not translated, but should be", translated, frame, traffic.Arrivals{Wrong: 1})
}

func TestBurstsArriveAsSingleFrames(t *testing.T) {
	t.Parallel()
	p := startRouting(t).inbound
	e, err := p.envelope(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	restore, err := traffic.SplitBursts(p.client, p.clientLink)
	if err != nil {
		t.Fatal(err)
	}
	burst := [][]byte{e.burst(flowPort, p.target.Port(), burstFrames)}
	expect(t, "bursts split", p, burst, traffic.Arrivals{Right: burstFrames})
	if err := restore(); err != nil {
		t.Fatal(err)
	}
	expect(t, "by the veth's default", p, burst, traffic.Arrivals{Right: 1})
}
