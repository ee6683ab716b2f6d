package self

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// MountBPF mounts a bpf filesystem of its own at dir, for root only, and makes
// dir if need be. One that is there already is kept, with what is pinned in it.
func MountBPF(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("mount bpf filesystem: %w", err)
	}
	mounted, err := isBPF(dir)
	if err != nil || mounted {
		return err
	}
	const flags = unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC | unix.MS_RELATIME
	if err := unix.Mount("bpf", dir, "bpf", flags, "mode=0700"); err != nil {
		return fmt.Errorf("mount bpf filesystem at %s: %w", dir, err)
	}
	return nil
}

// UnmountBPF takes away what MountBPF mounted, all that is pinned in it, and
// dir. It is fine if nothing is mounted.
func UnmountBPF(dir string) error {
	mounted, err := isBPF(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if mounted {
		// The mount may be in the host's namespace too, where it stays: a sandbox
		// of the daemon has one of its own.
		if err := empty(dir); err != nil {
			return fmt.Errorf("remove what is pinned at %s: %w", dir, err)
		}
		// Detached, a program that still looks into it does not hold it up.
		// EINVAL: dir lies in somebody's bpf filesystem and is no mount itself.
		err := unix.Unmount(dir, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW)
		if err != nil && !errors.Is(err, unix.EINVAL) {
			return fmt.Errorf("unmount bpf filesystem at %s: %w", dir, err)
		}
	}
	// EBUSY: it is mounted in the host's namespace, and seen from a sandbox.
	if err := os.Remove(dir); err != nil && !errors.Is(err, unix.ENOTEMPTY) && !errors.Is(err, unix.EBUSY) {
		return fmt.Errorf("unmount bpf filesystem: %w", err)
	}
	return nil
}

func isBPF(dir string) (bool, error) {
	var stat unix.Statfs_t
	if err := unix.Statfs(dir, &stat); err != nil {
		return false, fmt.Errorf("look at %s: %w", dir, err)
	}
	return stat.Type == unix.BPF_FS_MAGIC, nil
}

// empty removes all that is pinned there. The kernel's own files, which it may have
// put there at mounting, cannot be removed.
func empty(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	var errs []error
	for _, e := range entries {
		if err := os.RemoveAll(filepath.Join(dir, e.Name())); err != nil && !errors.Is(err, unix.EPERM) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
