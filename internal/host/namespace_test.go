package host

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/hostnat/hostnat/dev/lab"
	"github.com/hostnat/hostnat/internal/host/hosttest"
	"github.com/hostnat/hostnat/internal/model"
	"golang.org/x/sys/unix"
)

func TestOpenNamespaceRefuses(t *testing.T) {
	t.Parallel()
	n := hosttest.New(t)
	dir := t.TempDir()
	plain, fifo := filepath.Join(dir, "plain"), filepath.Join(dir, "fifo")
	hosttest.Must(t, os.WriteFile(plain, nil, 0o600), unix.Mkfifo(fifo, 0o600))
	gone := exec.Command("true")
	hosttest.Must(t, gone.Run())
	tests := []struct {
		name   string
		kind   model.EndpointKind
		target string
		code   model.Code
		naming string
	}{
		{"missing name", model.KindNetns, "hosttest-nobody", model.NotFound, "hosttest-nobody"},
		{"missing path", model.KindNetns, "/run/netns/none/x", model.NotFound, "/run/netns/none/x"},
		{"dots", model.KindNetns, "..", model.Invalid, ".."},
		{"empty", model.KindNetns, "", model.Invalid, "namespace"},
		{"plain file", model.KindNetns, plain, model.Invalid, plain},
		{"FIFO", model.KindNetns, fifo, model.Invalid, fifo},
		{"other kind of namespace", model.KindNetns, "/proc/self/ns/mnt", model.Invalid, "/proc/self/ns/mnt"},
		{"ended process", model.KindPID, strconv.Itoa(gone.Process.Pid), model.NotFound, "process " + strconv.Itoa(gone.Process.Pid)},
		{"pid 0", model.KindPID, "0", model.Invalid, `"0"`},
		{"no pid", model.KindPID, "../1", model.Invalid, "../1"},
		{"host's own by pid", model.KindPID, strconv.Itoa(os.Getpid()), model.Conflict, "host's own"},
		{"host's own by path", model.KindNetns, "/proc/self/ns/net", model.Conflict, "host's own"},
		{"TAP", model.KindTAP, "tap0", model.Invalid, "tap"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := OpenNamespace(tt.kind, tt.target)
			hosttest.WantRefusal(t, err, tt.code, tt.naming)
		})
	}
	hosttest.On(t, n, func() error { // seen from inside, the namespace is the host's
		_, err := OpenNamespace(model.KindNetns, n.Name)
		hosttest.WantRefusal(t, err, model.Conflict, "host's own")
		return nil
	})
}

func TestOpenNamespace(t *testing.T) {
	t.Parallel()
	n := hosttest.New(t)
	sleep := n.Command(t.Context(), "sleep", "60")
	hosttest.Must(t, sleep.Start())
	defer func() { _ = sleep.Process.Kill(); _ = sleep.Wait() }()
	waitInside(t, sleep.Process.Pid)
	for kind, target := range map[model.EndpointKind][]string{
		model.KindNetns: {n.Name, n.Path()},
		model.KindPID:   {strconv.Itoa(sleep.Process.Pid)},
	} {
		for _, s := range target {
			ns, err := OpenNamespace(kind, s)
			if err != nil {
				t.Errorf("%s %s: %v", kind, s, err)
				continue
			}
			hosttest.Must(t, ns.Close())
		}
	}
}

// waitInside waits until the process has entered its namespace.
func waitInside(t *testing.T, pid int) {
	t.Helper()
	err := lab.WaitFor(t.Context(), func() bool {
		ns, err := OpenNamespace(model.KindPID, strconv.Itoa(pid))
		if err != nil { // still in the host's
			return false
		}
		ns.Close()
		return true
	})
	hosttest.Must(t, err)
}
