package test

import (
	"context"
	"fmt"
	"maps"
	"net"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/google/go-cmp/cmp"

	"github.com/hostnat/hostnat/api"
	"github.com/hostnat/hostnat/dev/lab"
	"github.com/hostnat/hostnat/internal/event"
	"github.com/hostnat/hostnat/internal/model"
)

// TestChurn opens and closes 10,000 sessions. All of them go away again, by
// nothing but their timeouts, their ports are free again after hold-down, and nothing
// of them stays in any table.
func TestChurn(t *testing.T) {
	h := startHost(t)
	timeouts := map[string]string{"tcp-transitory-timeout": "2s", "udp-timeout": "2s", "hold-down": "2s"}
	if _, err := h.SetNAT(t.Context(), model.DefaultNAT, timeouts); err != nil {
		t.Fatal(err)
	}
	h.echo(h.Remote, "tcp", outside)
	h.echo(h.Remote, "udp", outside)
	h.echo(h.inside, "tcp", ":80")
	var before api.Status
	h.waitFor(5*time.Second, "the mapping to count", func() bool { // a status may be some moments old
		before = h.status()
		return before.Bindings == 1
	})
	elements := h.elements()
	forgetHints(elements)

	start := time.Now()
	h.ask(4000, h.inside, "tcp", outside)
	h.ask(4000, h.inside, "udp", outside)
	h.ask(2000, h.Remote, "tcp", published)
	t.Logf("10,000 sessions in %v; %d in the table now", time.Since(start), h.status().Sessions)

	h.waitFor(20*time.Second, "the sessions to end", func() bool {
		s := h.status()
		return s.Sessions == before.Sessions && s.Bindings == before.Bindings
	})
	h.checkDrops()
	// A timer that a later state has superseded goes when its time comes.
	after := h.elements()
	t.Cleanup(func() {
		if t.Failed() {
			t.Errorf("elements (-before +after):\n%s", cmp.Diff(elements, after))
		}
	})
	h.waitFor(20*time.Second, "every table to have what it had", func() bool {
		after = h.elements()
		forgetHints(after)
		return maps.Equal(after, elements)
	})
	h.ask(1, h.inside, "tcp", outside)
}

// forgetHints leaves out what may stay: which ports the host talked from (an
// LRU), and for each external address and protocol the bitmap of ports and the
// queue of those that nobody uses, empty.
func forgetHints(elements map[string]int) {
	delete(elements, "host_ports")
	delete(elements, "port_bits")
	delete(elements, "spare_queues")
}

func (h *host) status() api.Status {
	h.t.Helper()
	status, err := h.Status(h.t.Context())
	if err != nil {
		h.t.Fatal(err)
	}
	return status
}

// checkDrops looks for refusals of new sessions. Other drops are fine: late
// segments of sessions that have ended, the endpoint's IPv6.
func (h *host) checkDrops() {
	h.t.Helper()
	drops := h.status().Drops
	h.t.Logf("drops: %v", drops)
	for _, reason := range []event.Reason{event.PortsExhausted, event.SessionTableFull, event.BindingTableFull,
		event.SessionNotCreated, event.SessionClash, event.UntranslatedInsideSource} {
		if n := drops[reason.String()]; n > 0 {
			h.t.Errorf("%d packets dropped: %s", n, reason.Describe())
		}
	}
}

// ask opens and closes so many connections, some at once.
func (h *host) ask(count int, from *lab.Namespace, network, addr string) {
	h.t.Helper()
	var left atomic.Int64
	left.Store(int64(count))
	var workers sync.WaitGroup
	errs := make(chan error, 8)
	for range cap(errs) {
		workers.Go(func() {
			for left.Add(-1) >= 0 {
				if err := h.askOnce(from, network, addr); err != nil {
					errs <- err
					return
				}
			}
		})
	}
	workers.Wait()
	close(errs)
	failed := false
	for err := range errs {
		failed = true
		h.t.Error(err)
	}
	if failed {
		h.t.Fatalf("opening %d %s connections to %s failed; drops: %v", count, network, addr, h.status().Drops)
	}
}

func (h *host) askOnce(from *lab.Namespace, network, addr string) error {
	ctx, cancel := context.WithTimeout(h.t.Context(), 5*time.Second)
	defer cancel()
	conn, err := from.Dial(ctx, network, addr)
	if err != nil {
		return err
	}
	defer conn.Close()
	if _, err := lab.AskConn(ctx, conn); err != nil {
		return fmt.Errorf("%s from %s: %w", network, conn.LocalAddr(), err)
	}
	// Every other TCP connection is reset, the others end with FINs.
	if tcp, ok := conn.(*net.TCPConn); ok && tcp.LocalAddr().(*net.TCPAddr).Port%4 < 2 {
		return tcp.SetLinger(0)
	}
	return nil
}

// elements counts what is in each pinned map of the data path.
func (h *host) elements() map[string]int {
	h.t.Helper()
	counts := map[string]int{}
	err := filepath.WalkDir(filepath.Join(h.dir, "run"), func(path string, e os.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() || filepath.Base(filepath.Dir(path)) != "maps" {
			return err
		}
		n, err := countElements(path)
		if n >= 0 {
			counts[e.Name()] = n
		}
		return err
	})
	if err != nil || len(counts) == 0 {
		h.t.Fatalf("count the pinned maps' elements: %d maps, %v", len(counts), err)
	}
	return counts
}

// countElements returns -1 for maps whose elements do not come and go.
func countElements(path string) (int, error) {
	m, err := ebpf.LoadPinnedMap(path, &ebpf.LoadPinOptions{ReadOnly: true})
	if err != nil {
		return 0, fmt.Errorf("open %s: %w", path, err)
	}
	defer m.Close()
	switch m.Type() {
	case ebpf.Hash, ebpf.LRUHash, ebpf.LPMTrie:
	default:
		return -1, nil
	}
	n := 0
	key := make([]byte, m.KeySize())
	value := make([]byte, m.ValueSize())
	all := m.Iterate()
	for all.Next(&key, &value) {
		n++
	}
	return n, all.Err()
}
