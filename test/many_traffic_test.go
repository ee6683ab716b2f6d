package test

import (
	"io"
	"net"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hostnat/hostnat/api"
	"github.com/hostnat/hostnat/internal/datapath/kernel"
)

// topInterval is how often `hostnat top` asks if it is not told otherwise.
const topInterval = 2 * time.Second

// TestTrafficBesideAMillion asks, as `hostnat top` does, what is sent beside a million sessions
// of others: first idle ones, then such that have all sent a moment ago.
func TestTrafficBesideAMillion(t *testing.T) {
	h := startHost(t)
	conn := h.dialOut()
	defer conn.Close()
	stop := keepSending(t, conn)
	defer stop()
	h.fillSessions(manySessions)
	cpu := h.cpu()
	for _, err := range h.EachSession(t.Context(), api.Filter{Protocol: "udp"}) {
		if err != nil {
			t.Fatal(err)
		}
	}
	all := h.cpu() - cpu
	_ = h.traffic(api.TrafficQuery{}) // what the next one is compared with
	for _, kind := range []string{"idle", "active"} {
		if kind == "active" {
			h.putSessions(manySessions, kernel.Session{Lifetime: 300, Refreshed: monotonic(t) + uint64(time.Hour), PacketsOut: 1, BytesOut: 1})
		}
		before := h.memory()
		second, reading := h.nextTraffic()
		spent, passed, again := h.untilRead(second, 4) // the daemon waits by what this reading has taken, no more by the one before
		t.Logf("%s: a reading of %d sessions %v of CPU time, a list of all %v; %v after the one before, and then %.1f %% of a CPU for %v; the daemon has %d MB, before %d",
			kind, second.Sessions, reading, all, time.Duration(second.Milliseconds)*time.Millisecond, 100*spent.Seconds()/passed.Seconds(), passed, h.memory(), before)
		if reading > all/2 {
			t.Errorf("%s: %v of CPU time for a reading, the bar is half of the %v for all sessions", kind, reading, all)
		}
		// A fiftieth of the time is what readings take. On a busy machine they cost the CPU more than otherwise,
		// so what counts is how long the next one is waited for, and what the answers cost until then.
		if again && passed < 20*reading {
			t.Errorf("%s: read again after %v, and a reading takes %v", kind, passed, reading)
		}
		if !again && spent > passed/20 {
			t.Errorf("%s: %v of CPU time in %v without a reading", kind, spent, passed)
		}
		if second.Sessions <= manySessions || len(second.Endpoints) != 50 || second.MatchingEndpoints < manySessions/256 {
			t.Errorf("%s: %d sessions, %d of %d endpoints", kind, second.Sessions, len(second.Endpoints), second.MatchingEndpoints)
		}
		if e := second.Endpoints[0]; e.Endpoint != "c1" || e.Rate.BytesOut == 0 || e.Rate.PacketsIn == 0 {
			t.Errorf("%s: the first endpoint is %+v", kind, e)
		}
		if s := second.Active[0]; s.Endpoint != "c1" || s.Rate.BytesOut == 0 {
			t.Errorf("%s: the first session is %+v", kind, s)
		}
		if grown := h.memory() - before; grown >= 60 {
			t.Errorf("%s: the daemon grew by %d MB, the bar is 60", kind, grown)
		}
	}
}

// nextTraffic asks as often as `hostnat top` does until the table was read again, and says how
// much CPU time the last answer took.
func (h *host) nextTraffic() (api.Traffic, time.Duration) {
	h.t.Helper()
	first := h.traffic(api.TrafficQuery{})
	for {
		if next, took := h.trafficLater(); !next.At.Equal(first.At) {
			return next, took
		}
	}
}

// untilRead asks as often as `hostnat top` does, a number of times or until the table was read again,
// and says how much CPU time the daemon has spent meanwhile.
func (h *host) untilRead(last api.Traffic, times int) (spent, passed time.Duration, again bool) {
	h.t.Helper()
	cpu, began := h.cpu(), time.Now()
	for range times {
		if next, _ := h.trafficLater(); !next.At.Equal(last.At) {
			return h.cpu() - cpu, next.At.Sub(last.At), true
		}
	}
	return h.cpu() - cpu, time.Since(began), false
}

// trafficLater asks once more, as `hostnat top` does, and says how much CPU time it took.
func (h *host) trafficLater() (api.Traffic, time.Duration) {
	h.t.Helper()
	time.Sleep(topInterval)
	cpu := h.cpu()
	next := h.traffic(api.TrafficQuery{})
	return next, h.cpu() - cpu
}

func (h *host) traffic(q api.TrafficQuery) api.Traffic {
	h.t.Helper()
	answer, err := h.Traffic(h.t.Context(), q)
	if err != nil {
		h.t.Fatal(err)
	}
	return answer
}

// keepSending sends on a connection until it is stopped.
func keepSending(t *testing.T, conn net.Conn) (stop func()) {
	t.Helper()
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		again := time.NewTicker(10 * time.Millisecond)
		defer again.Stop()
		for {
			select {
			case <-done:
				return
			case <-again.C:
				_ = conn.SetWriteDeadline(time.Now().Add(time.Millisecond)) // the other end reads nothing
				_, _ = io.WriteString(conn, "a few bytes")
			}
		}
	}()
	return func() { close(done); <-ended }
}

func monotonic(t *testing.T) uint64 {
	t.Helper()
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		t.Fatal(err)
	}
	return uint64(now.Nano())
}
