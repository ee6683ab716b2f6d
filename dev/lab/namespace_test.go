package lab

import (
	"context"
	"errors"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"
)

func newNamespace(t *testing.T) *Namespace {
	t.Helper()
	RequireRoot(t)
	n, err := NewNamespace("labtest")
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

func TestDoEntersAndLeaves(t *testing.T) {
	t.Parallel()
	n := newNamespace(t)
	var inside uint64
	if err := n.Do(func() (err error) { inside, err = currentCookie(); return err }); err != nil {
		t.Fatal(err)
	}
	outside, err := currentCookie()
	if err != nil {
		t.Fatal(err)
	}
	if inside != n.Cookie() || outside == inside {
		t.Errorf("cookie inside %d (want %d), outside %d", inside, n.Cookie(), outside)
	}
	want := errors.New("told so")
	if err := n.Do(func() error { return want }); !errors.Is(err, want) {
		t.Errorf("Do returned %v, want fn's error", err)
	}
}

func TestGoexitInsideDoEndsCaller(t *testing.T) {
	t.Parallel()
	n := newNamespace(t)
	done := make(chan bool)
	go func() {
		defer close(done)
		_ = n.Do(func() error { runtime.Goexit(); return nil })
		done <- true
	}()
	if <-done {
		t.Error("Do returned after its goroutine was ended")
	}
}

func TestCommandRunsInside(t *testing.T) {
	t.Parallel()
	n := newNamespace(t)
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	out, err := n.Command(ctx, "readlink", "/proc/self/ns/net").Output()
	if err != nil {
		t.Fatal(err)
	}
	var want string
	if err := n.Do(func() (err error) { want, err = os.Readlink(threadNS); return err }); err != nil {
		t.Fatal(err)
	}
	if got := strings.TrimSpace(string(out)); got != want {
		t.Errorf("command ran in %s, want %s", got, want)
	}
}

func TestCloseRemovesName(t *testing.T) {
	t.Parallel()
	RequireRoot(t)
	n, err := NewNamespace("labtest")
	if err != nil {
		t.Fatal(err)
	}
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(n.Path()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%s is still there (%v)", n.Path(), err)
	}
}
