package store

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/hostnat/hostnat/internal/model"
)

// lockWait is how long a daemon that is just ending may take to let go.
const lockWait = 500 * time.Millisecond

// lockDir keeps other daemons out of the state directory until the returned
// file is closed; a killed daemon's lock ends with it. A file of its own is
// locked, not the database, since that may be renamed.
func lockDir(dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, "hostnat.lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock the state directory: %w", err)
	}
	for end := time.Now().Add(lockWait); ; time.Sleep(20 * time.Millisecond) {
		err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return f, writePID(f)
		}
		if errors.Is(err, syscall.EINTR) || errors.Is(err, syscall.EWOULDBLOCK) && time.Now().Before(end) {
			continue
		}
		break
	}
	defer f.Close()
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return nil, model.Errorf(model.Conflict, "another hostnat daemon%s uses %s", holder(f), dir).
			WithHint("use that one, end it first, or give this one another --state-dir")
	}
	return nil, fmt.Errorf("lock the state directory: %w", err)
}

func writePID(f *os.File) error {
	if err := f.Truncate(0); err != nil {
		return fmt.Errorf("lock the state directory: %w", err)
	}
	_, err := f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	if err != nil {
		return fmt.Errorf("lock the state directory: %w", err)
	}
	return nil
}

// holder says who has the lock, if it can be told.
func holder(f *os.File) string {
	text, err := io.ReadAll(io.LimitReader(f, 32))
	if err != nil {
		return ""
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return ""
	}
	return fmt.Sprintf(" (pid %d)", pid)
}
