package docker

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/hostnat/hostnat/internal/regular"
)

// SettingsFile is Docker's file of settings and the copy that was made before
// hostnat changed it.
type SettingsFile struct {
	Path        string
	Now, Before Settings
	text        []byte // of Now
	copied      []byte // of Before; nil: there is no copy
}

func (s SettingsFile) copyPath() string { return s.Path + ".before-hostnat" }

// ReadSettingsFile reads the file and its copy; those that are not there are empty.
func ReadSettingsFile(path string) (s SettingsFile, err error) {
	s.Path = path
	if s.text, err = readIfThere(path); err != nil {
		return s, err
	}
	if s.Now, err = ParseSettings(s.text); err != nil {
		return s, fmt.Errorf("read %s: %w", path, err)
	}
	if s.copied, err = readIfThere(s.copyPath()); err != nil {
		return s, err
	}
	if s.Before, err = ParseSettings(s.copied); err != nil {
		return s, fmt.Errorf("read %s: %w", s.copyPath(), err)
	}
	return s, nil
}

// maxSettings is how long Docker's settings may be, in bytes.
const maxSettings = 1 << 20

// readIfThere returns nil if there is no such file.
func readIfThere(path string) ([]byte, error) {
	b, err := regular.ReadAnyones(path, maxSettings)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if b == nil {
		b = []byte{}
	}
	return b, err
}

// Change writes other settings, and before that the copy, if there is none.
func (s SettingsFile) Change(after Settings) error {
	if err := os.MkdirAll(filepath.Dir(s.Path), 0o755); err != nil {
		return fmt.Errorf("make the folder of Docker's settings: %w", err)
	}
	if s.copied == nil {
		if err := replaceFile(s.copyPath(), s.text); err != nil {
			return err
		}
	}
	return replaceFile(s.Path, after.Text())
}

// Restore writes settings without hostnat's: the text of the copy, if they say the
// same, and no file where none was.
func (s SettingsFile) Restore(after Settings) error {
	same := s.Before.Diff(after) == ""
	var err error
	switch {
	case same && len(bytes.TrimSpace(s.copied)) == 0:
		if err = os.Remove(s.Path); errors.Is(err, fs.ErrNotExist) {
			err = nil
		}
	case same:
		err = replaceFile(s.Path, s.copied)
	default:
		err = replaceFile(s.Path, after.Text())
	}
	if err != nil {
		return fmt.Errorf("put Docker's settings back: %w", err)
	}
	if err := os.Remove(s.copyPath()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove the copy of Docker's settings: %w", err)
	}
	return nil
}

// replaceFile never leaves half a file there.
func replaceFile(path string, text []byte) error {
	next := path + ".new"
	if err := os.WriteFile(next, text, 0o644); err != nil {
		return fmt.Errorf("write Docker's settings: %w", err)
	}
	if err := os.Rename(next, path); err != nil {
		return fmt.Errorf("write Docker's settings: %w", err)
	}
	return nil
}
