package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// openInput opens what is a file: a FIFO would wait, and a folder says something else.
func openInput(path string) (*os.File, error) {
	if path == "-" {
		return os.Stdin, nil
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is no regular file; - is standard input", path)
	}
	return os.Open(path)
}

// createOutput opens a file to write to, for root alone. A FIFO that nobody reads is
// refused: who waits for a reader there could not be interrupted.
func createOutput(path string) (*os.File, error) {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC|unix.O_NONBLOCK, 0o600)
	if errors.Is(err, unix.ENXIO) {
		return nil, fmt.Errorf("nobody reads from %s; begin to read there first", path)
	}
	return file, err
}

// result is a file that is there whole, or as it was before.
type result struct {
	file  *os.File
	path  string
	draft string // what is renamed in the end; empty: it is no regular file, and written at once
}

// newResult finds out whether the file can be written, and changes none yet.
func newResult(path string) (*result, error) {
	if info, err := os.Lstat(path); err == nil && !info.Mode().IsRegular() {
		file, err := createOutput(path)
		return &result{file: file, path: path}, err
	}
	file, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*") // mode 0600
	if err != nil {
		var at *fs.PathError
		if errors.As(err, &at) {
			at.Path = path
		}
		return nil, err
	}
	return &result{file, path, file.Name()}, nil
}

// write writes all of it.
func (r *result) write(content func(io.Writer) error) error {
	err := content(r.file)
	if closed := r.file.Close(); err == nil {
		err = closed
	}
	if err == nil && r.draft != "" {
		if err = os.Rename(r.draft, r.path); err == nil {
			r.draft = ""
		}
	}
	if err != nil {
		return fmt.Errorf("writing %s: %w", r.path, err)
	}
	return nil
}

// discard leaves nothing of it, unless it was written.
func (r *result) discard() {
	_ = r.file.Close()
	if r.draft != "" {
		_ = os.Remove(r.draft)
	}
}
