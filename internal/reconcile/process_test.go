package reconcile

import (
	"strconv"
	"strings"
	"testing"

	"github.com/hostnat/hostnat/dev/lab"
	"github.com/hostnat/hostnat/internal/host"
	"github.com/hostnat/hostnat/internal/model"
)

// TestSameProcess: a number that another process has by now is not the endpoint's.
func TestSameProcess(t *testing.T) {
	t.Parallel()
	lab.RequireRoot(t)
	n, err := lab.NewNamespace("process")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.Close() })
	cmd := n.Command(t.Context(), "sleep", "100")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	e := model.Endpoint{Name: "e1", Kind: model.KindPID, Target: strconv.Itoa(cmd.Process.Pid)}
	open := func() *host.Namespace {
		t.Helper()
		var ns *host.Namespace
		// The child is in the test's namespace until it has entered its own.
		ctx := t.Context()
		if err := lab.WaitFor(ctx, func() bool { ns, err = host.OpenNamespace(e.Kind, e.Target); return err == nil }); err != nil {
			t.Fatal(err)
		}
		return ns
	}
	ns := open()
	is, err := ns.Identity()
	if err != nil || is.Start == 0 || is.Inode == 0 {
		t.Fatalf("identity %+v, %v", is, err)
	}
	for _, test := range []struct {
		name  string
		named host.Identity
		same  bool
	}{
		{"the one that was named", is, true},
		{"one that began later", host.Identity{Start: is.Start - 1, Inode: is.Inode}, false},
		{"one that has entered another namespace", host.Identity{Start: is.Start, Inode: is.Inode + 1}, false},
		{"nobody was named", host.Identity{}, false},
	} {
		k := &Kernel{seen: make(map[string]process)}
		k.name(e, test.named)
		got, err := k.sameProcess(e, open(), host.Link{})
		switch {
		case test.same && (err != nil || got == nil):
			t.Errorf("%s: refused: %v", test.name, err)
		case !test.same && (model.CodeOf(err) != model.NotFound || !strings.Contains(err.Error(), e.Target)):
			t.Errorf("%s: got %v, want that it is not found", test.name, err)
		}
		if got != nil {
			got.Close()
		}
	}
	ns.Close()
}
