package store

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/hostnat/hostnat/internal/regular"
)

const (
	maxFile   = 1 << 28 // bytes; far above any configuration
	slack     = 1 << 20 // bytes of transactions that a file may have beside its first one's size
	freshMark = ".new"  // ends the name of a file that is being made
)

// journal is a state file that this process writes. Its methods are called by
// one goroutine at a time.
type journal struct {
	path    string
	head    head
	durable bool // wait for the disk

	file *os.File // nil: there is none, or it is not to be trusted; rewrite makes it
	size int64    // bytes
	base int64    // of them the head and the first transaction
	sum  checksum
	back struct { // before the last append
		size int64
		sum  checksum
	}
}

// open makes the file at the journal's path, whose contents were read, the one
// that is written to.
func (j *journal) open(c contents) error {
	f, err := regular.Open(j.path, os.O_RDWR)
	if err != nil {
		return err
	}
	j.close()
	j.file, j.head, j.size, j.base, j.sum = f, c.head, c.size, c.size, c.sum
	if err := j.intact(); err != nil {
		j.close()
		return err
	}
	return nil
}

// errNotOurs says that what is at a journal's path is not what it has written.
var errNotOurs = errors.New("is not what hostnat wrote there")

// intact reports, as an error, whether what is at the path is not the file that
// was written: fs.ErrNotExist if there is nothing, else errNotOurs.
func (j *journal) intact() error {
	if j.file == nil {
		return fmt.Errorf("%s %w", j.path, errNotOurs)
	}
	var there, ours unix.Stat_t
	if err := unix.Lstat(j.path, &there); err != nil {
		return &fs.PathError{Op: "look at", Path: j.path, Err: err}
	}
	if err := unix.Fstat(int(j.file.Fd()), &ours); err != nil {
		return fmt.Errorf("look at %s: %w", j.path, err)
	}
	if there.Dev != ours.Dev || there.Ino != ours.Ino || there.Size != j.size {
		return fmt.Errorf("%s %w", j.path, errNotOurs)
	}
	return nil
}

// append writes a transaction; sync, after it, makes it last. If it fails, the
// file is as before, or closed and to be rewritten.
func (j *journal) append(at Revision, changed objects) error {
	text, sum := transaction(j.sum, at, changed)
	j.back.size, j.back.sum = j.size, j.sum
	if _, err := j.file.WriteAt(text, j.size); err != nil {
		j.takeBack()
		return fmt.Errorf("write to %s: %w", j.path, err)
	}
	j.size, j.sum = j.size+int64(len(text)), sum
	return nil
}

// sync waits until the disk has what was appended.
func (j *journal) sync() error {
	if !j.durable {
		return nil
	}
	if err := unix.Fdatasync(int(j.file.Fd())); err != nil {
		return fmt.Errorf("wait for the disk with %s: %w", j.path, err)
	}
	return nil
}

// takeBack undoes the last append.
func (j *journal) takeBack() {
	err := j.file.Truncate(j.back.size)
	if err == nil {
		err = j.sync()
	}
	if err != nil {
		j.close() // nobody knows what it has now: it is rewritten
		return
	}
	j.size, j.sum = j.back.size, j.back.sum
}

// isLong reports whether the file is to be rewritten as one transaction.
func (j *journal) isLong() bool { return j.size > 2*j.base+slack }

// rewrite puts a new file in the place of what is there: at every moment one of
// the two is at the path, whole.
func (j *journal) rewrite(at Revision, all objects) error {
	text, sum := snapshot(j.head, at, all)
	fresh := j.path + freshMark
	f, err := writeFile(fresh, text, j.durable)
	if err != nil {
		return err
	}
	if err := replace(fresh, j.path, j.durable); err != nil {
		f.Close()
		return err
	}
	j.close()
	j.file, j.size, j.base, j.sum = f, int64(len(text)), int64(len(text)), sum
	return nil
}

func (j *journal) close() {
	if j.file != nil {
		j.file.Close()
		j.file = nil
	}
}

// writeFile makes a file, in place of what a process that was killed has left
// there, and leaves it open. On error there is none.
func writeFile(path string, text []byte, durable bool) (*os.File, error) {
	if err := os.RemoveAll(path); err != nil {
		return nil, fmt.Errorf("write %s: %w", path, err)
	}
	f, err := regular.Open(path, os.O_RDWR|os.O_CREATE|os.O_EXCL)
	if err != nil {
		return nil, err
	}
	_, err = f.WriteAt(text, 0)
	if err == nil && durable {
		err = f.Sync()
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("write %s: %w", path, err), f.Close(), os.Remove(path))
	}
	return f, nil
}

// replace renames inside one directory and waits until the disk knows.
func replace(from, to string, durable bool) error {
	if err := os.Rename(from, to); err != nil {
		return err
	}
	if !durable {
		return nil
	}
	dir, err := os.Open(filepath.Dir(to))
	if err != nil {
		return err
	}
	defer dir.Close()
	return dir.Sync()
}
