package store

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// damage says in what way a file is not a state file.
type damage struct{ what string }

func (d *damage) Error() string { return d.what }

func damagef(format string, args ...any) error { return &damage{fmt.Sprintf(format, args...)} }

func asDamage(err error) (*damage, bool) {
	var d *damage
	return d, errors.As(err, &d)
}

const asideMark = ".damaged-"

// moveAside renames a damaged file and returns its new name.
func moveAside(path string) (string, error) {
	stem := path + asideMark + time.Now().UTC().Format("20060102T150405Z")
	aside := stem
	for i := 2; ; i++ {
		if _, err := os.Lstat(aside); os.IsNotExist(err) {
			break
		}
		aside = fmt.Sprintf("%s-%d", stem, i)
	}
	if err := rename(path, aside); err != nil {
		return "", fmt.Errorf("move the damaged configuration aside: %w", err)
	}
	return aside, nil
}

// leftAside reports the damaged files of earlier starts: as long as they lie
// there, nobody has dealt with them.
func leftAside(path string) []string {
	found, err := filepath.Glob(globEscape(path) + asideMark + "*")
	if err != nil {
		return nil
	}
	var out []string
	for _, f := range found {
		out = append(out, fmt.Sprintf("a damaged configuration lies in %s: delete it when it is no longer needed", f))
	}
	return out
}

func globEscape(path string) string {
	var out []rune
	for _, r := range path {
		switch r {
		case '*', '?', '[', '\\':
			out = append(out, '\\')
		}
		out = append(out, r)
	}
	return string(out)
}

// rename renames inside one directory and waits until the disk knows.
func rename(from, to string) error {
	if err := os.Rename(from, to); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(to))
	if err != nil {
		return err
	}
	defer dir.Close()
	return dir.Sync()
}
