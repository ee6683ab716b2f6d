package host

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/hostnat/hostnat/internal/lab"
	"github.com/hostnat/hostnat/internal/nat"
	"golang.org/x/sys/unix"
)

func TestOpenNamespaceRefuses(t *testing.T) {
	t.Parallel()
	n := newHost(t)
	dir := t.TempDir()
	plain, fifo := filepath.Join(dir, "plain"), filepath.Join(dir, "fifo")
	must(t, os.WriteFile(plain, nil, 0o600), unix.Mkfifo(fifo, 0o600))
	gone := exec.Command("true")
	must(t, gone.Run())
	tests := []struct {
		name   string
		kind   nat.EndpointKind
		target string
		code   nat.Code
		naming string
	}{
		{"missing name", nat.KindNetns, "hosttest-nobody", nat.NotFound, "hosttest-nobody"},
		{"missing path", nat.KindNetns, "/run/netns/none/x", nat.NotFound, "/run/netns/none/x"},
		{"dots", nat.KindNetns, "..", nat.Invalid, ".."},
		{"empty", nat.KindNetns, "", nat.Invalid, "namespace"},
		{"plain file", nat.KindNetns, plain, nat.Invalid, plain},
		{"FIFO", nat.KindNetns, fifo, nat.Invalid, fifo},
		{"other kind of namespace", nat.KindNetns, "/proc/self/ns/mnt", nat.Invalid, "/proc/self/ns/mnt"},
		{"ended process", nat.KindPID, strconv.Itoa(gone.Process.Pid), nat.NotFound, "process " + strconv.Itoa(gone.Process.Pid)},
		{"pid 0", nat.KindPID, "0", nat.Invalid, `"0"`},
		{"no pid", nat.KindPID, "../1", nat.Invalid, "../1"},
		{"host's own by pid", nat.KindPID, strconv.Itoa(os.Getpid()), nat.Conflict, "host's own"},
		{"host's own by path", nat.KindNetns, "/proc/self/ns/net", nat.Conflict, "host's own"},
		{"TAP", nat.KindTAP, "tap0", nat.Invalid, "tap"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := OpenNamespace(tt.kind, tt.target)
			wantRefusal(t, err, tt.code, tt.naming)
		})
	}
	on(t, n, func() error { // seen from inside, the namespace is the host's
		_, err := OpenNamespace(nat.KindNetns, n.Name)
		wantRefusal(t, err, nat.Conflict, "host's own")
		return nil
	})
}

func TestOpenNamespace(t *testing.T) {
	t.Parallel()
	n := newHost(t)
	sleep := n.Command(t.Context(), "sleep", "60")
	must(t, sleep.Start())
	defer func() { _ = sleep.Process.Kill(); _ = sleep.Wait() }()
	waitInside(t, sleep.Process.Pid)
	for kind, target := range map[nat.EndpointKind][]string{
		nat.KindNetns: {n.Name, n.Path()},
		nat.KindPID:   {strconv.Itoa(sleep.Process.Pid)},
	} {
		for _, s := range target {
			ns, err := OpenNamespace(kind, s)
			if err != nil {
				t.Errorf("%s %s: %v", kind, s, err)
				continue
			}
			must(t, ns.Close())
		}
	}
}

// waitInside waits until the process has entered its namespace.
func waitInside(t *testing.T, pid int) {
	t.Helper()
	err := lab.WaitFor(t.Context(), func() bool {
		ns, err := OpenNamespace(nat.KindPID, strconv.Itoa(pid))
		if err != nil { // still in the host's
			return false
		}
		ns.Close()
		return true
	})
	must(t, err)
}
