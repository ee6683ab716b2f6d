package self

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/hostnat/hostnat/dev/lab"
	"github.com/hostnat/hostnat/internal/host/hosttest"
)

func TestMountBPF(t *testing.T) {
	t.Parallel()
	lab.RequireRoot(t)
	dir := filepath.Join(t.TempDir(), "run", "bpf")
	hosttest.Must(t, UnmountBPF(dir)) // nothing there
	hosttest.Must(t, MountBPF(dir))
	pinned := filepath.Join(dir, "pins")
	hosttest.Must(t, os.Mkdir(pinned, 0o700))
	hosttest.Must(t, MountBPF(dir)) // keeps what is there
	if _, err := os.Stat(pinned); err != nil {
		t.Errorf("second mount hid the first: %v", err)
	}
	info, err := os.Stat(dir)
	hosttest.Must(t, err)
	if info.Mode().Perm() != 0o700 {
		t.Errorf("mode %v, want it for root only", info.Mode())
	}
	hosttest.Must(t, UnmountBPF(dir))
	hosttest.Must(t, UnmountBPF(dir))
	if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("directory is left: %v", err)
	}
}
