package test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hostnat/hostnat/api"
	"github.com/hostnat/hostnat/internal/config"
	"github.com/hostnat/hostnat/internal/store"
)

// manyMappings is how many single mappings are there already.
const manyMappings = 10_000

// Bounds of what the daemon may spend on a change: three times the bars, which
// are 5 ms and 50 ms on a machine that is otherwise idle, and a fraction of what
// looking at all mappings takes. It is the processor time that counts: how long
// others make a change wait says nothing. `make bench` has the time by the clock.
const (
	changeBound = 15 * time.Millisecond
	rangeBound  = 150 * time.Millisecond
)

// TestManyMappings adds and deletes mappings at the end of a row of 10,000, and
// a range of 60,000 ports beside them.
func TestManyMappings(t *testing.T) {
	h := startHost(t)
	h.storeMappings(manyMappings)
	if has := h.status().Mappings; has != manyMappings+1 {
		t.Fatalf("%d mappings", has)
	}
	const rounds = 50
	var added []uint32
	spent := h.spent(func() {
		for i := range rounds {
			m, err := h.AddMapping(t.Context(), api.MappingSpec{Protocol: "udp", External: fmt.Sprint(20_000 + i), Internal: "c1:53"})
			if err != nil {
				t.Fatal(err)
			}
			added = append(added, m.ID)
		}
	})
	h.bound("add one of 10,000 mappings", spent/rounds, changeBound)
	h.echo(h.inside, "udp", ":53")
	h.ask(1, h.Remote, "udp", "203.0.113.1:"+strconv.Itoa(20_000+rounds-1))
	spent = h.spent(func() {
		for _, id := range added {
			if err := h.DeleteMapping(t.Context(), id); err != nil {
				t.Fatal(err)
			}
		}
	})
	h.bound("delete one of 10,000 mappings", spent/rounds, changeBound)
	spent = h.spent(func() {
		if _, err := h.AddMapping(t.Context(), api.MappingSpec{Protocol: "udp", External: "2000-61999", Internal: "c1:2000-61999"}); err != nil {
			t.Fatal(err)
		}
	})
	h.bound("add a range of 60,000 ports", spent, rangeBound)
	h.echo(h.inside, "udp", ":61999")
	h.ask(1, h.Remote, "udp", "203.0.113.1:61999")
}

// storeMappings gives the daemon TCP mappings as if it had had them before: one
// by one would take the test's time.
func (h *host) storeMappings(count int) {
	h.t.Helper()
	h.end(syscall.SIGTERM)
	s, err := store.Open(store.Options{Dir: filepath.Join(h.dir, "state")})
	if err != nil {
		h.t.Fatal(err)
	}
	c, at, err := s.Load()
	for i := 0; i < count && err == nil; i++ {
		_, err = c.AddMapping(config.MappingSpec{Protocol: "tcp", External: fmt.Sprint(10_000 + i), Internal: fmt.Sprintf("c1:%d", 10_000+i)}, nil)
	}
	if err == nil {
		_, err = s.Save(c, at)
	}
	if err != nil {
		h.t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		h.t.Fatal(err)
	}
	h.start()
}

// spent is the daemon's processor time while f runs, to 10 ms.
func (h *host) spent(f func()) time.Duration {
	h.t.Helper()
	before, start := h.processorTime(), time.Now()
	f()
	spent := h.processorTime() - before
	h.t.Logf("%v of processor time, %v by the clock", spent, time.Since(start))
	return spent
}

// processorTime is what the daemon has had: fields 14 and 15 of proc_pid_stat(5).
func (h *host) processorTime() time.Duration {
	h.t.Helper()
	const tick = 10 * time.Millisecond // USER_HZ is 100 on Linux
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", h.daemon.Process.Pid))
	if err != nil {
		h.t.Fatal(err)
	}
	fields := strings.Fields(string(text[slices.Index(text, ')')+1:]))
	var sum time.Duration
	for _, field := range fields[11:13] {
		n, err := strconv.Atoi(field)
		if err != nil {
			h.t.Fatal(err)
		}
		sum += time.Duration(n) * tick
	}
	return sum
}

func (h *host) bound(what string, spent, limit time.Duration) {
	h.t.Helper()
	h.t.Logf("to %s: %v", what, spent)
	if spent > limit {
		h.t.Errorf("to %s took the daemon %v of processor time, and may take %v", what, spent, limit)
	}
}
