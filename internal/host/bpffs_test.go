package host

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/hostnat/hostnat/dev/lab"
)

func TestMountBPF(t *testing.T) {
	t.Parallel()
	lab.RequireRoot(t)
	dir := filepath.Join(t.TempDir(), "run", "bpf")
	must(t, UnmountBPF(dir)) // nothing there
	must(t, MountBPF(dir))
	pinned := filepath.Join(dir, "pins")
	must(t, os.Mkdir(pinned, 0o700))
	must(t, MountBPF(dir)) // keeps what is there
	if _, err := os.Stat(pinned); err != nil {
		t.Errorf("second mount hid the first: %v", err)
	}
	info, err := os.Stat(dir)
	must(t, err)
	if info.Mode().Perm() != 0o700 {
		t.Errorf("mode %v, want it for root only", info.Mode())
	}
	must(t, UnmountBPF(dir))
	must(t, UnmountBPF(dir))
	if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("directory is left: %v", err)
	}
}
