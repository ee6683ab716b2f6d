package host

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"testing"

	"github.com/hostnat/hostnat/dev/lab"
	"github.com/hostnat/hostnat/internal/host/hosttest"
	"github.com/hostnat/hostnat/internal/model"
)

func ensureReassembly(t *testing.T, n *lab.Namespace, keep bool, attach func() error) (index int) {
	t.Helper()
	hosttest.On(t, n, func() (err error) {
		index, err = EnsureReassembly(t.Context(), keep, attach)
		return err
	})
	return index
}

// TestReassembly: one link on the host, forwarding inside alone.
func TestReassembly(t *testing.T) {
	t.Parallel()
	n := hosttest.New(t)
	hosttest.Must(t, n.Sysctl("net/ipv4/ip_forward", "0"))
	var inside string
	attach := func() error {
		b, err := os.ReadFile("/proc/sys/net/ipv4/ip_forward")
		inside = string(b)
		return errors.Join(err, keepNamespace(t))
	}
	index := ensureReassembly(t, n, false, attach)
	l := linkNamed(t, n, ReassemblyLink)
	if l.Index != index || !l.Up || !l.Owned() || l.MTU != 65535 || len(l.Addresses) > 0 {
		t.Errorf("link of the reassembly namespace: %+v", l)
	}
	if inside != "1\n" {
		t.Errorf("ip_forward inside is %q", inside)
	}
	wantSysctl(t, n, "net/ipv4/ip_forward", "0\n")
	wantSysctl(t, n, "net/ipv6/conf/hostnat1/disable_ipv6", "1\n")

	never := func() error { return errors.New("made again") }
	if again := ensureReassembly(t, n, true, never); again != index {
		t.Errorf("interface %d, was %d", again, index)
	}
	hosttest.Must(t, n.SetDown(ReassemblyLink)) // as if the daemon had been killed in between
	if again := ensureReassembly(t, n, true, attach); again == index {
		t.Error("an unfinished reassembly namespace was taken for a good one")
	}
	index = ensureReassembly(t, n, true, never)
	if again := ensureReassembly(t, n, false, attach); again == index {
		t.Error("a reassembly namespace that nothing keeps was taken for a good one")
	}
}

// keepNamespace does what the data path's link does.
func keepNamespace(t *testing.T) error {
	file, err := os.Open("/proc/thread-self/ns/net")
	if err == nil {
		t.Cleanup(func() { file.Close() })
	}
	return err
}

// TestReassemblyThatCannotBe leaves nothing behind, and nobody in the wrong namespace.
func TestReassemblyThatCannotBe(t *testing.T) {
	t.Parallel()
	n := hosttest.New(t)
	failure := errors.New("no such thing in this kernel")
	hosttest.On(t, n, func() error {
		for range 8 {
			if _, err := EnsureReassembly(t.Context(), false, func() error { return failure }); !errors.Is(err, failure) {
				t.Errorf("got %v", err)
			}
			runtime.Gosched()
		}
		links, err := Links(t.Context())
		if len(links) != 1 {
			t.Errorf("links left behind: %+v", links)
		}
		return err
	})
}

// TestReassemblyLeavesTheProcessWhereItIs: /proc/PID/ns/net is that of the main thread,
// which any goroutine may get.
func TestReassemblyLeavesTheProcessWhereItIs(t *testing.T) {
	lab.RequireRoot(t) // and not parallel: other tests take threads into namespaces
	own := fmt.Sprintf("/proc/%d/ns/net", os.Getpid())
	before, err := os.Readlink(own)
	hosttest.Must(t, err)
	for range 50 {
		inside, err := newReassembly(func() error { return nil })
		hosttest.Must(t, err, inside.Close())
		if now, err := os.Readlink(own); err != nil || now != before {
			t.Fatalf("the process is in %s, was in %s: %v", now, before, err)
		}
	}
}

// TestReassemblyLinkOfSomebodyElse: a link of that name that is not ours stays as it is.
func TestReassemblyLinkOfSomebodyElse(t *testing.T) {
	t.Parallel()
	n := hosttest.New(t)
	hosttest.Must(t, n.AddBridge(ReassemblyLink))
	hosttest.On(t, n, func() error {
		_, err := EnsureReassembly(t.Context(), false, func() error { return nil })
		hosttest.WantRefusal(t, err, model.Conflict, ReassemblyLink)
		return nil
	})
}
