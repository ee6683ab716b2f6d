package store

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hostnat/hostnat/internal/model"
)

// lockWait is how long a daemon that is just ending may take to let go.
const lockWait = 500 * time.Millisecond

// directory is the state directory, locked: other daemons are kept out of it
// until it is closed. A killed daemon's lock ends with it. What is locked is the
// directory itself, which can be read-only or full.
type directory struct {
	path string
	file *os.File
	stat unix.Stat_t
}

// lockDirectory returns a *model.Error with code Conflict if another daemon has it.
func lockDirectory(path string) (*directory, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_DIRECTORY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("open the state directory: %w", err)
	}
	d := &directory{path: path, file: f}
	if err := unix.Fstat(int(f.Fd()), &d.stat); err != nil {
		f.Close()
		return nil, fmt.Errorf("look at the state directory: %w", err)
	}
	for end := time.Now().Add(lockWait); ; time.Sleep(20 * time.Millisecond) {
		err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return d, nil
		}
		if errors.Is(err, unix.EINTR) || errors.Is(err, unix.EWOULDBLOCK) && time.Now().Before(end) {
			continue
		}
		break
	}
	defer f.Close()
	if errors.Is(err, unix.EWOULDBLOCK) {
		return nil, model.Errorf(model.Conflict, "another hostnat daemon%s uses %s", holder(d.stat), path).
			WithHint("use that one, end it first, or give this one another --state-dir")
	}
	return nil, fmt.Errorf("lock the state directory: %w", err)
}

// holder says which process has the lock, if it can be told: by proc_locks(5),
// a line of which ends with "PID MAJOR:MINOR:INODE START END".
func holder(stat unix.Stat_t) string {
	text, err := os.ReadFile("/proc/locks")
	if err != nil {
		return ""
	}
	inode := fmt.Sprintf("%02x:%02x:%d", unix.Major(stat.Dev), unix.Minor(stat.Dev), stat.Ino)
	for line := range strings.SplitSeq(string(text), "\n") {
		fields := strings.Fields(line)
		if len(fields) >= 6 && fields[1] == "FLOCK" && fields[5] == inode && fields[4] != "0" {
			return " (pid " + fields[4] + ")"
		}
	}
	return ""
}

// presence is what is at the state directory's path now.
type presence int

const (
	inPlace  presence = iota // the directory that is locked
	gone                     // nothing, or an empty new directory of the same file system
	replaced                 // another directory
)

func (d *directory) presence() presence {
	var there unix.Stat_t
	switch err := unix.Stat(d.path, &there); {
	case errors.Is(err, unix.ENOENT):
		return gone
	case err != nil:
		return replaced
	case there.Dev == d.stat.Dev && there.Ino == d.stat.Ino:
		return inPlace
	}
	if entries, err := os.ReadDir(d.path); err == nil && len(entries) == 0 && there.Dev == d.stat.Dev {
		return gone // removed, and made again without what was in it
	}
	return replaced
}
