// Package regular opens files that may have been replaced by anything: only
// regular files are opened, without waiting, and no more is read of them than
// was asked for.
package regular

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// Error says why what is at a path is not read: it is no regular file, another
// user may write to it, or it is too long.
type Error struct {
	Path string
	What string // "is a FIFO, not a file"
}

func (e *Error) Error() string { return e.Path + " " + e.What }

// Open opens a regular file that belongs to root or to the caller. flags are
// those of os.OpenFile; a new file gets mode 0600. A symbolic link is not
// followed, and a FIFO does not block. The error is an *Error for what is no
// such file, and wraps fs.ErrNotExist if nothing is there.
func Open(path string, flags int) (*os.File, error) {
	fd, err := unix.Open(path, flags|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC|unix.O_NOCTTY, 0o600)
	for errors.Is(err, unix.EINTR) {
		fd, err = unix.Open(path, flags|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC|unix.O_NOCTTY, 0o600)
	}
	if err != nil {
		return nil, whyNot(path, err)
	}
	f := os.NewFile(uintptr(fd), path)
	if err := check(f); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// Read returns the content of a file that Open would open. One that is longer
// than most bytes is an *Error.
func Read(path string, most int64) ([]byte, error) {
	f, err := Open(path, os.O_RDONLY)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return ReadAll(f, most)
}

// ReadAnyones returns the content of a regular file, whoever it belongs to, where a path or
// a symbolic link leads. One that is longer than most bytes is an *Error.
func ReadAnyones(path string, most int64) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if _, err := stat(f); err != nil {
		return nil, err
	}
	return ReadAll(f, most)
}

// ReadAll returns the content of an open file, which may have most bytes.
func ReadAll(f *os.File, most int64) ([]byte, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", f.Name(), err)
	}
	tooLong := &Error{f.Name(), fmt.Sprintf("is longer than %d bytes", most)}
	if info.Size() > most {
		return nil, tooLong
	}
	data, err := io.ReadAll(io.NewSectionReader(f, 0, most+1))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", f.Name(), err)
	}
	if int64(len(data)) > most { // it grows
		return nil, tooLong
	}
	return data, nil
}

func check(f *os.File) error {
	stat, err := stat(f)
	if err != nil {
		return err
	}
	if stat.Uid != 0 && stat.Uid != uint32(os.Geteuid()) {
		return &Error{f.Name(), fmt.Sprintf("belongs to user %d, who may have changed it", stat.Uid)}
	}
	if stat.Mode&unix.S_IWOTH != 0 {
		return &Error{f.Name(), "may be written by everybody"}
	}
	return nil
}

// stat looks at a regular file.
func stat(f *os.File) (s unix.Stat_t, err error) {
	if err := unix.Fstat(int(f.Fd()), &s); err != nil {
		return s, fmt.Errorf("look at %s: %w", f.Name(), err)
	}
	if kind := s.Mode & unix.S_IFMT; kind != unix.S_IFREG {
		return s, &Error{f.Name(), "is " + kindOf(kind) + ", not a file"}
	}
	return s, nil
}

// whyNot explains an error of open(2). Some kinds are refused by it already.
func whyNot(path string, err error) error {
	if errors.Is(err, unix.ENOENT) {
		return &fs.PathError{Op: "open", Path: path, Err: err}
	}
	var stat unix.Stat_t
	if unix.Lstat(path, &stat) == nil && stat.Mode&unix.S_IFMT != unix.S_IFREG {
		return &Error{path, "is " + kindOf(stat.Mode&unix.S_IFMT) + ", not a file"}
	}
	return &fs.PathError{Op: "open", Path: path, Err: err}
}

func kindOf(kind uint32) string {
	switch kind {
	case unix.S_IFIFO:
		return "a FIFO"
	case unix.S_IFCHR, unix.S_IFBLK:
		return "a device"
	case unix.S_IFDIR:
		return "a directory"
	case unix.S_IFLNK:
		return "a symbolic link"
	case unix.S_IFSOCK:
		return "a socket"
	}
	return "of an unknown kind"
}
