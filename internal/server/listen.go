package server

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/hostnat/hostnat/internal/model"
)

// Listen makes the daemon's socket. A socket that a killed daemon left is
// replaced; one that still answers is somebody else's and refused. Everybody
// may connect: what a caller may do is decided by who it is (see authorize).
func Listen(path string) (*net.UnixListener, error) { return listen(path, 0o666) }

// ListenForRoot is Listen for a socket on which root alone may connect.
func ListenForRoot(path string) (*net.UnixListener, error) { return listen(path, 0o600) }

func listen(path string, mode fs.FileMode) (*net.UnixListener, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, fmt.Errorf("make the socket's directory: %w", err)
	}
	if err := removeStale(path); err != nil {
		return nil, err
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("listen on the socket: %w", err)
	}
	if err := os.Chmod(path, mode); err != nil {
		return nil, errors.Join(fmt.Errorf("say who may connect: %w", err), l.Close())
	}
	return l, nil
}

func removeStale(path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("look at the socket: %w", err)
	}
	if info.Mode().Type() != fs.ModeSocket {
		return model.Errorf(model.Conflict, "%s exists and is not a socket", path).WithHint("move it away")
	}
	if c, err := net.DialTimeout("unix", path, time.Second); err == nil {
		_ = c.Close()
		return model.Errorf(model.Conflict, "another hostnat daemon answers at %s", path).
			WithHint("stop it first, or use another --run-dir")
	}
	if err := os.Remove(path); err != nil {
		return fmt.Errorf("remove a dead daemon's socket: %w", err)
	}
	return nil
}
