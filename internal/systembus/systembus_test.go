package systembus

import (
	"context"
	"os"
	"testing"
	"time"

	"github.com/hostnat/hostnat/dev/lab"
)

// A daemon in another network namespace serves another host.
func TestSharesNetwork(t *testing.T) {
	t.Parallel()
	if !sharesNetwork(uint32(os.Getpid())) {
		t.Error("not with itself")
	}
	lab.RequireRoot(t)
	n, err := lab.NewNamespace("bus")
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	other := n.Command(t.Context(), "sleep", "60")
	if err := other.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = other.Process.Kill(); _ = other.Wait() }()
	waitFor(t, func() bool { return !sharesNetwork(uint32(other.Process.Pid)) })
	if sharesNetwork(1 << 30) {
		t.Error("with a process that does not exist")
	}
}

func waitFor(t *testing.T, cond func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if err := lab.WaitFor(ctx, cond); err != nil {
		t.Fatal(err)
	}
}
